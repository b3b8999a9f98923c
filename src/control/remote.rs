//! The control service in another process, as the proxy of this one sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sallygate_control::clock::Clock;
use sallygate_control::feed::About;
use sallygate_control::fleet::{self, AskBody, ClaimBody, Identity, Link, Remote, ResolveBody};
use sallygate_proxy::{
    Approval, Approver, Handle, Held, Resolved, Resolver, Ruling, Unresolved, Unruled, Wanted,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::proxy::{Asked, carrying_out, ruling, standing};
use crate::exit::{Failure, failed};

/// Where the control service is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Where {
    /// The control service in another process: an https URL, or an http URL of this machine
    #[arg(long, value_name = "URL")]
    pub(crate) control: String,
    /// Authorities that its certificate may be of, beside the system's (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) control_ca: Option<PathBuf>,
}

/// Where a proxy keeps its key, and what it was told and lent.
fn home(data_dir: &Path) -> PathBuf {
    data_dir.join("fleet")
}

/// The proxy's key, made when there is none.
pub(crate) fn identity(data_dir: &Path) -> Result<Identity, Failure> {
    Identity::open_or_create(&home(data_dir)).map_err(failed)
}

/// The way there, in the name of `identity`.
pub(crate) fn link(there: &Where, identity: Identity) -> Result<Link, Failure> {
    let authorities = match &there.control_ca {
        Some(path) => authorities(path)?,
        None => Vec::new(),
    };
    let link = Link::new(&there.control, &authorities, Arc::new(identity), Clock::system());
    link.map_err(|error| Failure::Usage(error.to_string()))
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let unusable =
        |why: &dyn std::fmt::Display| failed(format_args!("`{}`: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| unusable(&error))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match read {
        Ok(all) if all.is_empty() => Err(unusable(&"it holds no certificate")),
        Ok(all) => Ok(all),
        Err(error) => Err(unusable(&error)),
    }
}

/// Listens to the control service from now on. What was told before is in force on return.
pub(crate) async fn attach(
    there: &Where,
    data_dir: &Path,
    (handle, about): (Handle, About),
) -> Result<JoinHandle<()>, Failure> {
    if !about.is_sound() {
        return Err(Failure::Usage("`--advertise` is a host and a port".into()));
    }
    let identity = identity(data_dir)?;
    identity.enrolled().map_err(failed)?;
    let link = link(there, identity)?;
    let remote = Remote::open(link, &home(data_dir), (Clock::system(), about)).map_err(failed)?;
    let asked = Arc::new(FromRemote(remote.clone()));
    let resolver = Arc::<FromRemote>::clone(&asked);
    let proxy = carrying_out(handle, Asked { resolver, approver: asked });
    let (restored, waiting) = oneshot::channel();
    let task = tokio::spawn(async move {
        // Whoever waits may have given up.
        let told = || {
            let _ = restored.send(());
        };
        remote.run(proxy, told).await;
    });
    waiting.await.map_err(|_| failed("what was told before cannot be put in force"))?;
    Ok(task)
}

/// Asks the control service in another process.
#[derive(Debug)]
struct FromRemote(Remote);

#[async_trait]
impl Resolver for FromRemote {
    async fn resolve(&self, wanted: &Wanted) -> Result<Resolved, Unresolved> {
        let wanted = ResolveBody {
            sandbox_id: wanted.sandbox.clone(),
            plan_digest: wanted.plan_digest.clone(),
            connection_id: wanted.connection_id.clone(),
            secret_type: wanted.secret_type.clone(),
            slot_key: wanted.slot_key.clone(),
            resolver_key: wanted.resolver_key.clone(),
            scope: wanted.scope.clone(),
        };
        let resolution = self.0.resolve(&wanted).await.map_err(|error| match error {
            fleet::Unresolved::Refused(message) => Unresolved::Refused(message),
            fleet::Unresolved::Unavailable { message, retry_after } => {
                Unresolved::Unavailable { message, retry_after }
            }
        })?;
        Ok(Resolved::new(resolution.secret.expose().to_vec(), resolution.life_seconds))
    }
}

#[async_trait]
impl Approver for FromRemote {
    async fn ask(&self, held: &Held) -> Result<Ruling, Unruled> {
        let held = AskBody {
            sandbox_id: held.sandbox.clone(),
            route: held.route.clone(),
            method: held.method.clone(),
            url: held.url.clone(),
            request_sha256: URL_SAFE_NO_PAD.encode(held.request_sha256),
        };
        self.0.ask(&held).await.map(ruling).map_err(unruled)
    }

    async fn claim(&self, sandbox: &str, id: &str) -> Result<bool, Unruled> {
        let claim = ClaimBody { sandbox_id: sandbox.to_owned(), approval_id: id.to_owned() };
        self.0.claim(&claim).await.map_err(unruled)
    }

    async fn find(&self, sandbox: &str, id: &str) -> Result<Option<Approval>, Unruled> {
        let found = self.0.approval((sandbox, id)).await.map_err(unruled)?;
        Ok(found.map(|it| Approval {
            id: it.id,
            sandbox: it.sandbox_id,
            route: it.route,
            method: it.method,
            url: it.url,
            standing: standing(it.state),
            asked_unix: it.asked_unix,
            expires_unix: it.expires_unix,
        }))
    }
}

fn unruled(error: fleet::Unruled) -> Unruled {
    Unruled(error.to_string())
}
