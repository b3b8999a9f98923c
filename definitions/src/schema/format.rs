//! What a string must look like: closed, linear-time checks instead of regular expressions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// An absolute `https` or `http` URL without user, query or fragment.
    Uri,
    /// A DNS name of ASCII labels.
    Hostname,
    /// `local@domain`
    Email,
    /// One path segment of letters, digits, `.`, `_` and `-`, and not `.` or `..`.
    Slug,
    /// Slugs with `/` between them, at least two: `owner/name`.
    SlugPath,
    /// A header name (RFC 9110 §5.1).
    HeaderName,
}

impl Format {
    pub(super) fn find(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Uri => "an absolute `https` or `http` URL without user, query and fragment",
            Self::Hostname => "a host name",
            Self::Email => "an e-mail address",
            Self::Slug => "one path segment of letters, digits, `.`, `_` and `-`",
            Self::SlugPath => "of the form `owner/name`, of letters, digits, `.`, `_` and `-`",
            Self::HeaderName => "a header name",
        }
    }

    pub fn admits(self, text: &str) -> bool {
        match self {
            Self::Uri => uri(text),
            Self::Hostname => hostname(text),
            Self::Email => email(text),
            Self::Slug => slug(text),
            Self::SlugPath => text.contains('/') && text.split('/').all(slug),
            Self::HeaderName => !text.is_empty() && text.bytes().all(is_token_byte),
        }
    }
}

fn uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or("");
    matches!(scheme, "https" | "http")
        && !authority.is_empty()
        && !authority.contains('@')
        && rest.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\\"<>^`{|}".contains(&b))
}

fn hostname(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    !local.is_empty()
        && local.bytes().all(|b| b.is_ascii_graphic() && b != b'@')
        && hostname(domain)
}

fn slug(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !matches!(text, "" | "." | "..") && text.bytes().all(allowed)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_admits_what_it_describes_and_nothing_near_it() {
        for (format, good, bad) in [
            (
                Format::Uri,
                &["https://a.test", "http://[::1]:8/x"][..],
                &[
                    "",
                    "a.test",
                    "ftp://a",
                    "https://",
                    "https://u@a",
                    "https://a?x",
                    "https://a#f",
                    "https://a b",
                    "https://ü",
                    "https:///x",
                    "https://a\\b",
                    "https://a/{x}",
                ][..],
            ),
            (
                Format::Hostname,
                &["a", "a.b-c.test"],
                &["", ".", "a..b", "-a", "a-", "a_b", "a.", "ü", "a:1"],
            ),
            (Format::Email, &["a@b.test"], &["", "@b", "a@", "a b@c", "a@b_c", "a"]),
            (Format::Slug, &["a", "A.b_c-1"], &["", ".", "..", "a/b", "a%2f", "a b", "é", "{x}"]),
            (
                Format::SlugPath,
                &["a/b", "a/b/c"],
                &["", "a", "/", "a/", "/a", "a//b", "a/..", "a/*"],
            ),
            (Format::HeaderName, &["X-Api-Key"], &["", "a b", "a:", "ü", "a\n"]),
        ] {
            for text in good {
                assert!(format.admits(text), "{format:?} {text}");
            }
            for text in bad {
                assert!(!format.admits(text), "{format:?} {text}");
            }
        }
    }
}
