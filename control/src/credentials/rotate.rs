//! New keys for what is sealed: online, in small steps, each a transaction of its own, so that a
//! rotation that was killed goes on where it stopped.

use super::seal::Place;
use super::vault::{Sealed, Vault, VaultError};
use crate::store::{Row, Store, Transaction};
use crate::{change, values};

/// Rows of one step.
const STEP: i64 = 64;

/// What a rotation did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    pub data_keys: u64,
    pub secrets: u64,
}

/// A sealed secret, and where it stands.
struct Stored {
    owner: String,
    row: String,
    sealed: Sealed,
}

/// The tables that hold secrets: how the next ones of an older key are found, and how one is
/// written. Both are by the same columns.
struct SecretTable {
    name: &'static str,
    find: &'static str,
    write: &'static str,
}

const CREDENTIALS: SecretTable = SecretTable {
    name: "credentials",
    find: "SELECT organisation_id, id, key_version, ciphertext FROM credentials \
           WHERE organisation_id = $1 AND key_version < $2 ORDER BY id LIMIT $3",
    write: "UPDATE credentials SET key_version = $3, ciphertext = $4 \
            WHERE id = $1 AND key_version = $2",
};

const TARGET_SECRETS: SecretTable = SecretTable {
    name: "target_secrets",
    find: "SELECT $1, target_key || '/' || name, key_version, ciphertext FROM target_secrets \
           WHERE key_version < $2 ORDER BY target_key, name LIMIT $3",
    write: "UPDATE target_secrets SET key_version = $3, ciphertext = $4 \
            WHERE target_key || '/' || name = $1 AND key_version = $2",
};

const SIGNING_KEYS: SecretTable = SecretTable {
    name: "signing_keys",
    find: "SELECT $1, id, key_version, ciphertext FROM signing_keys \
           WHERE key_version < $2 ORDER BY id LIMIT $3",
    write: "UPDATE signing_keys SET key_version = $3, ciphertext = $4 \
            WHERE id = $1 AND key_version = $2",
};

const PLACEHOLDER_KEYS: SecretTable = SecretTable {
    name: "placeholder_keys",
    find: "SELECT $1, name, key_version, ciphertext FROM placeholder_keys \
           WHERE key_version < $2 ORDER BY name LIMIT $3",
    write: "UPDATE placeholder_keys SET key_version = $3, ciphertext = $4 \
            WHERE name = $1 AND key_version = $2",
};

const WEBHOOK_CONTENTS: SecretTable = SecretTable {
    name: "webhook_contents",
    find: "SELECT organisation_id, subject, key_version, ciphertext FROM webhook_contents \
           WHERE organisation_id = $1 AND key_version < $2 ORDER BY subject LIMIT $3",
    write: "UPDATE webhook_contents SET key_version = $3, ciphertext = $4 \
            WHERE subject = $1 AND key_version = $2",
};

const WEBHOOK_SECRETS: SecretTable = SecretTable {
    name: "webhook_endpoint_secrets",
    find: "SELECT organisation_id, id, key_version, ciphertext FROM webhook_endpoint_secrets \
           WHERE organisation_id = $1 AND key_version < $2 ORDER BY id LIMIT $3",
    write: "UPDATE webhook_endpoint_secrets SET key_version = $3, ciphertext = $4 \
            WHERE id = $1 AND key_version = $2",
};

const REVOCATIONS: SecretTable = SecretTable {
    name: "oauth_revocations",
    find: "SELECT organisation_id, connection_id, key_version, ciphertext FROM oauth_revocations \
           WHERE organisation_id = $1 AND key_version < $2 ORDER BY connection_id LIMIT $3",
    write: "UPDATE oauth_revocations SET key_version = $3, ciphertext = $4 \
            WHERE connection_id = $1 AND key_version = $2",
};

impl Vault {
    /// Wraps every data key again that an older version of the master key wrapped. Afterwards the
    /// older versions are needed no more.
    pub async fn rewrap(&self, store: &Store) -> Result<Rotated, VaultError> {
        let mut rotated = Rotated::default();
        loop {
            let done = self.rewrap_some(store).await?;
            rotated.data_keys += done;
            if done == 0 {
                return Ok(rotated);
            }
        }
    }

    async fn rewrap_some(&self, store: &Store) -> Result<u64, VaultError> {
        change!(store, |transaction| {
            let find = "SELECT owner, version, master_version, wrapped FROM data_keys \
                        WHERE master_version < $1 ORDER BY owner, version LIMIT $2";
            let newest = self.newest_master_version();
            let rows = transaction.fetch(find, values![newest, STEP]).await?;
            let mut done = 0;
            for mut row in rows {
                let (owner, version) = (row.text()?, row.integer()?);
                let (master_version, wrapped) = (row.integer()?, row.bytes()?);
                let bytes = self.unwrap_bytes((&owner, version), master_version, &wrapped)?;
                let (newest, wrapped) = self.wrap((&owner, version), bytes.expose())?;
                let write = "UPDATE data_keys SET master_version = $3, wrapped = $4 \
                             WHERE owner = $1 AND version = $2";
                let values = values![&owner, version, newest, wrapped];
                done += transaction.execute(write, values).await?;
            }
            Ok(done)
        })
    }

    /// Makes a new data key for `owner` and seals everything of theirs with it. Secrets that are
    /// written meanwhile are sealed with the new key at once.
    pub async fn rotate_data_key(
        &self,
        store: &Store,
        owner: &str,
        now_ms: i64,
    ) -> Result<Rotated, VaultError> {
        let newest = change!(store, |transaction| {
            let find = "SELECT COALESCE(MAX(version), 0) FROM data_keys WHERE owner = $1";
            let rows = transaction.fetch(find, values![owner]).await?;
            let newest = rows.into_iter().next().map_or(Ok(0), |mut row| row.integer())?;
            self.make_data_key(transaction, (owner, newest + 1), now_ms).await?;
            Ok::<_, VaultError>(newest + 1)
        })?;
        self.reseal(store, owner, newest).await
    }

    /// Seals what is left of an older data key of `owner`: what a killed rotation did not reach.
    pub async fn reseal(
        &self,
        store: &Store,
        owner: &str,
        newest: i64,
    ) -> Result<Rotated, VaultError> {
        let mut rotated = Rotated { data_keys: 1, secrets: 0 };
        let tables: &[SecretTable] = if owner == super::vault::INSTALLATION {
            &[TARGET_SECRETS, SIGNING_KEYS, PLACEHOLDER_KEYS]
        } else {
            &[CREDENTIALS, REVOCATIONS, WEBHOOK_SECRETS, WEBHOOK_CONTENTS]
        };
        for table in tables {
            loop {
                let done = self.reseal_some(store, table, (owner, newest)).await?;
                rotated.secrets += done;
                if done == 0 {
                    break;
                }
            }
        }
        Ok(rotated)
    }

    async fn reseal_some(
        &self,
        store: &Store,
        table: &SecretTable,
        (owner, newest): (&str, i64),
    ) -> Result<u64, VaultError> {
        change!(store, |transaction| {
            let rows = transaction.fetch(table.find, values![owner, newest, STEP]).await?;
            let mut done = 0;
            for row in rows {
                let stored = stored(row)?;
                done += self.reseal_one(transaction, table, &stored).await?;
            }
            Ok(done)
        })
    }

    async fn reseal_one(
        &self,
        transaction: &mut dyn Transaction,
        table: &SecretTable,
        stored: &Stored,
    ) -> Result<u64, VaultError> {
        let Stored { owner, row, sealed } = stored;
        let place = Place { table: table.name, row, column: "ciphertext" };
        let secret = self.open(transaction, owner, place, sealed).await?;
        let again = self.seal(transaction, owner, place, &secret).await?;
        let values = values![row, sealed.key_version, again.key_version, again.ciphertext];
        Ok(transaction.execute(table.write, values).await?)
    }
}

fn stored(mut row: Row) -> Result<Stored, VaultError> {
    let (owner, name) = (row.text()?, row.text()?);
    let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
    Ok(Stored { owner, row: name, sealed })
}
