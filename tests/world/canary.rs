//! Secrets made at random for one world, and the search for traces of them.
//!
//! A canary has a core of letters and digits between punctuation that URL-encoding, JSON and shells
//! treat specially. Looking for the core finds the secret raw, URL-encoded and JSON-escaped alike;
//! base64 and hex are searched for on their own.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A secret that exists in this world only.
#[derive(Debug, Clone)]
pub(crate) struct Canary {
    core: String,
    value: String,
}

impl Canary {
    /// A credential: its value has characters that an encoder would change.
    pub(crate) fn credential() -> Self {
        let core = random_letters();
        Self { value: format!("cnry_{core}+/=&%"), core }
    }

    /// A sandbox token: usable in a proxy URL as it is.
    pub(crate) fn token() -> Self {
        let core = random_letters();
        Self { value: core.clone(), core }
    }

    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    /// The form in which this canary occurs in `bytes`, if it does.
    pub(crate) fn trace_in(&self, bytes: &[u8]) -> Option<&'static str> {
        self.forms().into_iter().find(|(_, form)| contains(bytes, form)).map(|(name, _)| name)
    }

    fn forms(&self) -> Vec<(&'static str, Vec<u8>)> {
        let hex: String = self.core.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![
            ("raw", self.core.clone().into_bytes()),
            ("hex", hex.clone().into_bytes()),
            ("hex", hex.to_uppercase().into_bytes()),
        ];
        // Base64 depends on where the secret starts within a group of three bytes; the characters
        // at either end also hold bits of the neighbours and are left out.
        for offset in 0..3 {
            let shifted = [vec![0; offset], self.core.clone().into_bytes()].concat();
            for engine in [&STANDARD, &URL_SAFE] {
                let encoded = engine.encode(&shifted);
                forms.push(("base64", encoded.as_bytes()[4..encoded.len() - 4].to_vec()));
            }
        }
        forms
    }
}

fn random_letters() -> String {
    let mut bytes = [0; 24];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::{Canary, STANDARD, URL_SAFE};
    use base64::Engine as _;

    #[test]
    fn a_canary_is_found_in_every_form_and_nowhere_else() {
        let canary = Canary::credential();
        let value = canary.value();
        let basic = |user: &str| STANDARD.encode(format!("{user}:{value}"));
        let hex: String = value.bytes().map(|byte| format!("{byte:02X}")).collect();
        for (form, text) in [
            ("raw", format!("authorization: Bearer {value}")),
            ("raw", value.replace('+', "%2B").replace('/', "%2F")),
            ("raw", format!("{value:?}").replace('/', "\\/")),
            ("base64", basic("a")),
            ("base64", basic("ab")),
            ("base64", basic("abc")),
            ("base64", URL_SAFE.encode(value)),
            ("hex", hex),
        ] {
            assert_eq!(canary.trace_in(text.as_bytes()), Some(form), "{text}");
        }
        assert_eq!(canary.trace_in(Canary::credential().value().as_bytes()), None);
        assert_eq!(canary.trace_in(b""), None);
    }
}
