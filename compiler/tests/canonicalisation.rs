//! Canonicalising loses nothing: two requests that an upstream may tell apart stay two, what is sent
//! means what came in, and what is canonical stays as it is.
//!
//! What an upstream may tell apart is said here anew: RFC 3986 (§2.3, §6.2.2) lets it treat an escape
//! of an unreserved byte like the byte, the digits of an escape in either case alike, and a byte that
//! no URI may hold like its escape. Any other difference is one.

use proptest::prelude::*;
use sallygate_compiler::canonical;

/// A byte of a path as an upstream reads it at least: itself, or an escape of something that is not
/// the same when it stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Byte(u8),
    Escaped(u8),
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// RFC 3986 appendix A: what may stand in a path by itself, besides escapes.
fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@/".contains(&byte)
}

/// `None`: a broken escape.
fn read(path: &str) -> Option<Vec<Read>> {
    let mut bytes = path.bytes();
    let mut all = Vec::new();
    while let Some(byte) = bytes.next() {
        all.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let value = u8::try_from(digit()? * 16 + digit()?).ok()?;
                if is_unreserved(value) { Read::Byte(value) } else { Read::Escaped(value) }
            }
            byte if is_path_byte(byte) => Read::Byte(byte),
            byte => Read::Escaped(byte),
        });
    }
    Some(all)
}

/// What may be told apart in a target. The query is nobody's to change.
fn meaning(target: &str) -> Option<(Vec<Read>, Option<&str>)> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    Some((read(path)?, query))
}

fn sent(target: &str) -> Option<String> {
    Some(canonical::target(target.as_bytes()).ok()?.to_path_and_query().into_owned())
}

/// Pieces of which neighbours are spellings of one another, or nearly so.
fn target() -> impl Strategy<Value = String> {
    let pieces = [
        "/", "a", "A", "%61", "%41", "%2F", "%2f", "%25", "%2525", ";", "%3B", "%3b", "=", "%3D",
        ":", "%3A", "+", "%20", "%2B", "|", "%7C", "%7c", "{", "%7B", "~", "%7E", ".", "%2E", "*",
        "%2A", "%C3%A9", "%c3%a9", "\"", "%22", "^", "%5E", "@", "%40", "&", "%26", "!", "%21",
        "%00", "\\", "%5C", "%", "%6", "-", "_",
    ];
    let path = proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..8);
    let query = proptest::option::of("[a%=&+61A.?/-]{0,6}");
    (path, query).prop_map(|(path, query)| {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("/{}{query}", path.concat())
    })
}

/// The same target in other spellings, and in ones that are none.
fn respelled() -> impl Strategy<Value = (String, String)> {
    let swaps = proptest::collection::vec((any::<prop::sample::Index>(), 0..4_u8), 0..4);
    (target(), swaps).prop_map(|(first, swaps)| {
        let mut second: Vec<String> = first.chars().map(String::from).collect();
        for (at, how) in swaps {
            let at = at.index(second.len());
            let Some(piece) = second.get_mut(at) else { continue };
            let byte = piece.bytes().next().unwrap_or(b'a');
            *piece = match how {
                0 => format!("%{byte:02X}"),
                1 => format!("%{byte:02x}"),
                2 => piece.to_ascii_uppercase(),
                _ => piece.to_ascii_lowercase(),
            };
        }
        (first, second.concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_is_sent_means_what_came_in(target in target()) {
        let Some(sent) = sent(&target) else { return Ok(()) };
        prop_assert_eq!(meaning(&sent), meaning(&target), "{} became {}", target, sent);
    }

    #[test]
    fn two_targets_are_one_exactly_when_no_upstream_may_tell_them_apart(
        (first, second) in respelled(),
    ) {
        let (Some(a), Some(b)) = (sent(&first), sent(&second)) else { return Ok(()) };
        let same = meaning(&first) == meaning(&second);
        prop_assert_eq!(a == b, same, "{} is {}, {} is {}", first, a, second, b);
    }

    #[test]
    fn what_is_canonical_is_sent_as_it_is(target in target()) {
        let Some(once) = sent(&target) else { return Ok(()) };
        prop_assert_eq!(sent(&once), Some(once));
    }

    #[test]
    fn two_hosts_are_one_exactly_when_dns_cannot_tell_them_apart(
        first in "[aAbB1-]{1,4}(\\.[aAbBzZ-]{1,3}){0,2}\\.{0,2}",
        upper in any::<bool>(), dot in any::<bool>(), other in "[aAbB1]{1,2}\\.[aAbBzZ]{1,2}\\.?",
    ) {
        // DNS compares names without case, and a name with its last dot is the same name.
        let name = |text: &str| text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let mut second = if upper { first.to_ascii_uppercase() } else { other };
        if dot {
            second.push('.');
        }
        let host = |text: &str| canonical::host(text.as_bytes()).ok();
        let (Some(a), Some(b)) = (host(&first), host(&second)) else { return Ok(()) };
        prop_assert_eq!(a == b, name(&first) == name(&second), "{} {}", first, second);
        prop_assert_eq!(host(a.as_str()), Some(a.clone()), "{} is not canonical", a.as_str());
    }
}

#[test]
fn spellings_that_servers_read_differently_stay_apart() {
    for (first, second) in [
        ("/a%2Fb", "/a/b"),
        ("/a%252Fb", "/a%2Fb"),
        ("/a;x", "/a%3Bx"),
        ("/a:b", "/a%3Ab"),
        ("/a+b", "/a%20b"),
        ("/a", "/A"),
        ("/a", "/a/"),
        ("/a//b", "/a/b"),
        ("/a?x=%41", "/a?x=A"),
        ("/a?", "/a"),
        ("/a?x=%2f", "/a?x=%2F"),
    ] {
        let (a, b) = (sent(first), sent(second));
        assert!(a.is_some() && b.is_some(), "{first} {second}");
        assert_ne!(a, b, "{first} {second}");
    }
}
