//! Tokens: made once, shown once, kept as a hash.

use std::fmt::Write;

use aws_lc_rs::{digest, rand};

/// The system has no randomness: nothing secret can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system has no randomness")]
pub struct NoRandomness;

/// A token with 192 random bits behind `prefix`, in hexadecimal.
pub fn mint(prefix: &str) -> Result<String, NoRandomness> {
    let mut bytes = [0u8; 24];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(format!("{prefix}{}", hex(&bytes)))
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
    fn tokens_differ_and_their_hash_is_sha_256() {
        assert_ne!(mint("sgt_").unwrap(), mint("sgt_").unwrap());
        assert_eq!(
            sha256_hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
