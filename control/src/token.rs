//! Tokens: made once, shown once, kept as a hash.

use std::fmt::Write;

use aws_lc_rs::{digest, rand};

/// The system has no randomness: nothing secret can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system has no randomness")]
pub struct NoRandomness;

/// Digits of a token's checksum.
const CHECK_DIGITS: usize = 8;

/// A token with 192 random bits behind `prefix`, in hexadecimal, and a checksum at its end: a
/// scanner that finds one knows what it is, and a token that was cut off is refused unseen.
pub fn mint(prefix: &str) -> Result<String, NoRandomness> {
    let mut bytes = [0u8; 24];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    let token = format!("{prefix}{}", hex(&bytes));
    let check = checksum(&token);
    Ok(token + &check)
}

/// Whether `token` may be one that [`mint`] made behind `prefix`.
pub fn is_whole(prefix: &str, token: &str) -> bool {
    let cut = token.len().checked_sub(CHECK_DIGITS);
    let halves = cut.and_then(|cut| token.split_at_checked(cut));
    token.starts_with(prefix) && halves.is_some_and(|(body, check)| checksum(body) == check)
}

fn checksum(token: &str) -> String {
    let mut sum = sha256_hex(token);
    sum.truncate(CHECK_DIGITS);
    sum
}

/// The bytes that a table keeps instead of a token.
pub fn sha256(token: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().to_vec()
}

/// What a policy file holds instead of a token.
pub fn sha256_hex(token: &str) -> String {
    hex(digest::digest(&digest::SHA256, token.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_lost_or_changed_a_digit_is_seen_to() {
        let token = mint("sga_").unwrap();
        assert!(is_whole("sga_", &token), "{token}");
        assert!(!is_whole("sgt_", &token), "another kind");
        for at in 4..token.len() {
            let mut changed = token.clone().into_bytes();
            let cut = String::from_utf8_lossy(&changed[..at]).into_owned();
            assert!(!is_whole("sga_", &cut), "cut at {at}");
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert!(!is_whole("sga_", &String::from_utf8(changed).unwrap()), "byte {at}");
        }
        for wrong in ["", "sga_", "sga_\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}"] {
            assert!(!is_whole("sga_", wrong), "{wrong}");
        }
    }

    #[test]
    fn tokens_differ_and_their_hash_is_sha_256() {
        assert_ne!(mint("sgt_").unwrap(), mint("sgt_").unwrap());
        assert_eq!(
            sha256_hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
