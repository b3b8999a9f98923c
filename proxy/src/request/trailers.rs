//! What may come behind a body, and how it is handed on.
//!
//! Trailers are fields that a recipient may merge into the head (RFC 9110 §6.5): what decides about
//! a message, where it goes or whose it is must not come that late, and no credential either.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use sallygate_definitions::placeholder::Recogniser;

use super::{Exchange, Slot};

/// Fields of framing, routing, request modifiers, authentication and content (RFC 9110 §6.5.1), and
/// those that we remove from heads. Whole families go by [`is_barred`].
const BARRED: &[&str] = &[
    "age",
    "alt-svc",
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "cookie2",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];

/// Whether a field has no business behind a body.
fn is_barred(name: &str) -> bool {
    BARRED.contains(&name)
        || name == "proxy"
        || ["content-", "if-", "proxy-", "x-forwarded-", "x-sallygate-"]
            .iter()
            .any(|family| name.starts_with(family))
}

/// Words that names of credential fields are made of. Whoever merges a trailer into the head would
/// take what the sandbox put there for the credential.
const CREDENTIAL_WORDS: &[&str] = &["auth", "token", "key", "secret", "passw", "credential"];

/// Whether a field may follow the body of a request; `credentials` are the fields that the provider
/// takes credentials from.
fn may_follow_request(name: &HeaderName, credentials: &[HeaderName]) -> bool {
    !is_barred(name.as_str())
        && !credentials.contains(name)
        && !CREDENTIAL_WORDS.iter().any(|word| name.as_str().contains(word))
}

/// Removes what must not follow the body of a request.
pub(crate) fn sift_request(trailers: &mut HeaderMap, credentials: &[HeaderName]) {
    let is_removed = |name: &&HeaderName| !may_follow_request(name, credentials);
    let removed: Vec<HeaderName> = trailers.keys().filter(is_removed).cloned().collect();
    for name in removed {
        trailers.remove(name);
    }
}

/// Removes fields with a placeholder in them: nothing is put in its place there.
pub(crate) fn sift_placeholders(trailers: &mut HeaderMap, recogniser: &Recogniser) {
    let has = |bytes: &[u8]| recogniser.finds(bytes).is_some();
    let is_removed = |(name, value): &(&HeaderName, &http::HeaderValue)| {
        has(name.as_str().as_bytes()) || has(value.as_bytes())
    };
    let removed = trailers.iter().filter(is_removed).map(|(name, _)| name.clone());
    let removed: Vec<HeaderName> = removed.collect();
    for name in removed {
        trailers.remove(name);
    }
}

/// Removes what must not follow the body of an answer.
fn sift_answer(trailers: &mut HeaderMap) {
    let is_removed = |name: &&HeaderName| is_barred(name.as_str());
    let removed: Vec<HeaderName> = trailers.keys().filter(is_removed).cloned().collect();
    for name in removed {
        trailers.remove(name);
    }
}

/// Whether a field of this name would be passed on behind the body of a request.
pub(super) fn may_follow(name: &[u8], credentials: &[HeaderName]) -> bool {
    HeaderName::from_bytes(name).is_ok_and(|name| may_follow_request(&name, credentials))
}

/// The lines of a trailer section, with the empty one that ends the message.
pub(crate) fn section(trailers: &HeaderMap) -> Vec<u8> {
    let mut section = Vec::new();
    for (name, value) in trailers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            section.extend_from_slice(part);
        }
    }
    section.extend_from_slice(b"\r\n");
    section
}

/// How the sandbox takes the trailers of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Behind the last chunk: it said that it reads them there.
    Chunks,
    /// In a frame of their own, as HTTP/2 always can.
    Frames,
    /// Not at all. Without `TE: trailers` a client of HTTP/1 may take them for anything.
    Nobody,
}

impl Reader {
    pub(super) fn of(x: &Exchange) -> Self {
        match &x.head {
            Some(head) if head.is_h2 => Self::Frames,
            Some(head) if head.wants_trailers => Self::Chunks,
            Some(_) | None => Self::Nobody,
        }
    }

    /// Keeps the trailers of an HTTP/1 answer where the sandbox's side finds them.
    pub(crate) fn keep(self, mut trailers: HeaderMap, slot: &Slot) {
        sift_answer(&mut trailers);
        match self {
            Self::Nobody => {}
            Self::Chunks | Self::Frames if trailers.is_empty() => {}
            Self::Chunks => slot.set_trailers([b"0\r\n", &section(&trailers)[..]].concat()),
            Self::Frames => slot.set_frames(trailers),
        }
    }
}

/// Notes how much of an HTTP/1 answer was taken for a sandbox that speaks HTTP/2. The end of an
/// answer with trailers waits in its stream until all before it was shown; the sandbox's session
/// puts them in place of the end.
pub(super) fn pass_body(body: Option<&Bytes>, x: &Exchange) {
    if x.journey.is_some() && Reader::of(x) == Reader::Frames {
        x.slot.pass(body.map_or(0, |body| body.len() as u64));
    }
}

/// Passes the trailers of an HTTP/2 answer on: to HTTP/2 as they are, and for HTTP/1 the wire
/// writes them behind the last chunk.
pub(super) fn pass_on(trailers: &mut HeaderMap, x: &Exchange) {
    sift_answer(trailers);
    if Reader::of(x) == Reader::Chunks {
        Reader::Chunks.keep(trailers.clone(), &x.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers(names: &[&'static str]) -> HeaderMap {
        names.iter().map(|name| (HeaderName::from_static(name), "v".parse().unwrap())).collect()
    }

    /// Whether it follows the body of a request, and of an answer.
    fn follows(name: &'static str) -> (bool, bool) {
        let (mut request, mut answer) = (trailers(&[name, "x-ok"]), trailers(&[name, "x-ok"]));
        sift_request(&mut request, &[HeaderName::from_static("x-custom")]);
        sift_answer(&mut answer);
        assert!(request.contains_key("x-ok") && answer.contains_key("x-ok"), "{name}");
        (request.contains_key(name), answer.contains_key(name))
    }

    #[test]
    fn what_decides_about_a_message_does_not_follow_it() {
        for name in [
            "authorization",
            "proxy-authorization",
            "proxy-anything",
            "cookie",
            "set-cookie",
            "host",
            "content-length",
            "content-type",
            "content-anything",
            "transfer-encoding",
            "connection",
            "te",
            "trailer",
            "upgrade",
            "expect",
            "if-match",
            "range",
            "location",
            "www-authenticate",
            "alt-svc",
            "forwarded",
            "x-forwarded-for",
            "x-sallygate-code",
            "via",
        ] {
            assert_eq!(follows(name), (false, false), "{name}");
            assert!(!may_follow(name.as_bytes(), &[]), "{name}");
        }
    }

    #[test]
    fn what_could_be_taken_for_a_credential_does_not_follow_a_request() {
        for name in [
            "x-custom",
            "x-api-key",
            "apikey",
            "x-auth-token",
            "private-token",
            "x-amz-security-token",
            "x-goog-api-key",
            "client-secret",
            "x-password",
        ] {
            assert_eq!(follows(name), (false, true), "{name}");
        }
        assert!(!may_follow(b"X-Custom", &[HeaderName::from_static("x-custom")]));
        assert!(!may_follow(b"X-Api-Key", &[]));
        assert!(!may_follow(b"no token", &[]));
    }

    #[test]
    fn what_only_says_something_about_the_body_follows_it() {
        for name in ["x-checksum", "digest", "server-timing", "grpc-status", "etag", "x-ms-sum"] {
            assert_eq!(follows(name), (true, true), "{name}");
            assert!(may_follow(name.as_bytes(), &[]), "{name}");
        }
    }

    #[test]
    fn a_section_ends_with_an_empty_line() {
        assert_eq!(section(&HeaderMap::new()), b"\r\n");
        assert_eq!(section(&trailers(&["x-a", "x-b"])), b"x-a: v\r\nx-b: v\r\n\r\n");
    }
}
