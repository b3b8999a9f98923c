//! Credentials in the query: one parameter goes and one comes, and every other byte stays.

use pingora::Result;
use pingora::http::RequestHeader;
use zeroize::Zeroizing;

use super::encoded;
use crate::credential::Ready;

/// Removes query parameters with these names, but for those that stay; everything else stays byte
/// for byte.
pub(super) fn clear(
    request: &mut RequestHeader,
    names: &[impl AsRef<str>],
    stays: impl Fn(&[u8]) -> bool,
) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let raw = request.raw_path().to_vec();
    let Some(mark) = raw.iter().position(|b| *b == b'?') else { return Ok(()) };
    let (path, query) = raw.split_at(mark);
    let query = query.get(1..).unwrap_or_default();
    let is_kept = |pair: &&[u8]| {
        let name = decoded(pair.split(|b| *b == b'=').next().unwrap_or_default());
        !names.iter().any(|n| name.eq_ignore_ascii_case(n.as_ref().as_bytes())) || stays(pair)
    };
    let kept: Vec<&[u8]> = query.split(|b| *b == b'&').filter(is_kept).collect();
    let joined = kept.join(&b'&');
    if joined.len() == query.len() {
        return Ok(());
    }
    let target = if joined.is_empty() { path.to_vec() } else { [path, b"?", &joined].concat() };
    request.set_raw_path(&target)
}

/// A parameter's name as an upstream reads it: `%6b` is `k`, `+` is a space.
fn decoded(name: &[u8]) -> Vec<u8> {
    let mut bytes = name.iter().copied();
    let mut out = Vec::with_capacity(name.len());
    while let Some(byte) = bytes.next() {
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let pair = || {
            let mut ahead = bytes.clone();
            let (high, low) = (ahead.next().and_then(digit)?, ahead.next().and_then(digit)?);
            Some((high * 16 + low, ahead))
        };
        match byte {
            b'%' => match pair() {
                Some((value, ahead)) => {
                    out.push(value);
                    bytes = ahead;
                }
                None => out.push(byte),
            },
            b'+' => out.push(b' '),
            other => out.push(other),
        }
    }
    out
}

pub(super) fn append(request: &mut RequestHeader, name: &str, ready: &Ready) -> Result<()> {
    let mut target = Zeroizing::new(request.raw_path().to_vec());
    let joint = if target.contains(&b'?') { b'&' } else { b'?' };
    target.push(joint);
    target.extend_from_slice(name.as_bytes());
    target.push(b'=');
    target.extend_from_slice(&encoded(ready.secret.expose()));
    request.set_raw_path(&target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> RequestHeader {
        RequestHeader::build("GET", target.as_bytes(), None).unwrap()
    }

    #[test]
    fn a_parameter_is_cleared_however_its_name_is_written_and_nothing_else_changes() {
        for (before, after) in [
            ("/p?key=1", "/p"),
            ("/p?a=1&key=2&b=3", "/p?a=1&b=3"),
            ("/p?%6bey=1&b", "/p?b"),
            ("/p?KEY=1&key", "/p"),
            ("/p?mykey=1&a=key", "/p?mykey=1&a=key"),
            ("/p?a=%2f&&b=+", "/p?a=%2f&&b=+"),
            ("/p", "/p"),
        ] {
            let mut head = request(before);
            clear(&mut head, &["key"], |_| false).unwrap();
            assert_eq!(String::from_utf8_lossy(head.raw_path()), after, "{before}");
        }
    }
}
