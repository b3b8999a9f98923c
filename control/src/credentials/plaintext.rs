//! The bytes of a secret while somebody has to hold them.

use std::fmt;

use aws_lc_rs::digest;
use zeroize::Zeroizing;

/// The bytes of a secret: wiped when dropped, never shown.
#[derive(Clone)]
pub struct Plaintext(Zeroizing<Vec<u8>>);

/// Shorter secrets show nothing of themselves: four characters would be too much of them.
const SHOWS_LAST: usize = 16;

impl Plaintext {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. Whoever calls this is responsible for where they go.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// What people recognise a secret by: its last four characters where it is long enough, and
    /// the first bytes of its hash.
    pub fn fingerprint(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &self.0);
        let hash: String = hash.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let text = std::str::from_utf8(&self.0).unwrap_or_default();
        let characters = text.chars().count();
        if characters < SHOWS_LAST {
            return format!("sha256:{hash}");
        }
        let last: String = text.chars().skip(characters - 4).collect();
        let shown = last.chars().all(|character| character.is_ascii_graphic());
        if shown { format!("…{last} sha256:{hash}") } else { format!("sha256:{hash}") }
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_recognised_by_little_of_it() {
        for (secret, shown) in [
            ("ghp_0123456789abcdefWXYZ", "…WXYZ sha256:"),
            ("short", "sha256:"),
            ("fifteen-chars-x", "sha256:"),
            ("0123456789abc\n\n\n\n", "sha256:"),
        ] {
            let fingerprint = Plaintext::new(secret.into()).fingerprint();
            assert!(fingerprint.starts_with(shown), "{secret}: {fingerprint}");
            assert!(!fingerprint.contains(secret), "{fingerprint}");
        }
        let shown = format!("{:?}", Plaintext::new(b"ghp_0123456789".to_vec()));
        assert_eq!(shown, "Plaintext(…)");
    }
}
