//! Where a proxy takes a credential from: environment, file or command, or who resolves it.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use sallygate_compiler::plan::CredentialReference;
use sallygate_compiler::snapshot::{ConnectionSource, ValueSource};
use tokio::io::AsyncReadExt;

use super::{Asker, Resolver, Secret, Unresolved, Wanted};

/// Longest credential: more than any provider's token, less than a header may hold.
const VALUE_BYTES_MAX: u64 = 32 * 1024;
const COMMAND_DEADLINE: Duration = Duration::from_secs(10);

/// Why a credential could not be had. The text names the place, never the content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("environment variable `{0}` is not set")]
    Environment(String),
    #[error("file `{0}` cannot be read")]
    File(String, #[source] std::io::Error),
    #[error("command `{0}` cannot be run")]
    Command(String, #[source] std::io::Error),
    #[error("command `{0}` ended with a failure")]
    CommandStatus(String),
    #[error("command `{0}` did not end within 10 seconds")]
    CommandDeadline(String),
    #[error("it is refused: {0}")]
    Refused(String),
    /// With when to ask again, where that is known.
    #[error("it cannot be resolved now: {0}")]
    Unavailable(String, Option<Duration>),
    #[error("the value is empty")]
    Empty,
    #[error("the value is longer than 32 KiB")]
    TooLong,
    #[error("the value cannot stand in a header")]
    NotPrintable,
}

impl SourceError {
    /// After how long it may be asked again, where whoever resolves says so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(_, retry_after) => *retry_after,
            Self::Environment(_)
            | Self::File(..)
            | Self::Command(..)
            | Self::CommandStatus(_)
            | Self::CommandDeadline(_)
            | Self::Refused(_)
            | Self::Empty
            | Self::TooLong
            | Self::NotPrintable => None,
        }
    }
}

/// Who gives a credential.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Where the operator of a stand-alone proxy put it.
    Value(ConnectionSource),
    /// Whoever resolves this reference.
    Resolver(Arc<dyn Resolver>, CredentialReference),
}

/// A value as it was fetched, and for how long it is good where that is known.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) secret: Secret,
    pub(crate) life: Option<Duration>,
}

/// How long a resolved credential is used that does not say how long it is good: what was revoked
/// is told at once, and this is for when the telling was lost.
const RESOLVED_LIFE: Duration = Duration::from_secs(300);

impl Source {
    /// Asks once, for this sandbox.
    pub(crate) async fn fetch(&self, asker: Asker<'_>) -> Result<Fetched, SourceError> {
        match self {
            Self::Value(own) => Ok(Fetched { secret: fetch(&own.value).await?, life: None }),
            Self::Resolver(resolver, reference) => {
                let resolved = resolver.resolve(&Wanted::of(reference, asker)).await;
                let resolved = resolved.map_err(|unresolved| match unresolved {
                    Unresolved::Refused(why) => SourceError::Refused(why),
                    Unresolved::Unavailable { message, retry_after } => {
                        SourceError::Unavailable(message, retry_after)
                    }
                })?;
                let told = resolved.life_seconds.map(Duration::from_secs);
                let life = told.map_or(RESOLVED_LIFE, |told| told.min(RESOLVED_LIFE));
                Ok(Fetched { secret: checked(resolved.into_bytes())?, life: Some(life) })
            }
        }
    }
}

/// Reads the value once.
async fn fetch(source: &ValueSource) -> Result<Secret, SourceError> {
    let bytes = match source {
        ValueSource::Env(name) => environment(name)?,
        ValueSource::File(path) => file(path).await?,
        ValueSource::Command(words) => command(words).await?,
    };
    checked(bytes)
}

#[expect(clippy::disallowed_methods, reason = "a credential's own variable, named by the operator")]
fn environment(name: &str) -> Result<Vec<u8>, SourceError> {
    std::env::var(name).map(String::into_bytes).map_err(|_| SourceError::Environment(name.into()))
}

async fn file(path: &str) -> Result<Vec<u8>, SourceError> {
    let failed = |e| SourceError::File(path.into(), e);
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(VALUE_BYTES_MAX + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    Ok(bytes)
}

async fn command(words: &[String]) -> Result<Vec<u8>, SourceError> {
    let name = words.first().cloned().unwrap_or_default();
    let mut child = tokio::process::Command::new(&name)
        .args(words.iter().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| SourceError::Command(name.clone(), e))?;
    let run = async {
        let mut bytes = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(VALUE_BYTES_MAX + 1).read_to_end(&mut bytes).await?;
        }
        child.wait().await.map(|status| (status, bytes))
    };
    let outcome = tokio::time::timeout(COMMAND_DEADLINE, run).await;
    match outcome {
        Err(_) => Err(SourceError::CommandDeadline(name)),
        Ok(Err(e)) => Err(SourceError::Command(name, e)),
        Ok(Ok((status, _))) if !status.success() => Err(SourceError::CommandStatus(name)),
        Ok(Ok((_, bytes))) => Ok(bytes),
    }
}

/// One line, without its line end, printable: what can stand in a header. Or a PEM text, which is a
/// certificate with its key, and stands in none.
fn checked(mut bytes: Vec<u8>) -> Result<Secret, SourceError> {
    if bytes.len() as u64 > VALUE_BYTES_MAX {
        return Err(SourceError::TooLong);
    }
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Err(SourceError::Empty);
    }
    let is_pem = bytes.starts_with(b"-----BEGIN ");
    let fits = |b: &u8| (b' '..=b'~').contains(b) || is_pem && matches!(b, b'\n' | b'\r');
    if !bytes.iter().all(fits) {
        return Err(SourceError::NotPrintable);
    }
    Ok(Secret::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_printable_line_is_a_credential() {
        assert_eq!(checked(b"token\r\n".to_vec()).unwrap().expose(), b"token");
        let pem = b"-----BEGIN X-----\nAA==\r\n-----END X-----";
        assert_eq!(checked([&pem[..], b"\n"].concat()).unwrap().expose(), pem);
        for wrong in [
            &b""[..],
            b"\n",
            b"a\nb",
            b"a\0b",
            b"caf\xc3\xa9",
            b"a\n-----BEGIN X-----",
            b"-----BEGIN X-----\0",
        ] {
            assert!(checked(wrong.to_vec()).is_err(), "accepted {wrong:?}");
        }
        assert!(checked(vec![b'a'; 40_000]).is_err());
    }

    #[tokio::test]
    async fn a_command_that_fails_gives_no_credential() {
        let run = |words: &[&str]| {
            let words = words.iter().map(|w| (*w).to_owned()).collect();
            async move { fetch(&ValueSource::Command(words)).await }
        };
        assert_eq!(run(&["echo", "abc"]).await.unwrap().expose(), b"abc");
        assert!(matches!(run(&["false"]).await, Err(SourceError::CommandStatus(_))));
        assert!(matches!(run(&["/nonexistent"]).await, Err(SourceError::Command(..))));
    }
}
