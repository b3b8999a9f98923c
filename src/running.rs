//! Which proxy runs from a data directory: `running.json`, locked for as long as it runs.
//!
//! INVARIANT: the lock tells whether the proxy runs, and the content only where. A process that
//! died leaves the file and loses the lock, so no number of a dead process is ever signalled.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A look at the lock holds it for an instant: whoever wants to keep it tries again.
const CLAIM_TRIES: u32 = 50;
const CLAIM_PAUSE: Duration = Duration::from_millis(10);

/// Where a running proxy is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) version: String,
    pub(crate) proxy: Vec<SocketAddr>,
    pub(crate) unix: Vec<PathBuf>,
    pub(crate) admin: SocketAddr,
    /// The control service's API, when it runs in the same process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) control: Option<SocketAddr>,
    pub(crate) config: PathBuf,
    pub(crate) started_unix: i64,
}

impl Running {
    /// Where sandboxes connect.
    pub(crate) fn entrance(&self) -> Option<SocketAddr> {
        self.proxy.first().copied()
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("running.json")
}

/// The right to be the proxy of a data directory; given back when dropped or at exit.
#[derive(Debug)]
pub(crate) struct Claim(File);

impl Claim {
    /// `None` when another process has it.
    pub(crate) fn take(data_dir: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let file =
            options.create(true).truncate(false).read(true).write(true).open(path(data_dir))?;
        for _ in 0..CLAIM_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self(file))),
                Err(TryLockError::WouldBlock) => std::thread::sleep(CLAIM_PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Says where this process is found.
    pub(crate) fn publish(&mut self, running: &Running) -> io::Result<()> {
        let text = serde_json::to_vec(running)?;
        self.0.rewind()?;
        self.0.set_len(0)?;
        self.0.write_all(&text)
    }
}

/// The proxy that runs from `data_dir`, if one does.
pub(crate) fn find(data_dir: &Path) -> Option<Running> {
    let file = File::open(path(data_dir)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => serde_json::from_reader(&file).ok(),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

/// Returns when no proxy runs from `data_dir` any more; `false` after `patience`.
pub(crate) fn wait_until_gone(data_dir: &Path, patience: Duration) -> bool {
    let Ok(file) = File::open(path(data_dir)) else { return true };
    let (gone, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let locked = file.lock_shared();
        // Nobody is left to be told when the time was over before.
        let _ = gone.send(locked.is_ok());
    });
    wait.recv_timeout(patience).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_found_only_while_its_claim_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let running = Running {
            pid: 7,
            version: "0".into(),
            proxy: vec!["127.0.0.1:1".parse().unwrap()],
            unix: Vec::new(),
            admin: "127.0.0.1:2".parse().unwrap(),
            control: None,
            config: "config.toml".into(),
            started_unix: 0,
        };
        assert_eq!(find(dir.path()), None);
        let mut claim = Claim::take(dir.path()).unwrap().unwrap();
        claim.publish(&running).unwrap();
        assert_eq!(find(dir.path()), Some(running));
        assert!(Claim::take(dir.path()).unwrap().is_none());
        drop(claim);
        assert_eq!(find(dir.path()), None);
        assert!(wait_until_gone(dir.path(), Duration::from_secs(5)));
    }
}
