//! Credentials that were lent to this proxy, kept for when nobody can be asked: sealed under a key
//! that lies beside them, so that a copy of the file alone is worth nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::identity::{IdentityError, private};
use super::wire::ResolveBody;
use crate::credentials::{Place, Plaintext, SealingKey};
use crate::private_file::{self, Readers};

const KEY: &str = "leases.key";
const LEASES: &str = "leases.sealed";
const KEY_BYTES: usize = 32;
const PLACE: Place<'_> = Place { table: "fleet", row: "proxy", column: "leases" };
/// How long a credential is used that does not say when it ends, while nobody can be asked.
const LENT_MS: i64 = 24 * 3600 * 1000;
const LEASES_MAX: usize = 10_000;

/// A credential that was lent.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lease {
    connection: String,
    secret: Secret,
    ends_ms: i64,
}

/// In base64.
#[derive(Clone)]
struct Secret(Zeroizing<String>);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// All of them.
pub(super) struct Leases {
    key: SealingKey,
    path: PathBuf,
    /// By what was asked for, whichever sandbox asked.
    lent: Mutex<BTreeMap<String, Lease>>,
    /// Grows when something is taken back: what was asked for before is not kept.
    epoch: AtomicU64,
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leases").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What tells one credential from another.
fn key_of(wanted: &ResolveBody) -> String {
    let (sandbox_id, plan_digest) = (String::new(), String::new());
    let reference = ResolveBody { sandbox_id, plan_digest, ..wanted.clone() };
    serde_json::to_string(&reference).unwrap_or_default()
}

impl Leases {
    /// What is in `directory`. What cannot be opened is as good as gone: it was only lent.
    pub(super) fn open(directory: &Path) -> Result<Self, IdentityError> {
        let at = directory.join(KEY);
        if !at.exists() {
            let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
            rand::fill(&mut *bytes).map_err(|_| IdentityError::Randomness)?;
            private_file::create(&at, &*bytes, Readers::Owner)
                .map_err(|source| IdentityError::File { path: at.clone(), source })?;
        }
        let key = SealingKey::new(1, &private(&at)?).ok_or(IdentityError::Malformed(at))?;
        let path = directory.join(LEASES);
        let lent = match std::fs::read(&path) {
            Ok(sealed) => read(&key, &sealed).unwrap_or_else(|| {
                tracing::warn!(path = %path.display(), "leases do not open, and are asked for anew");
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        Ok(Self { key, path, lent: Mutex::new(lent), epoch: AtomicU64::new(0) })
    }

    fn lent(&self) -> MutexGuard<'_, BTreeMap<String, Lease>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be asked before a credential is.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Keeps what was lent, unless something was taken back since `epoch`.
    pub(super) fn keep(
        &self,
        wanted: &ResolveBody,
        (secret, life_seconds): (&Plaintext, Option<u64>),
        (epoch, now_ms): (u64, i64),
    ) {
        let life_ms = life_seconds.map_or(LENT_MS, |seconds| {
            i64::try_from(seconds.saturating_mul(1000)).unwrap_or(LENT_MS)
        });
        let lease = Lease {
            connection: wanted.connection_id.clone(),
            secret: Secret(Zeroizing::new(STANDARD.encode(secret.expose()))),
            ends_ms: now_ms.saturating_add(life_ms),
        };
        let mut lent = self.lent();
        if self.epoch() != epoch {
            return;
        }
        lent.retain(|_, lease| lease.ends_ms > now_ms);
        if lent.len() < LEASES_MAX {
            lent.insert(key_of(wanted), lease);
        }
        self.write(&lent);
    }

    /// What was lent and is still good, with the seconds that are left of it.
    pub(super) fn find(&self, wanted: &ResolveBody, now_ms: i64) -> Option<(Plaintext, u64)> {
        let lent = self.lent();
        let lease = lent.get(&key_of(wanted)).filter(|lease| lease.ends_ms > now_ms)?;
        let secret = STANDARD.decode(lease.secret.0.as_bytes()).ok()?;
        let left = u64::try_from((lease.ends_ms - now_ms).div_euclid(1000)).unwrap_or(0);
        Some((Plaintext::new(secret), left))
    }

    /// What was refused is lent no more.
    pub(super) fn drop_one(&self, wanted: &ResolveBody) {
        let mut lent = self.lent();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        if lent.remove(&key_of(wanted)).is_some() {
            self.write(&lent);
        }
    }

    /// Lets go of everything of these connections.
    pub(super) fn forget(&self, connections: &[String]) {
        let mut lent = self.lent();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        let before = lent.len();
        lent.retain(|_, lease| !connections.contains(&lease.connection));
        if lent.len() != before {
            self.write(&lent);
        }
    }

    pub(super) fn forget_all(&self) {
        let mut lent = self.lent();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        lent.clear();
        self.write(&lent);
    }

    /// Written under the lock: what is on disk is never older than what was forgotten.
    fn write(&self, lent: &BTreeMap<String, Lease>) {
        if let Err(error) = self.try_write(lent) {
            // An old file may hold what was taken back: rather none.
            let removed = std::fs::remove_file(&self.path);
            tracing::error!(%error, ?removed, "leases are not kept");
        }
    }

    fn try_write(&self, lent: &BTreeMap<String, Lease>) -> io::Result<()> {
        let plain = Zeroizing::new(serde_json::to_vec(lent)?);
        let sealed = self.key.seal(PLACE, &plain).ok_or(io::ErrorKind::Other)?;
        private_file::replace(&self.path, &sealed, Readers::Owner)
    }
}

fn read(key: &SealingKey, sealed: &[u8]) -> Option<BTreeMap<String, Lease>> {
    let plain = key.open(PLACE, sealed).ok()?;
    serde_json::from_slice(plain.expose()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn wanted(connection: &str, sandbox: &str) -> ResolveBody {
        ResolveBody {
            sandbox_id: sandbox.into(),
            plan_digest: "sha256:x".into(),
            connection_id: connection.into(),
            secret_type: "api_key".into(),
            slot_key: None,
            resolver_key: None,
            scope: serde_json::Map::new(),
        }
    }

    fn found(leases: &Leases, connection: &str, at: i64) -> Option<Vec<u8>> {
        leases.find(&wanted(connection, "sbx_2"), at).map(|(secret, _)| secret.expose().to_vec())
    }

    #[test]
    fn what_is_lent_is_kept_sealed_until_it_ends_or_is_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let leases = Leases::open(directory.path()).unwrap();
        let secret = Plaintext::new(b"canary-lease".to_vec());
        for (connection, life) in [("icn_1", Some(60)), ("icn_2", None), ("icn_3", None)] {
            leases.keep(&wanted(connection, "sbx_1"), (&secret, life), (0, NOW));
        }
        for name in [KEY, LEASES] {
            let bytes = std::fs::read(directory.path().join(name)).unwrap();
            for text in [&b"canary"[..], b"Y2FuYXJ5"] {
                assert!(!bytes.windows(text.len()).any(|window| window == text), "{name}");
            }
        }
        let again = Leases::open(directory.path()).unwrap();
        assert_eq!(found(&again, "icn_1", NOW + 59_999).as_deref(), Some(secret.expose()));
        assert_eq!(found(&again, "icn_1", NOW + 60_000), None);
        assert!(found(&again, "icn_2", NOW + LENT_MS - 1).is_some());
        assert_eq!(found(&again, "icn_2", NOW + LENT_MS), None);
        let other = ResolveBody { secret_type: "other".into(), ..wanted("icn_2", "sbx_1") };
        assert!(again.find(&other, NOW).is_none());
        again.forget(&["icn_2".to_owned()]);
        again.drop_one(&wanted("icn_3", "sbx_9"));
        let after = Leases::open(directory.path()).unwrap();
        let there = ["icn_1", "icn_2", "icn_3"].map(|id| found(&after, id, NOW).is_some());
        assert_eq!(there, [true, false, false]);
        let epoch = after.epoch();
        after.forget(&["icn_2".to_owned()]);
        after.keep(&wanted("icn_2", "s"), (&secret, None), (epoch, NOW));
        assert_eq!(found(&after, "icn_2", NOW), None, "it was asked for before it was taken back");
        after.forget_all();
        assert_eq!(found(&Leases::open(directory.path()).unwrap(), "icn_1", NOW), None);
    }

    #[test]
    fn leases_that_were_changed_or_belong_to_another_key_are_gone() {
        let directory = tempfile::tempdir().unwrap();
        let leases = Leases::open(directory.path()).unwrap();
        leases.keep(&wanted("icn_1", "s"), (&Plaintext::new(b"x".to_vec()), None), (0, NOW));
        let path = directory.path().join(LEASES);
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(found(&Leases::open(directory.path()).unwrap(), "icn_1", NOW), None);
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(found(&Leases::open(directory.path()).unwrap(), "icn_1", NOW).is_some());
        std::fs::remove_file(directory.path().join(KEY)).unwrap();
        assert_eq!(found(&Leases::open(directory.path()).unwrap(), "icn_1", NOW), None);
    }
}
