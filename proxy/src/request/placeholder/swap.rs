//! A credential in the place of its placeholder, in the head of a request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};
use sallygate_definitions::contract::injection::PlaceholderPlace;
use sallygate_definitions::placeholder::{Recogniser, Spelling, View, Whose, may_hold_code};
use zeroize::Zeroizing;

use super::head::basic;
use crate::credential::Swap;
use crate::plan::ActiveRoute;

/// What stays of what a route removes: that in whose place a credential comes.
#[derive(Clone, Copy, Debug)]
pub(in crate::request) struct Kept<'k> {
    swaps: Option<(&'k ActiveRoute, &'k Recogniser)>,
}

impl<'k> Kept<'k> {
    /// Without a recogniser, and where no placeholder is replaced, nothing stays.
    pub(in crate::request) fn of(
        route: &'k ActiveRoute,
        recogniser: Option<&'k Recogniser>,
    ) -> Self {
        let swaps = route.injections.iter().any(|injection| injection.swap().is_some());
        Self { swaps: recogniser.filter(|_| swaps).map(|recogniser| (route, recogniser)) }
    }

    /// Whether anything may stay at all.
    pub(in crate::request) fn is_possible(&self) -> bool {
        self.swaps.is_some()
    }

    /// Whether a part of the query stays.
    pub(in crate::request) fn query(&self, pair: &[u8]) -> bool {
        let view = View::of(pair, Spelling::Percent);
        self.has(view.bytes(), PlaceholderPlace::Query)
    }

    /// Whether a field or a cookie stays.
    pub(in crate::request) fn header(&self, value: &[u8]) -> bool {
        self.has(value, PlaceholderPlace::Header)
            || decoded(value).is_some_and(|pair| self.has(&pair, PlaceholderPlace::Header))
    }

    fn has(&self, bytes: &[u8], place: PlaceholderPlace) -> bool {
        let Some((route, recogniser)) = self.swaps.filter(|_| may_hold_code(bytes.len())) else {
            return false;
        };
        let swaps = |own| {
            let swaps = route.injections.iter().filter_map(|injection| injection.swap());
            swaps.into_iter().any(|swap| swap.own == own && swap.is_at(place))
        };
        recogniser.find(bytes, 0).is_some_and(
            |found| matches!(found.whose, Whose::Own(own) if found.whole && swaps(own)),
        )
    }
}

/// Puts `secret` in the place of its placeholder, where the route says that it may stand.
pub(in crate::request) fn put(
    request: &mut RequestHeader,
    (swap, secret): (&Swap, &[u8]),
    recogniser: &Recogniser,
) -> Result<()> {
    if swap.is_at(PlaceholderPlace::Query) {
        query(request, (swap.own, secret), recogniser)?;
    }
    if swap.is_at(PlaceholderPlace::Header) {
        fields(request, (swap.own, secret), recogniser)?;
    }
    Ok(())
}

fn query(
    request: &mut RequestHeader,
    (own, secret): (usize, &[u8]),
    recogniser: &Recogniser,
) -> Result<()> {
    let raw = request.raw_path();
    let Some(mark) = raw.iter().position(|byte| *byte == b'?') else { return Ok(()) };
    let (path, query) = raw.split_at_checked(mark).unwrap_or_default();
    let encoded = crate::request::inject::encoded(secret);
    let replaced = replaced(query, Spelling::Percent, (own, &encoded), recogniser);
    let Some(query) = replaced else { return Ok(()) };
    let target = Zeroizing::new([path, &query].concat());
    request.set_raw_path(&target)
}

fn fields(
    request: &mut RequestHeader,
    (own, secret): (usize, &[u8]),
    recogniser: &Recogniser,
) -> Result<()> {
    let value_of = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        if let Some(plain) = replaced(bytes, Spelling::Plain, (own, secret), recogniser) {
            return Some(plain);
        }
        let pair = replaced(&decoded(bytes)?, Spelling::Plain, (own, secret), recogniser)?;
        let text = Zeroizing::new(BASE64.encode(&*pair));
        Some(Zeroizing::new([b"Basic ", text.as_bytes()].concat()))
    };
    let is_touched = |name: &&HeaderName| {
        request.headers.get_all(*name).iter().any(|value| value_of(value).is_some())
    };
    let touched: Vec<HeaderName> = request.headers.keys().filter(is_touched).cloned().collect();
    for name in touched {
        let values: Vec<HeaderValue> = request
            .headers
            .get_all(&name)
            .iter()
            .map(|value| match value_of(value) {
                None => Ok(value.clone()),
                Some(bytes) => sensitive(&bytes),
            })
            .collect::<Result<_>>()?;
        request.remove_header(&name);
        for value in values {
            request.append_header(name.clone(), value)?;
        }
    }
    Ok(())
}

fn sensitive(bytes: &[u8]) -> Result<HeaderValue> {
    let why = "a credential that no header can have: nothing is sent";
    let mut value = HeaderValue::from_bytes(bytes)
        .map_err(|_| Error::explain(ErrorType::InternalError, why))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The user and the password of basic authentication.
fn decoded(value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = basic(value).filter(|text| may_hold_code(text.len()))?;
    BASE64.decode(text).ok().map(Zeroizing::new)
}

/// `bytes` with `secret` in the place of the placeholder `own`; `None`: it is not there.
fn replaced(
    bytes: &[u8],
    spelling: Spelling,
    (own, secret): (usize, &[u8]),
    recogniser: &Recogniser,
) -> Option<Zeroizing<Vec<u8>>> {
    if !may_hold_code(bytes.len()) {
        return None;
    }
    let view = View::of(bytes, spelling);
    let (mut out, mut done, mut from) = (Zeroizing::new(Vec::new()), 0, 0);
    while let Some(found) = recogniser.find(view.bytes(), from) {
        from = found.end;
        if found.whose != Whose::Own(own) || !found.whole {
            continue;
        }
        // As large as it gets at once: what is moved leaves its bytes behind.
        out.reserve_exact(bytes.len() + secret.len());
        out.extend_from_slice(bytes.get(done..view.origin(found.start)).unwrap_or_default());
        out.extend_from_slice(secret);
        done = view.origin(found.end);
    }
    if done == 0 {
        return None;
    }
    out.extend_from_slice(bytes.get(done..).unwrap_or_default());
    Some(out)
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "placeholders are ASCII")]
mod tests {
    use sallygate_definitions::placeholder::{Known, Owner, PlaceholderKey, Shape};

    use super::*;

    fn recogniser() -> Recogniser {
        let key = PlaceholderKey::from_bytes([3; 32]);
        let owner = |connection| Owner {
            organization: "o",
            sandbox: "s",
            connection,
            secret_type: "api_key",
            slot: None,
        };
        let shape = Shape::parse("ghp_{alphanumeric:36}").unwrap();
        let known = ["a", "b"].map(|connection| Known::new(&key, &owner(connection), &shape));
        Recogniser::new(vec![key], known.to_vec())
    }

    #[test]
    fn a_secret_comes_in_the_place_of_its_placeholder_however_it_is_spelled() {
        let recogniser = recogniser();
        let texts: Vec<String> = recogniser
            .own()
            .iter()
            .map(|known| String::from_utf8(known.text().to_vec()).unwrap())
            .collect();
        let (own, other) = (&texts[0], &texts[1]);
        let check = |bytes: &str, spelling, expected: Option<&str>| {
            let got = replaced(bytes.as_bytes(), spelling, (0, b"SECRET"), &recogniser);
            let got = got.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
            assert_eq!(got.as_deref(), expected, "{bytes}");
        };
        check(own, Spelling::Plain, Some("SECRET"));
        check(&format!("a {own},{own} b"), Spelling::Plain, Some("a SECRET,SECRET b"));
        let escaped = own.replace('_', "%5f");
        check(&format!("k={escaped}&b=%2F"), Spelling::Percent, Some("k=SECRET&b=%2F"));
        let mixed = format!("{other}{own}");
        check(&mixed, Spelling::Plain, Some(&format!("{other}SECRET")));
        for bytes in [other, &escaped, &own[1..], &own[..39], &own.to_uppercase(), ""] {
            check(bytes, Spelling::Plain, None);
        }
    }
}
