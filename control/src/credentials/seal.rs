//! AES-256-GCM with a random nonce, bound to the place where the ciphertext stands: moved to
//! another row, column or key version it does not open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::Plaintext;

/// 256 bits.
pub(super) const KEY_BYTES: usize = 32;

/// Where a ciphertext stands. Two places are never the same bytes: every part has its length.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub table: &'a str,
    pub row: &'a str,
    pub column: &'a str,
}

impl Place<'_> {
    fn bound_to(&self, key_version: i64) -> Vec<u8> {
        let mut bytes = b"sallygate/1".to_vec();
        for part in [self.table, self.row, self.column] {
            bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes.extend(key_version.to_be_bytes());
        bytes
    }
}

/// A key that seals and opens.
pub(crate) struct Key {
    key: LessSafeKey,
    version: i64,
}

/// Something is wrong with the key, the place or the bytes; which is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DoesNotOpen;

impl Key {
    pub(crate) fn new(version: i64, bytes: &[u8]) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?);
        Some(Self { key, version })
    }

    pub(super) fn version(&self) -> i64 {
        self.version
    }

    /// Nonce, ciphertext, tag. `None`: the system has no randomness.
    pub(crate) fn seal(&self, place: Place<'_>, plaintext: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0u8; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = nonce.to_vec();
        let mut buffer = Zeroizing::new(plaintext.to_vec());
        let aad = Aad::from(place.bound_to(self.version));
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, aad, &mut buffer).ok()?;
        sealed.extend(&*buffer);
        sealed.extend(tag.as_ref());
        Some(sealed)
    }

    pub(crate) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Plaintext, DoesNotOpen> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LEN).ok_or(DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let aad = Aad::from(place.bound_to(self.version));
        let opened = self.key.open_in_place(nonce, aad, &mut buffer).map_err(|_| DoesNotOpen)?;
        Ok(Plaintext::new(opened.to_vec()))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { table: "credentials", row: "icr_1", column: "ciphertext" };

    fn key(version: i64, byte: u8) -> Key {
        Key::new(version, &[byte; KEY_BYTES]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let sealed = key(1, 7).seal(PLACE, b"secret").unwrap();
        assert_eq!(key(1, 7).open(PLACE, &sealed).unwrap().expose(), b"secret");
        for place in [
            Place { table: "target_secrets", ..PLACE },
            Place { row: "icr_2", ..PLACE },
            Place { column: "other", ..PLACE },
            Place { table: "credentialsi", row: "cr_1", ..PLACE },
            Place { row: "icr_1c", column: "iphertext", ..PLACE },
        ] {
            assert!(key(1, 7).open(place, &sealed).is_err(), "{place:?}");
        }
        assert!(key(2, 7).open(PLACE, &sealed).is_err(), "another version");
        assert!(key(1, 8).open(PLACE, &sealed).is_err(), "another key");
    }

    #[test]
    fn a_changed_or_shortened_ciphertext_does_not_open() {
        let sealed = key(1, 7).seal(PLACE, b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key(1, 7).open(PLACE, &changed).is_err(), "byte {at}");
            assert!(key(1, 7).open(PLACE, &sealed[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn the_same_secret_is_never_sealed_alike() {
        let (one, other) = (key(1, 7).seal(PLACE, b"s"), key(1, 7).seal(PLACE, b"s"));
        assert_ne!(one, other);
        assert!(Key::new(1, &[0; 16]).is_none(), "a short key is no key");
    }
}
