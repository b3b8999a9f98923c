//! Envelope encryption: master key → data key of an owner → secret.
//!
//! An owner is an organisation, or the installation for what belongs to no organisation. Data keys
//! are versioned, wrapped by a version of the master key, and made when an owner first seals.

use std::sync::Arc;

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::Plaintext;
use super::master::MasterKeys;
use super::seal::{KEY_BYTES, Key, Place};
use crate::store::{MayRetry, StoreError, Transaction, fetch_optional};
use crate::values;

/// The owner of what belongs to no organisation.
pub const INSTALLATION: &str = "installation";

/// A secret as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    pub key_version: i64,
    pub ciphertext: Vec<u8>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed(key {})", self.key_version)
    }
}

/// Why a secret was not sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Something is wrong with the ciphertext, its place, or the key. It is an alarm.
    #[error("a stored secret does not open")]
    DoesNotOpen,
    /// The version of the master key that wrapped a data key is not in the key file.
    #[error("version {0} of the master key is missing")]
    MasterVersionMissing(i64),
    #[error("the system has no randomness")]
    Randomness,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl VaultError {
    /// Stable: part of the interface.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DoesNotOpen => "secret_does_not_open",
            Self::MasterVersionMissing(_) => "vault_sealed",
            Self::Randomness => "no_randomness",
            Self::Store(error) => error.code(),
        }
    }
}

impl MayRetry for VaultError {
    fn may_retry(&self) -> bool {
        match self {
            Self::Store(error) => error.may_retry(),
            Self::DoesNotOpen | Self::MasterVersionMissing(_) | Self::Randomness => false,
        }
    }
}

/// Seals and opens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Vault {
    master: Arc<MasterKeys>,
}

/// Seals for one owner, for as long as the transaction that it came from.
#[derive(Debug)]
pub struct Sealer(Key);

impl Sealer {
    pub fn seal(&self, place: Place<'_>, secret: &Plaintext) -> Result<Sealed, VaultError> {
        let ciphertext = self.0.seal(place, secret.expose()).ok_or(VaultError::Randomness)?;
        Ok(Sealed { key_version: self.0.version(), ciphertext })
    }
}

impl Vault {
    pub fn new(master: MasterKeys) -> Self {
        Self { master: Arc::new(master) }
    }

    /// Seals with the newest data key of `owner`.
    pub async fn seal(
        &self,
        transaction: &mut dyn Transaction,
        owner: &str,
        place: Place<'_>,
        secret: &Plaintext,
    ) -> Result<Sealed, VaultError> {
        self.sealer(transaction, owner).await?.seal(place, secret)
    }

    /// What seals many secrets of one owner.
    pub async fn sealer(
        &self,
        transaction: &mut dyn Transaction,
        owner: &str,
    ) -> Result<Sealer, VaultError> {
        match self.newest_data_key(transaction, owner).await? {
            Some(key) => Ok(Sealer(key)),
            None => self.make_data_key(transaction, (owner, 1), 0).await.map(Sealer),
        }
    }

    pub async fn open(
        &self,
        transaction: &mut dyn Transaction,
        owner: &str,
        place: Place<'_>,
        sealed: &Sealed,
    ) -> Result<Plaintext, VaultError> {
        let find = "SELECT master_version, wrapped FROM data_keys \
                    WHERE owner = $1 AND version = $2";
        let values = values![owner, sealed.key_version];
        let row = fetch_optional(transaction, find, values).await?;
        let mut row = row.ok_or(VaultError::DoesNotOpen)?;
        let (master_version, wrapped) = (row.integer()?, row.bytes()?);
        let key = self.unwrap((owner, sealed.key_version), master_version, &wrapped)?;
        key.open(place, &sealed.ciphertext).map_err(|_| VaultError::DoesNotOpen)
    }

    async fn newest_data_key(
        &self,
        transaction: &mut dyn Transaction,
        owner: &str,
    ) -> Result<Option<Key>, VaultError> {
        let find = "SELECT version, master_version, wrapped FROM data_keys \
                    WHERE owner = $1 ORDER BY version DESC LIMIT 1";
        let Some(mut row) = fetch_optional(transaction, find, values![owner]).await? else {
            return Ok(None);
        };
        let (version, master_version, wrapped) = (row.integer()?, row.integer()?, row.bytes()?);
        self.unwrap((owner, version), master_version, &wrapped).map(Some)
    }

    /// Makes and stores a data key.
    pub(super) async fn make_data_key(
        &self,
        transaction: &mut dyn Transaction,
        (owner, version): (&str, i64),
        now_ms: i64,
    ) -> Result<Key, VaultError> {
        let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
        rand::fill(&mut *bytes).map_err(|_| VaultError::Randomness)?;
        let (master_version, wrapped) = self.wrap((owner, version), &*bytes)?;
        let write = "INSERT INTO data_keys (owner, version, master_version, wrapped, created_at) \
                     VALUES ($1, $2, $3, $4, $5)";
        let values = values![owner, version, master_version, wrapped, now_ms];
        transaction.execute(write, values).await?;
        Key::new(version, &*bytes).ok_or(VaultError::DoesNotOpen)
    }

    /// The bytes of a data key, wrapped by the newest master key.
    pub(super) fn wrap(
        &self,
        (owner, version): (&str, i64),
        bytes: &[u8],
    ) -> Result<(i64, Vec<u8>), VaultError> {
        let row = format!("{owner}/{version}");
        let place = Place { table: "data_keys", row: &row, column: "wrapped" };
        let master = self.master.newest().ok_or(VaultError::MasterVersionMissing(0))?;
        let wrapped = master.seal(place, bytes).ok_or(VaultError::Randomness)?;
        Ok((master.version(), wrapped))
    }

    /// The bytes of a data key.
    pub(super) fn unwrap_bytes(
        &self,
        (owner, version): (&str, i64),
        master_version: i64,
        wrapped: &[u8],
    ) -> Result<Plaintext, VaultError> {
        let row = format!("{owner}/{version}");
        let place = Place { table: "data_keys", row: &row, column: "wrapped" };
        let missing = VaultError::MasterVersionMissing(master_version);
        let master = self.master.version(master_version).ok_or(missing)?;
        master.open(place, wrapped).map_err(|_| VaultError::DoesNotOpen)
    }

    fn unwrap(
        &self,
        (owner, version): (&str, i64),
        master_version: i64,
        wrapped: &[u8],
    ) -> Result<Key, VaultError> {
        let bytes = self.unwrap_bytes((owner, version), master_version, wrapped)?;
        Key::new(version, bytes.expose()).ok_or(VaultError::DoesNotOpen)
    }

    pub(super) fn newest_master_version(&self) -> i64 {
        self.master.newest().map_or(0, Key::version)
    }
}
