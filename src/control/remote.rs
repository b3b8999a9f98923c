//! The control service in another process, as the proxy of this one sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sallygate_control::clock::Clock;
use sallygate_control::feed::About;
use sallygate_control::fleet::{self, Identity, Link, Remote, ResolveBody};
use sallygate_proxy::{Handle, Resolved, Resolver, Unresolved, Wanted};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::proxy::{Asked, carrying_out};
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
    let resolver = Arc::new(FromRemote(remote.clone()));
    let proxy = carrying_out(handle, Asked { resolver, approver: None });
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
