//! The canonicaliser of authorities and request targets.

use sallygate_compiler::canonical;
use sallygate_compiler::pattern::{HostPattern, PathPattern};

/// What is canonical stays as it is, and canonicalising changes only what may be changed.
pub fn request(bytes: &[u8]) {
    host(bytes);
    target(bytes);
    if let Ok(text) = str::from_utf8(bytes) {
        patterns(text);
    }
}

fn host(bytes: &[u8]) {
    if let Ok(host) = canonical::host(bytes) {
        let text = host.to_string();
        assert_eq!(canonical::host(text.as_bytes()).as_ref(), Ok(&host), "not idempotent");
    }
    if let Ok(authority) = canonical::authority(bytes, Some(443)) {
        assert!(authority.agrees(bytes, Some(443)), "an authority agrees with itself");
        let text = authority.to_string();
        assert_eq!(canonical::authority(text.as_bytes(), None).as_ref(), Ok(&authority));
    }
}

fn target(bytes: &[u8]) {
    let Ok(target) = canonical::target(bytes) else { return };
    let sent = target.to_path_and_query();
    assert_eq!(canonical::target(sent.as_bytes()).as_ref(), Ok(&target), "not idempotent");
    // Two requests that an upstream may tell apart differ in what they decode to.
    let before = decoded(bytes.split(|byte| *byte == b'?').next().unwrap_or_default());
    assert_eq!(decoded(target.path().as_bytes()), before, "another path");
    let query = bytes.iter().position(|byte| *byte == b'?').and_then(|at| bytes.get(at + 1..));
    assert_eq!(target.query().map(str::as_bytes), query, "another query");
}

/// Escapes of one byte, decoded once.
fn decoded(path: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (mut bytes, mut rest) = (Vec::with_capacity(path.len()), path);
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => digit(high).zip(digit(low)).map(|(h, l)| h << 4 | l),
            _ => None,
        };
        if escaped.is_some() {
            rest = after.get(2..).unwrap_or_default();
        }
        // An escaped separator is data; it must not become one, nor one it.
        bytes.extend(if escaped == Some(b'/') { [b'%', b'/'].as_slice() } else { &[] });
        bytes.push(escaped.unwrap_or(*first));
    }
    bytes
}

fn patterns(text: &str) {
    if let Ok(pattern) = HostPattern::parse(text) {
        assert_eq!(HostPattern::parse(&pattern.to_string()).as_ref(), Ok(&pattern));
    }
    if let Ok(pattern) = PathPattern::parse(text) {
        assert_eq!(PathPattern::parse(&pattern.to_string()).as_ref(), Ok(&pattern));
    }
}
