//! What a page is recognised by: the name that git gives to its content.
//!
//! All providers tell it of a file, in lists too, and it can be worked out from the content: what a
//! provider says of a page is checked against what it gives.

use std::fmt::Write as _;

use aws_lc_rs::digest::{self, Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// The hexadecimal digits of SHA-256; the names of older repositories are shorter.
const LONG: usize = 64;
const SHORT: usize = 40;

/// The name of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentHash(String);

impl ContentHash {
    /// `None`: this is no name that git gives.
    pub fn parse(text: &str) -> Option<Self> {
        let fine = [SHORT, LONG].contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        fine.then(|| Self(text.to_owned()))
    }

    /// The name of this content, in a repository whose names are of SHA-1.
    pub fn of(content: &[u8]) -> Self {
        Self::with(&SHA1_FOR_LEGACY_USE_ONLY, content)
    }

    /// The name of this content beside this one.
    pub fn beside(&self, content: &[u8]) -> Self {
        match self.0.len() {
            LONG => Self::with(&SHA256, content),
            _ => Self::of(content),
        }
    }

    fn with(algorithm: &'static Algorithm, content: &[u8]) -> Self {
        let mut context = digest::Context::new(algorithm);
        context.update(format!("blob {}\0", content.len()).as_bytes());
        context.update(content);
        let mut text = String::new();
        for byte in context.finish().as_ref() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_has_the_name_that_git_gives_it() {
        // `printf 'hello\n' | git hash-object --stdin`, and in a repository of SHA-256.
        let short = "ce013625030ba8dba906f756967f9e9ca394464a";
        let long = "2cf8d83d9ee29543b34a87727421fdecb7e3f3a183d337639025de576db9ebb4";
        assert_eq!(ContentHash::of(b"hello\n").as_str(), short);
        let of = |name: &str| ContentHash::parse(name).unwrap().beside(b"hello\n");
        assert_eq!(of(short).as_str(), short);
        assert_eq!(of(long).as_str(), long);
        for wrong in ["", "ce01", &short.to_uppercase(), &short.replace('c', "g")] {
            assert!(ContentHash::parse(wrong).is_none(), "{wrong}");
        }
    }
}
