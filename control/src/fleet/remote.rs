//! A control service in another process, for as long as a proxy runs: listens to it, and asks it
//! for credentials and approvals. When nobody answers, what was told and lent before goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use reqwest::Response;

use super::held::{ApprovalTold, AskBody, ClaimBody};
use super::identity::IdentityError;
use super::kept::Kept;
use super::lease::Leases;
use super::link::{Lent, Link, Unreached};
use super::wire::ResolveBody;
use crate::clock::Clock;
use crate::credentials::Plaintext;
use crate::domain::DomainError;
use crate::domain::approval::Standing;
use crate::feed::{About, Follower, Held, Message, Order, Proxy};
use crate::id::{Id, IdKind};

/// Who says nothing for so long is gone: the control service says something every five seconds.
const SILENCE_MAX: Duration = Duration::from_secs(20);
const LINE_BYTES_MAX: usize = 64 << 20;
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_LAST: Duration = Duration::from_secs(5);

/// A control service in another process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    link: Link,
    leases: Arc<Leases>,
    kept: Kept,
    clock: Clock,
    /// What it says of itself.
    about: About,
}

/// A credential, and for how long it is good where that is known.
#[derive(Debug)]
pub struct Resolution {
    pub secret: Plaintext,
    pub life_seconds: Option<u64>,
}

/// Why there is no credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// For good, until something is told.
    #[error("{0}")]
    Refused(String),
    #[error("{message}")]
    Unavailable { message: String, retry_after: Option<Duration> },
}

/// Why nothing is decided about a held request: it does not pass.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unruled(String);

/// Why listening ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Unreached(#[from] Unreached),
    #[error("the stream ended, or nothing came for too long")]
    Silence,
    #[error("what was told means nothing")]
    Meaning,
    #[error(transparent)]
    Order(#[from] DomainError),
}

impl Remote {
    /// `directory` is where the proxy keeps what it was told and lent: that of its identity.
    pub fn open(
        link: Link,
        directory: &Path,
        (clock, about): (Clock, About),
    ) -> Result<Self, IdentityError> {
        let (leases, kept) = (Arc::new(Leases::open(directory)?), Kept::within(directory));
        Ok(Self(Arc::new(Inner { link, leases, kept, clock, about })))
    }

    /// Puts in force what was told before, then listens and carries out what is told, until the
    /// task that runs this is dropped, or the proxy is let in no more. `restored` is called once.
    pub async fn run(&self, proxy: Proxy, restored: impl FnOnce()) {
        let inner = &self.0;
        let (leases, clock) = (Arc::clone(&inner.leases), inner.clock.clone());
        let proxy: Proxy = Arc::new(move |order| {
            if let Order::Forget(connections) = &order {
                leases.forget(connections);
            }
            proxy(order)
        });
        let mut follower = Follower::new(proxy, inner.kept.read(), clock);
        if let Err(error) = follower.restore().await {
            tracing::error!(code = error.code, %error, "what was told before is not in force");
        }
        restored();
        let mut again = AGAIN_FIRST;
        loop {
            let before = follower.held().resume.clone();
            let ended = inner.listen(&mut follower).await;
            follower.broke_off();
            if matches!(ended, Ended::Unreached(Unreached::Revoked)) {
                tracing::error!("this proxy was revoked: it forgets what it was told and lent");
                self.forget_on_disk().await;
                if let Err(error) = follower.take(Message::Revoked).await {
                    tracing::error!(code = error.code, %error, "something is still in force");
                }
                return;
            }
            tracing::warn!(error = %ended, "the control service is away: what is in force stays");
            again = if follower.held().resume == before { again } else { AGAIN_FIRST };
            tokio::time::sleep(jittered(again)).await;
            again = (again * 2).min(AGAIN_LAST);
        }
    }

    /// Before anything ends: whoever sees it ended may rely on its staying so over a restart, which
    /// nobody is asked about.
    async fn forget_on_disk(&self) {
        let inner = Arc::clone(&self.0);
        let forgetting = tokio::task::spawn_blocking(move || {
            inner.leases.forget_all();
            inner.kept.write(&Held::default());
        });
        // It fails only when the process ends.
        let _ = forgetting.await;
    }

    /// Asks for a credential; while nobody answers, gives what was lent before.
    pub async fn resolve(&self, wanted: &ResolveBody) -> Result<Resolution, Unresolved> {
        let inner = &self.0;
        let epoch = inner.leases.epoch();
        match inner.link.resolve(wanted).await {
            Ok(Lent { secret, life_seconds }) => {
                let (leases, wanted) = (Arc::clone(&inner.leases), wanted.clone());
                let (lent, now_ms) = (secret.clone(), inner.clock.now_ms());
                // Once kept, it outlasts this process: what was given is given again.
                let keeping = tokio::task::spawn_blocking(move || {
                    leases.keep(&wanted, (&lent, life_seconds), (epoch, now_ms));
                });
                let _ = keeping.await;
                Ok(Resolution { secret, life_seconds })
            }
            Err(Unreached::Refused { code, message }) if code == "credential_refused" => {
                inner.leases.drop_one(wanted);
                Err(Unresolved::Refused(message))
            }
            Err(Unreached::Revoked) => {
                inner.leases.forget_all();
                Err(Unresolved::Refused("this proxy was revoked".to_owned()))
            }
            Err(Unreached::Later { code, retry_after }) if code == "plan_out_of_date" => {
                let message = "the proxy serves another plan than the one in force".to_owned();
                Err(Unresolved::Unavailable { message, retry_after })
            }
            Err(error) => inner.lent(wanted).ok_or_else(|| {
                let retry_after = match &error {
                    Unreached::Later { retry_after, .. } => *retry_after,
                    Unreached::Away
                    | Unreached::Refused { .. }
                    | Unreached::Revoked
                    | Unreached::Identity(_) => None,
                };
                Unresolved::Unavailable { message: error.to_string(), retry_after }
            }),
        }
    }
}

impl Remote {
    /// What stands about a held request. Nothing is remembered: while nobody answers, what was
    /// approved before does not pass either, for it may have been used up since.
    pub async fn ask(&self, held: &AskBody) -> Result<Standing, Unruled> {
        let ruled = self.0.link.ask(held).await.map_err(unruled)?;
        ruled.to_standing().ok_or_else(|| Unruled("the answer means nothing".to_owned()))
    }

    /// Uses up a yes for one request. An answer that is lost has used it up: the request does not
    /// pass, and is asked for again.
    pub async fn claim(&self, claim: &ClaimBody) -> Result<bool, Unruled> {
        self.0.link.claim(claim).await.map(|it| it.claimed).map_err(unruled)
    }

    /// An approval of this sandbox: another's is as absent as one that never was.
    pub async fn approval(&self, of: (&str, &str)) -> Result<Option<ApprovalTold>, Unruled> {
        // The sandbox says which: what is no id is never part of a path.
        if Id::parse(IdKind::Approval, of.1).is_err() {
            return Ok(None);
        }
        match self.0.link.approval(of).await {
            Ok(found) => Ok(Some(found)),
            Err(Unreached::Refused { code, .. }) if code == "not_found" => Ok(None),
            Err(error) => Err(unruled(error)),
        }
    }
}

fn unruled(error: Unreached) -> Unruled {
    Unruled(error.to_string())
}

impl Inner {
    fn lent(&self, wanted: &ResolveBody) -> Option<Resolution> {
        let (secret, seconds) = self.leases.find(wanted, self.clock.now_ms())?;
        Some(Resolution { secret, life_seconds: Some(seconds) })
    }

    /// Listens until it cannot any more.
    async fn listen(&self, follower: &mut Follower) -> Ended {
        let resume = follower.held().resume.clone();
        let mut lines = match self.link.feed(resume.as_deref()).await {
            Ok(response) => Lines { response, unread: Vec::new() },
            Err(error) => return error.into(),
        };
        loop {
            let message = match lines.next().await {
                Ok(message) => message,
                Err(ended) => return ended,
            };
            if message == Message::Revoked {
                return Unreached::Revoked.into();
            }
            if let Err(ended) = self.take(follower, message).await {
                return ended;
            }
        }
    }

    async fn take(&self, follower: &mut Follower, message: Message) -> Result<(), Ended> {
        let Some(outcome) = follower.take(message).await? else { return Ok(()) };
        let (kept, held) = (self.kept.clone(), follower.held().clone());
        // Before it is acknowledged: what ended must not come back with a restart.
        let _ = tokio::task::spawn_blocking(move || kept.write(&held)).await;
        Ok(self.link.acknowledge(&outcome, &self.about).await?)
    }
}

/// Not all proxies come back at the same moment.
fn jittered(wait: Duration) -> Duration {
    let mut byte = [0u8; 1];
    // Without randomness they do.
    let _ = rand::fill(&mut byte);
    wait.mul_f64(0.5 + f64::from(byte[0]) / 512.0)
}

/// What comes over the connection, line by line.
struct Lines {
    response: Response,
    unread: Vec<u8>,
}

impl Lines {
    async fn next(&mut self) -> Result<Message, Ended> {
        let mut searched = 0;
        loop {
            let fresh = self.unread.get(searched..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(searched + end + 1);
                let line = std::mem::replace(&mut self.unread, rest);
                return serde_json::from_slice(&line).map_err(|_| Ended::Meaning);
            }
            searched = self.unread.len();
            if searched > LINE_BYTES_MAX {
                return Err(Ended::Meaning);
            }
            let chunk = tokio::time::timeout(SILENCE_MAX, self.response.chunk()).await;
            match chunk {
                Ok(Ok(Some(piece))) => self.unread.extend_from_slice(&piece),
                Ok(Ok(None) | Err(_)) | Err(_) => return Err(Ended::Silence),
            }
        }
    }
}
