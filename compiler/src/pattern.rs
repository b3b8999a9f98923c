//! Host and path patterns: parsed once, canonical in the same way as requests.

use std::fmt;

use crate::canonical::{self, Host, HostError, PathError};

/// More segments than any API has; it bounds the depth of every walk over a table.
const SEGMENTS_MAX: usize = 64;
const PATTERN_BYTES_MAX: usize = 8 << 10;

/// Which hosts a route names. Ordered from the most specific to the least.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    Exact(String),
    /// `*.suffix`: exactly one more label.
    Single(String),
    /// `**.suffix`: one or more labels more.
    Multi(String),
    /// `*`
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(
        "`*` stands for whole labels at the front only: `*.example.com`, `**.example.com`, `*`"
    )]
    Wildcard,
    #[error("an address has no subdomains")]
    AddressSuffix,
}

impl HostPattern {
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(suffix) = text.strip_prefix("**.") {
            return Ok(Self::Multi(suffix_of(suffix)?));
        }
        if let Some(suffix) = text.strip_prefix("*.") {
            return Ok(Self::Single(suffix_of(suffix)?));
        }
        if text.contains('*') {
            return Err(HostPatternError::Wildcard);
        }
        Ok(Self::Exact(canonical::host(text.as_bytes())?.as_str().to_owned()))
    }

    pub fn matches(&self, host: &Host) -> bool {
        let front = |suffix: &str| match host.ip() {
            None => host.as_str().strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.')),
            Some(_) => None,
        };
        match self {
            Self::Exact(name) => host.as_str() == name,
            Self::Single(suffix) => front(suffix).is_some_and(|rest| !rest.contains('.')),
            Self::Multi(suffix) => front(suffix).is_some(),
            Self::Any => true,
        }
    }

    /// A host that the pattern matches, as it is written in a URL.
    pub(crate) fn witness(&self) -> String {
        match self {
            Self::Exact(name) if name.contains(':') => format!("[{name}]"),
            Self::Exact(name) => name.clone(),
            Self::Single(suffix) | Self::Multi(suffix) => format!("a.{suffix}"),
            Self::Any => "any.example".to_owned(),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(_) => f.write_str(&self.witness()),
            Self::Single(suffix) => write!(f, "*.{suffix}"),
            Self::Multi(suffix) => write!(f, "**.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

fn suffix_of(text: &str) -> Result<String, HostPatternError> {
    if text.contains('*') {
        return Err(HostPatternError::Wildcard);
    }
    let host = canonical::host(text.as_bytes())?;
    match host.ip() {
        Some(_) => Err(HostPatternError::AddressSuffix),
        None => Ok(host.as_str().to_owned()),
    }
}

/// Which paths a route names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    segments: Vec<Segment>,
    /// Whether everything below matches too (`/**`).
    tail: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Canonical.
    Literal(String),
    /// `{name}`: one whole segment, never an empty one.
    Parameter(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathPatternError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("a path pattern has no query")]
    Query,
    #[error(
        "a parameter is one whole segment with a name of letters, digits, `-` and `_`: `{{name}}`"
    )]
    Parameter,
    #[error("`*` stands only in a final `/**`; for one segment write `{{name}}`")]
    Wildcard,
    #[error("a path pattern has at most {SEGMENTS_MAX} segments and {PATTERN_BYTES_MAX} bytes")]
    TooLong,
}

impl PathPattern {
    pub fn parse(text: &str) -> Result<Self, PathPatternError> {
        let rest = text.strip_prefix('/').ok_or(PathError::NotOriginForm)?;
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PathPatternError::TooLong);
        }
        let (front, tail) = match rest.strip_suffix("**") {
            Some("") => (None, true),
            Some(front) => (front.strip_suffix('/'), true),
            None => (Some(rest), false),
        };
        if tail && front.is_none() && rest != "**" {
            return Err(PathPatternError::Wildcard);
        }
        let segments = front.into_iter().flat_map(|front| front.split('/')).map(Segment::parse);
        let segments = segments.collect::<Result<Vec<_>, _>>()?;
        if segments.len() > SEGMENTS_MAX {
            return Err(PathPatternError::TooLong);
        }
        Ok(Self { segments, tail })
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub fn has_tail(&self) -> bool {
        self.tail
    }

    /// Whether only paths with an encoded slash match.
    pub fn needs_encoded_slash(&self) -> bool {
        let encoded = |s: &Segment| matches!(s, Segment::Literal(text) if text.contains("%2F"));
        self.segments.iter().any(encoded)
    }

    /// Whether only paths with an empty segment match.
    pub fn needs_empty_segment(&self) -> bool {
        let empty = |s: &&Segment| matches!(s, Segment::Literal(text) if text.is_empty());
        // The last one is a trailing slash, unless it is all there is below another one.
        let inner = self.segments.len().saturating_sub(1);
        self.segments.iter().take(inner).any(|s| empty(&s))
    }

    /// Whether `path`, canonical, matches.
    pub fn matches(&self, path: &str) -> bool {
        let mut parts = path.strip_prefix('/').unwrap_or(path).split('/');
        for segment in &self.segments {
            let fits = match (segment, parts.next()) {
                (Segment::Literal(text), Some(part)) => text == part,
                (Segment::Parameter(_), Some(part)) => !part.is_empty(),
                (_, None) => false,
            };
            if !fits {
                return false;
            }
        }
        self.tail || parts.next().is_none()
    }

    /// This pattern below a canonical path without trailing slash.
    #[must_use]
    pub fn under(&self, base: &str) -> Self {
        let above = base.split('/').skip(1).map(|part| Segment::Literal(part.to_owned()));
        Self { segments: above.chain(self.segments.iter().cloned()).collect(), tail: self.tail }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter(name) => write!(f, "/{{{name}}}")?,
            }
        }
        f.write_str(if self.tail { "/**" } else { "" })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PathPatternError> {
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let fine = !name.is_empty() && name.bytes().all(allowed);
            return if fine {
                Ok(Self::Parameter(name.to_owned()))
            } else {
                Err(PathPatternError::Parameter)
            };
        }
        // What most segments are made of means the same however it is read.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !text.is_empty() && text.bytes().all(plain) {
            return Ok(Self::Literal(text.to_owned()));
        }
        if text.contains(['{', '}']) {
            return Err(PathPatternError::Parameter);
        }
        if text.contains('*') {
            return Err(PathPatternError::Wildcard);
        }
        let path = format!("/{text}");
        let target = canonical::target(path.as_bytes())?;
        if target.query().is_some() {
            return Err(PathPatternError::Query);
        }
        Ok(Self::Literal(target.path().strip_prefix('/').unwrap_or_default().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_pattern_matches_whole_labels_only() {
        for (pattern, host, expected) in [
            ("API.github.com.", "api.github.com", true),
            ("*.github.com", "api.github.com", true),
            ("*.github.com", "github.com", false),
            ("*.github.com", "a.b.github.com", false),
            ("*.github.com", "evilgithub.com", false),
            ("*.github.com", "github.com.evil.com", false),
            ("*.github.com", "github.com-evil.com", false),
            ("**.github.com", "a.b.github.com", true),
            ("**.github.com", "a.github.com", true),
            ("**.github.com", "github.com", false),
            ("**.github.com", "a.evilgithub.com", false),
            ("*", "github.com", true),
            ("*", "127.0.0.1", true),
            ("[::1]", "[::1]", true),
            ("127.0.0.1", "127.0.0.2", false),
        ] {
            let parsed = HostPattern::parse(pattern).unwrap();
            let host = canonical::host(host.as_bytes()).unwrap();
            assert_eq!(parsed.matches(&host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn what_is_not_a_host_pattern_is_refused() {
        for pattern in [
            "",
            "*.",
            "**",
            "*.*.com",
            "a.*.com",
            "*a.com",
            "**.127.0.0.1",
            "*.[::1]",
            "a b",
            "http://a",
            "a:443",
            "ü.com",
            "***.a",
            "*.com*",
        ] {
            assert!(HostPattern::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_path_pattern_matches_on_segment_boundaries_only() {
        for (pattern, path, expected) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/**", "/", true),
            ("/**", "/a/b", true),
            ("/**", "//", true),
            ("/v1/**", "/v1", true),
            ("/v1/**", "/v1/", true),
            ("/v1/**", "/v1/x/y", true),
            ("/v1/**", "/v10", false),
            ("/v1/**", "/v1;x", false),
            ("/v1/**", "/", false),
            ("/a", "/a", true),
            ("/a", "/a/", false),
            ("/a/", "/a", false),
            ("/a/", "/a/", true),
            ("/A", "/a", false),
            ("/%61", "/a", true),
            ("/{x}", "/a", true),
            ("/{x}", "/", false),
            ("/{x}", "/a/", false),
            ("/{x}/b", "/a/b", true),
            ("/{x}/b", "//b", false),
            ("/{x}/**", "/a", true),
            ("/{x}/**", "/", false),
            ("/{x}", "/a%2Fb", true),
            ("/a//b", "/a//b", true),
        ] {
            let parsed = PathPattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_not_a_path_pattern_is_refused() {
        for pattern in [
            "", "a", "**", "/a**", "/a/**/b", "/*", "/a/*", "/a*", "/{}", "/{a", "/a}", "/x{a}",
            "/{a}x", "/{a b}", "/a?b", "/a#b", "/../a", "/a/.", "/%2e", "/a b", "/ü", "/%5c",
            "/{a}/***",
        ] {
            assert!(PathPattern::parse(pattern).is_err(), "{pattern}");
        }
        assert!(PathPattern::parse(&"/a".repeat(65)).is_err());
    }

    #[test]
    fn a_pattern_is_written_as_it_was_read() {
        for text in ["/", "/**", "/a/{b}/**", "/a/", "/a//b", "/%2F"] {
            assert_eq!(PathPattern::parse(text).unwrap().to_string(), text);
        }
        let under = PathPattern::parse("/get").unwrap().under("/v1");
        assert_eq!(under.to_string(), "/v1/get");
        assert_eq!(PathPattern::parse("/**").unwrap().under("").to_string(), "/**");
    }
}
