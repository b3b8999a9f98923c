//! A credential as a header, the way the definition presents it.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallygate_definitions::contract::injection::Presentation;
use zeroize::Zeroizing;

use crate::credentials::Plaintext;

/// `None`: it is presented in a way that is none for an API over headers.
pub(super) fn header(how: &Presentation, secret: &Plaintext) -> Option<(HeaderName, HeaderValue)> {
    let secret = secret.expose();
    let (name, text) = match how {
        Presentation::Bearer {} => (AUTHORIZATION, joined(&[b"Bearer ", secret])),
        Presentation::Basic { username, username_from: None } => {
            let pair = match username {
                Some(username) => joined(&[username.as_bytes(), b":", secret]),
                None => joined(&[secret]),
            };
            let encoded = Zeroizing::new(STANDARD.encode(&*pair));
            (AUTHORIZATION, joined(&[b"Basic ", encoded.as_bytes()]))
        }
        Presentation::Header { header, template } => {
            let around = template.as_deref().and_then(|text| text.split_once("{value}"));
            let (before, after) = around.unwrap_or_default();
            let name = HeaderName::from_bytes(header.as_bytes()).ok()?;
            (name, joined(&[before.as_bytes(), secret, after.as_bytes()]))
        }
        Presentation::Basic { username_from: Some(_), .. }
        | Presentation::Query { .. }
        | Presentation::Cookie { .. }
        | Presentation::Path {}
        | Presentation::Placeholder { .. }
        | Presentation::AwsSigv4 { .. }
        | Presentation::ClientCertificate {} => return None,
    };
    let mut value = HeaderValue::from_bytes(&text).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

fn joined(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_presented_as_the_definition_says() {
        let shown = |how: Presentation| {
            let (name, value) = header(&how, &Plaintext::new(b"s3".to_vec())).unwrap();
            assert!(value.is_sensitive());
            format!("{name}: {}", value.to_str().unwrap())
        };
        let template = Some("token {value}".to_owned());
        let name = |header: &str| header.to_owned();
        assert_eq!(shown(Presentation::Bearer {}), "authorization: Bearer s3");
        let own = Presentation::Header { header: name("private-token"), template: None };
        assert_eq!(shown(own), "private-token: s3");
        let own = Presentation::Header { header: name("authorization"), template };
        assert_eq!(shown(own), "authorization: token s3");
        let basic = Presentation::Basic { username: Some("u".to_owned()), username_from: None };
        assert_eq!(shown(basic), "authorization: Basic dTpzMw==");
    }

    #[test]
    fn what_would_not_be_a_header_is_none() {
        let none = |how: Presentation, secret: &[u8]| {
            assert!(header(&how, &Plaintext::new(secret.to_vec())).is_none(), "{how:?}");
        };
        none(Presentation::Bearer {}, b"a\r\nx: y");
        none(Presentation::Query { parameter: "key".to_owned() }, b"s");
        none(Presentation::Path {}, b"s");
        none(Presentation::Header { header: "a b".to_owned(), template: None }, b"s");
    }
}
