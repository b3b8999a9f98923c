//! Reads what Pingora wrote, where something of it has to be told apart or put right.

use std::ops::Range;

/// Where the value of `Date` stands in the head of a response; `None` when `bytes` are no head.
pub(crate) fn date(bytes: &[u8]) -> Option<Range<usize>> {
    if !bytes.starts_with(b"HTTP/1.") {
        return None;
    }
    let mut at = 0;
    loop {
        let length = bytes.get(at..)?.iter().position(|b| *b == b'\n')?;
        let line = bytes.get(at..at + length)?;
        if line.get(..6).is_some_and(|name| name.eq_ignore_ascii_case(b"date: ")) {
            return Some(at + 6..at + length - usize::from(line.ends_with(b"\r")));
        }
        if matches!(line, b"" | b"\r") {
            return None;
        }
        at += length + 1;
    }
}

/// Whether a head that we wrote says that a coding delimits its body.
pub(crate) fn has_coding(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|b| *b == b'\n');
    lines.any(|line| {
        line.get(..18).is_some_and(|name| name.eq_ignore_ascii_case(b"transfer-encoding:"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_a_response_is_found_where_it_stands_and_nowhere_else() {
        for (text, found) in [
            ("HTTP/1.1 200 OK\r\nDate: x y\r\nA: b\r\n\r\n", Some("x y")),
            ("HTTP/1.0 200 OK\r\nA: b\r\ndate: z\r\n\r\n", Some("z")),
            ("HTTP/1.1 200 OK\r\nX-Date: x\r\n\r\nDate: x\r\n", None),
            ("HTTP/1.1 100 Continue\r\n\r\n", None),
            ("Date: x\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\nDate: cut", None),
            ("", None),
        ] {
            let value = date(text.as_bytes()).map(|range| text.get(range).unwrap());
            assert_eq!(value, found, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_reach_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = date(&[b"HTTP/1.", &bytes[..]].concat());
            let _ = has_coding(&bytes);
        }
    }
}
