//! Secrets at rest: sealed under keys that the database does not have.
//!
//! Only the vault opens what is sealed here. Plaintext lives in buffers that are wiped, and has no
//! `Debug`, `Display` or `Serialize`.

mod master;
mod plaintext;
mod rotate;
mod seal;
mod vault;

pub use master::{MasterKeyError, MasterKeys};
pub use plaintext::Plaintext;
pub use rotate::Rotated;
pub(crate) use seal::Key as SealingKey;
pub use seal::Place;
pub use vault::{INSTALLATION, Sealed, Sealer, Vault, VaultError};
