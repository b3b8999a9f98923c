//! The key of an installation, and the placeholders that are made with it.

use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

use super::shape::Shape;

/// What every placeholder has in it: rare in everything else, and made of characters that every
/// alphabet has and that survive every encoding and a host name.
pub const MARK: &[u8; 9] = b"5a11e9a7e";

/// Hex digits behind the mark that tell one placeholder from another: 64 bits.
const NAME_BYTES: usize = 16;
/// Hex digits behind those that only the key can make of them: 44 bits.
const CHECK_BYTES: usize = 11;

/// The mark and what is behind it.
pub const CODE_BYTES: usize = MARK.len() + NAME_BYTES + CHECK_BYTES;

/// Whose placeholder it is, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'o> {
    pub organization: &'o str,
    pub sandbox: &'o str,
    pub connection: &'o str,
    pub secret_type: &'o str,
    pub slot: Option<&'o str>,
}

/// The key of an installation. It opens nothing; with it placeholders can be made and known.
#[derive(Clone, PartialEq, Eq)]
pub struct PlaceholderKey([u8; 32]);

impl Drop for PlaceholderKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for PlaceholderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlaceholderKey(…)")
    }
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

impl std::fmt::Display for BadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key for placeholders has 32 bytes, in base64url")
    }
}

impl std::error::Error for BadKey {}

impl PlaceholderKey {
    /// A new one; `None`: the system has no randomness.
    pub fn generate() -> Option<Self> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).ok().map(|()| Self(bytes))
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As it stands in a file.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0))
    }

    /// Reads [`Self::to_text`].
    pub fn from_text(text: &str) -> Result<Self, BadKey> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| BadKey)?);
        bytes.as_slice().try_into().map(Self).map_err(|_| BadKey)
    }

    /// The placeholder of `owner`, and where in it the code begins.
    pub fn placeholder(&self, owner: &Owner<'_>, shape: &Shape) -> (String, usize) {
        let seed = self.sign("sallygate placeholder", &owner.parts());
        let mut code = MARK.to_vec();
        code.extend(hex(&seed, NAME_BYTES));
        let name = code.get(MARK.len()..).unwrap_or_default().to_vec();
        code.extend(self.check(&name));
        let mut made = (0u32.., Vec::new());
        let byte = || {
            if made.1.is_empty() {
                let count = made.0.next().unwrap_or_default().to_be_bytes();
                made.1 = self.sign("sallygate placeholder filling", &[&seed, &count]).to_vec();
            }
            made.1.pop().unwrap_or_default()
        };
        shape.fill(&code, byte)
    }

    /// Whether `code`, which begins with the mark, was made with this key.
    pub(super) fn made(&self, code: &[u8]) -> bool {
        let name = code.get(MARK.len()..MARK.len() + NAME_BYTES);
        let check = code.get(MARK.len() + NAME_BYTES..CODE_BYTES);
        name.zip(check).is_some_and(|(name, check)| self.check(name) == check)
    }

    fn check(&self, name: &[u8]) -> [u8; CHECK_BYTES] {
        let signed = self.sign("sallygate placeholder check", &[name]);
        let mut check = [0; CHECK_BYTES];
        for (slot, digit) in check.iter_mut().zip(digits(&signed)) {
            *slot = digit;
        }
        check
    }

    /// HMAC-SHA-256 over parts that cannot run into each other.
    fn sign(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        for part in [purpose.as_bytes()].iter().chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut out = [0; 32];
        for (slot, byte) in out.iter_mut().zip(context.sign().as_ref()) {
            *slot = *byte;
        }
        out
    }
}

impl<'o> Owner<'o> {
    fn parts(&self) -> [&'o [u8]; 6] {
        let Self { organization, sandbox, connection, secret_type, slot } = *self;
        let has_slot: &[u8] = if slot.is_some() { b"slot" } else { b"" };
        let slot = slot.unwrap_or_default();
        let texts = [organization, sandbox, connection, secret_type, slot].map(str::as_bytes);
        let [organization, sandbox, connection, secret_type, slot] = texts;
        [organization, sandbox, connection, secret_type, has_slot, slot]
    }
}

/// The first `count` hex digits of `bytes`.
fn hex(bytes: &[u8], count: usize) -> impl Iterator<Item = u8> {
    digits(bytes).take(count)
}

fn digits(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    bytes.iter().flat_map(move |byte| [digit(byte >> 4), digit(byte & 0xf)])
}

// What is told to proxies, and kept by them in files that only they can read.
impl Serialize for PlaceholderKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for PlaceholderKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Self::from_text(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner<'static> = Owner {
        organization: "org",
        sandbox: "sbx",
        connection: "gh",
        secret_type: "api_key",
        slot: None,
    };

    fn of(key: u8, owner: Owner<'_>) -> String {
        let shape = Shape::parse("ghp_{alphanumeric:40}").unwrap();
        PlaceholderKey::from_bytes([key; 32]).placeholder(&owner, &shape).0
    }

    #[test]
    fn a_placeholder_is_always_the_same_and_nobody_elses() {
        let first = of(1, OWNER);
        assert_eq!(first, of(1, OWNER));
        for (what, other) in [
            ("key", of(2, OWNER)),
            ("organization", of(1, Owner { organization: "or", sandbox: "gsbx", ..OWNER })),
            ("sandbox", of(1, Owner { sandbox: "sbx2", ..OWNER })),
            ("connection", of(1, Owner { connection: "hg", ..OWNER })),
            ("secret", of(1, Owner { secret_type: "password", ..OWNER })),
            ("slot", of(1, Owner { slot: Some("a"), ..OWNER })),
            ("empty slot", of(1, Owner { slot: Some(""), ..OWNER })),
        ] {
            assert_ne!(first, other, "{what}");
            let name = |text: &str| text.get(13..29).unwrap().to_owned();
            assert_ne!(name(&first), name(&other), "{what}");
        }
    }

    #[test]
    fn a_code_is_known_by_its_key_and_by_no_other() {
        let placeholder = of(1, OWNER);
        let code = placeholder.as_bytes().get(4..4 + CODE_BYTES).unwrap();
        assert!(PlaceholderKey::from_bytes([1; 32]).made(code));
        assert!(!PlaceholderKey::from_bytes([2; 32]).made(code));
        for at in MARK.len()..CODE_BYTES {
            let mut forged = code.to_vec();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert!(!PlaceholderKey::from_bytes([1; 32]).made(&forged), "{at}");
        }
        assert!(!PlaceholderKey::from_bytes([1; 32]).made(&code[..CODE_BYTES - 1]));
    }

    #[test]
    fn a_key_is_read_as_it_was_written_and_is_not_shown() {
        let key = PlaceholderKey::generate().unwrap();
        assert_eq!(PlaceholderKey::from_text(&format!("{}\n", &*key.to_text())), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), "PlaceholderKey(…)");
        for wrong in ["", "AAAA", "not base64url!", &"A".repeat(44)] {
            assert_eq!(PlaceholderKey::from_text(wrong), Err(BadKey), "{wrong}");
        }
    }
}
