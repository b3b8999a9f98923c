//! The cookies of browsers: for a sign-in under way, and for a session.
//!
//! `__Host-` (RFC 6265bis §4.1.3): only this host, only over TLS or on loopback, for every path.

use axum::http::{HeaderMap, HeaderValue, header};

/// Binds a sign-in to the browser that began it.
pub const LOGIN_COOKIE: &str = "__Host-sallygate-login";
/// A session.
pub const SESSION_COOKIE: &str = "__Host-sallygate-session";

const LOGIN_SECONDS: i64 = 600;

/// The value of a cookie. Two of one name are none: somebody has put one there.
pub fn cookie_of<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    let mut found =
        pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(n, _)| *n == name);
    let (_, value) = found.next()?;
    if found.next().is_some() { None } else { Some(value) }
}

pub fn set_for_login(value: &str) -> Option<HeaderValue> {
    set(LOGIN_COOKIE, value, LOGIN_SECONDS)
}

pub fn set_for_session(value: &str, seconds: i64) -> Option<HeaderValue> {
    set(SESSION_COOKIE, value, seconds)
}

/// Makes a browser forget a cookie.
pub fn removed(name: &str) -> Option<HeaderValue> {
    set(name, "", 0)
}

/// `Lax`: the provider's redirect back to us is a navigation from elsewhere, and must have it.
fn set(name: &str, value: &str, seconds: i64) -> Option<HeaderValue> {
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Lax");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_once_or_not_at_all() {
        let of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::from_static(line));
            }
            cookie_of(&headers, "a").map(str::to_owned)
        };
        assert_eq!(of(&["a=1"]).as_deref(), Some("1"));
        assert_eq!(of(&["b=2; a=1=x;c"]).as_deref(), Some("1=x"));
        for none in [&["b=1"][..], &[], &["a"], &["aa=1"], &["A=1"], &["a=1; a=2"], &["a=1", "a=1"]]
        {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    #[test]
    fn cookies_are_for_this_host_and_not_for_scripts() {
        let set = set_for_session("x", 60).unwrap();
        assert!(set.is_sensitive());
        assert_eq!(
            set.to_str().unwrap(),
            "__Host-sallygate-session=x; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"
        );
        assert!(set_for_session("x\r\ny", 60).is_none());
    }
}
