//! Credentials in a cookie: the one that is meant goes, all others stay as they are.

use http::HeaderValue;
use http::header::COOKIE;
use pingora::Result;
use pingora::http::RequestHeader;
use zeroize::Zeroizing;

use super::missing;
use crate::credential::Ready;

/// Removes cookies with these names. What is no name and value goes too: it could be read as one.
pub(super) fn clear(
    request: &mut RequestHeader,
    names: &[impl AsRef<str>],
    stays: impl Fn(&[u8]) -> bool,
) -> Result<()> {
    if names.is_empty() || !request.headers.contains_key(COOKIE) {
        return Ok(());
    }
    let is_kept = |pair: &&[u8]| {
        let name = pair.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
        pair.contains(&b'=')
            && (!names.iter().any(|n| name.eq_ignore_ascii_case(n.as_ref().as_bytes()))
                || stays(pair))
    };
    let fields = request.headers.get_all(COOKIE).iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|b| *b == b';'));
    let kept: Vec<&[u8]> = pairs.map(<[u8]>::trim_ascii).filter(is_kept).collect();
    write(request, &Zeroizing::new(kept.join(&b"; "[..])))
}

/// Adds the credential as the last cookie.
pub(super) fn append(request: &mut RequestHeader, name: &str, ready: &Ready) -> Result<()> {
    let secret = ready.secret.expose();
    if !secret.iter().all(is_cookie_octet) {
        return Err(missing());
    }
    let own = Zeroizing::new([name.as_bytes(), b"=", secret].concat());
    let fields = request.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let all: Vec<&[u8]> = fields.chain([own.as_slice()]).collect();
    write(request, &Zeroizing::new(all.join(&b"; "[..])))
}

/// One field: HTTP/1 has no more, and HTTP/2 may join them (RFC 9113 §8.2.3).
fn write(request: &mut RequestHeader, cookies: &[u8]) -> Result<()> {
    request.remove_header(&COOKIE);
    if cookies.is_empty() {
        return Ok(());
    }
    let mut value = HeaderValue::from_bytes(cookies).map_err(|_| missing())?;
    value.set_sensitive(true);
    request.insert_header(COOKIE, value)
}

/// RFC 6265 §4.1.1: what a cookie's value is made of without quotes.
fn is_cookie_octet(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(cookies: &[&str]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for cookie in cookies {
            request.append_header("Cookie", *cookie).unwrap();
        }
        request
    }

    fn cookies(request: &RequestHeader) -> Vec<&str> {
        request.headers.get_all(COOKIE).iter().map(|v| v.to_str().unwrap()).collect()
    }

    #[test]
    fn a_cookie_is_cleared_wherever_it_stands_and_the_others_stay() {
        for (before, after) in [
            (&["sid=1"][..], &[][..]),
            (&["a=1; sid=2; b=3"], &["a=1; b=3"]),
            (&["a=1", "sid=2"], &["a=1"]),
            (&["SID=1;sid =2"], &[]),
            (&["sid"], &[]),
            (&["sid=1; sid=2; mysid=3"], &["mysid=3"]),
            (&["a=sid"], &["a=sid"]),
            (&["a=\"x y\"; sidx=1"], &["a=\"x y\"; sidx=1"]),
            (&[], &[]),
        ] {
            let mut head = request(before);
            clear(&mut head, &["sid"], |_| false).unwrap();
            assert_eq!(cookies(&head), after, "{before:?}");
        }
    }
}
