//! A base URL as an operator writes it: scheme, authority, and a path that everything is under.

use super::{Authority, HostError, PathError, Scheme, authority, target};

/// A canonical base URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    pub scheme: Scheme,
    pub authority: Authority,
    /// Canonical, without trailing slash; empty for the whole host.
    pub path: String,
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority.wire(self.scheme), self.path)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    #[error("a base URL begins with `https://` or `http://`")]
    Scheme,
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("a base URL has no query, no encoded slash and no empty segment")]
    Shape,
}

impl BaseUrlError {
    /// Stable: part of the interface.
    pub fn code(self) -> &'static str {
        match self {
            Self::Host(error) => error.code(),
            Self::Path(error) => error.code(),
            Self::Scheme | Self::Shape => "base_url_invalid",
        }
    }
}

/// Reads `scheme://host[:port][/path]`; trailing slashes of the path are dropped.
pub fn base_url(input: &str) -> Result<BaseUrl, BaseUrlError> {
    let (scheme, rest) = match input.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        _ => return Err(BaseUrlError::Scheme),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let authority = authority(host.as_bytes(), Some(scheme.default_port()))?;
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return Ok(BaseUrl { scheme, authority, path: String::new() });
    }
    let target = target(path.as_bytes())?;
    if target.query().is_some() || target.has_encoded_slash() || target.has_empty_segment() {
        return Err(BaseUrlError::Shape);
    }
    Ok(BaseUrl { scheme, authority, path: target.path().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_has_one_spelling() {
        for (input, expected) in [
            ("https://API.test", "https://api.test"),
            ("https://api.test:443/", "https://api.test"),
            ("https://api.test:8443/v1/", "https://api.test:8443/v1"),
            ("http://[::1]:80/%61", "http://[::1]/a"),
        ] {
            assert_eq!(base_url(input).unwrap().to_string(), expected, "{input}");
        }
    }

    #[test]
    fn what_is_not_a_base_url_is_refused() {
        for input in [
            "",
            "api.test",
            "ftp://a.test",
            "HTTPS://a.test",
            "https://",
            "https://u@a.test",
            "https://a.test?x",
            "https://a.test/v1?x",
            "https://a.test/#f",
            "https://a.test/a/../b",
            "https://a.test//a",
            "https://a.test/a%2fb",
            "https://a.test/ü",
            "https://a.test:0",
        ] {
            assert!(base_url(input).is_err(), "{input}");
        }
    }
}
