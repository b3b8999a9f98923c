//! Work that looks like checking a call of a connection that is there.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sallygate_definitions::webhook::WebhookSecret;

use crate::credentials::{INSTALLATION, Place, Sealed, Vault, VaultError};
use crate::domain::DomainError;
use crate::store::Transaction;

/// As long as a sealed secret of usual length.
const SEALED_BYTES: usize = 60;

/// A secret that nobody knows: calls are checked with it beside those that are there, so that there
/// is always one.
#[derive(Clone, Debug)]
pub(super) struct Decoy(WebhookSecret);

impl Decoy {
    /// Without randomness nothing is taken for verified: an empty secret is nobody's.
    pub(super) fn new() -> Self {
        let mut bytes = [0u8; 24];
        match rand::fill(&mut bytes) {
            Ok(()) => Self(WebhookSecret::new(format!("whsec_{}", STANDARD.encode(bytes)))),
            Err(_) => Self(WebhookSecret::new(Vec::new())),
        }
    }

    pub(super) fn secret(&self) -> WebhookSecret {
        self.0.clone()
    }

    /// Opens what does not open.
    pub(super) async fn open(
        &self,
        transaction: &mut dyn Transaction,
        vault: &Vault,
    ) -> Result<(), DomainError> {
        let sealed = Sealed { key_version: 1, ciphertext: vec![0; SEALED_BYTES] };
        let place = Place { table: "credentials", row: "", column: "ciphertext" };
        match vault.open(transaction, INSTALLATION, place, &sealed).await {
            Ok(_) | Err(VaultError::DoesNotOpen) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
