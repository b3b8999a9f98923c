//! What texts may look like that come from outside.

use super::{DomainError, Issue};

pub(crate) const NAME_BYTES_MAX: usize = 120;

/// A name that people read: printable, of reasonable length.
pub(crate) fn name(field: &str, text: &str) -> Result<(), DomainError> {
    let fine = !text.trim().is_empty()
        && text.len() <= NAME_BYTES_MAX
        && !text.chars().any(char::is_control);
    if fine {
        return Ok(());
    }
    let message = format!("`{field}` is 1 to {NAME_BYTES_MAX} bytes of printable text");
    Err(DomainError::invalid(vec![Issue::new("INVALID_NAME", field, message)]))
}

/// A key that stands in paths and in the names of webhooks.
pub(crate) fn key(field: &str, text: &str) -> Result<(), DomainError> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fine = text.len() <= 64
        && text.bytes().all(inner)
        && !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fine {
        return Ok(());
    }
    let message = format!("`{field}` is 1 to 64 of `a-z`, `0-9` and `-`, and no `-` at its ends");
    Err(DomainError::invalid(vec![Issue::new("INVALID_KEY", field, message)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_are_what_can_be_shown() {
        for good in ["a", "Acme GmbH & Co.", &"x".repeat(120)] {
            assert!(name("name", good).is_ok(), "{good}");
        }
        for wrong in ["", "  ", "a\nb", "a\u{0}", &"x".repeat(121)] {
            assert!(name("name", wrong).is_err(), "{wrong:?}");
        }
        for good in ["a", "github", "github-2", &"x".repeat(64)] {
            assert!(key("key", good).is_ok(), "{good}");
        }
        for wrong in ["", "-a", "a-", "A", "a/b", "a.b", "ä", "a b", &"x".repeat(65)] {
            assert!(key("key", wrong).is_err(), "{wrong:?}");
        }
    }
}
