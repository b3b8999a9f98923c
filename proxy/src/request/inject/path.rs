//! Credentials in the path: one whole segment is replaced, whatever the sandbox wrote there.

use pingora::Result;
use pingora::http::RequestHeader;
use zeroize::Zeroizing;

use super::{encoded, missing};

/// Replaces the segment with this index, counted from 0 after the first slash.
pub(super) fn replace(request: &mut RequestHeader, segment: usize, secret: &[u8]) -> Result<()> {
    let target = replaced(request.raw_path(), segment, secret);
    request.set_raw_path(&target.ok_or_else(missing)?)
}

/// `None` when there is no such segment, or when the credential would change the path around it.
fn replaced(target: &[u8], segment: usize, secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if matches!(secret, b"" | b"." | b"..") {
        return None;
    }
    let mark = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at_checked(mark)?;
    let mut segments: Vec<&[u8]> = path.strip_prefix(b"/")?.split(|b| *b == b'/').collect();
    let secret = encoded(secret);
    *segments.get_mut(segment)? = &secret;
    let path = Zeroizing::new(segments.join(&b'/'));
    Some(Zeroizing::new([b"/", path.as_slice(), query].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_segment_is_replaced_and_nothing_else_changes() {
        for (target, segment, secret, expected) in [
            ("/bot/x/send?a=/b", 1, "t0k", Some("/bot/t0k/send?a=/b")),
            ("/x", 0, "t", Some("/t")),
            ("/x/", 0, "t", Some("/t/")),
            ("/a%2Fb/x", 0, "t", Some("/t/x")),
            ("/x/y", 0, "a/b?c#d e", Some("/a%2Fb%3Fc%23d%20e/y")),
            ("/x", 1, "t", None),
            ("/x?/y", 1, "t", None),
            ("x", 0, "t", None),
            ("/x", 0, "..", None),
            ("/x", 0, ".", None),
            ("/x", 0, "", None),
        ] {
            let got = replaced(target.as_bytes(), segment, secret.as_bytes());
            let got = got.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
            assert_eq!(got.as_deref(), expected, "{target} {segment} {secret}");
        }
    }
}
