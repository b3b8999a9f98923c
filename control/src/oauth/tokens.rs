//! What a token endpoint gives (RFC 6749 §5).

use std::borrow::Cow;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::OAuthError;
use crate::credentials::Plaintext;

/// A token that is said to live longer is renewed earlier.
const LIFE_SECONDS_MAX: i64 = 366 * 24 * 3600;

/// Tokens that were just given.
#[derive(Debug)]
pub struct Tokens {
    pub access: Plaintext,
    /// `None`: the one that was used stays good.
    pub refresh: Option<Plaintext>,
    pub id_token: Option<Plaintext>,
    pub expires_at_ms: Option<i64>,
    /// `None`: what was asked for.
    pub scope: Option<String>,
}

#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow, default)]
    access_token: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    refresh_token: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id_token: Option<Cow<'a, str>>,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Option<Seconds>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(borrow, default)]
    error: Option<Cow<'a, str>>,
}

/// Some providers send a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Tokens {
    /// Reads the answer to a request made at `now_ms`.
    pub(crate) fn read(body: &[u8], now_ms: i64) -> Result<Self, OAuthError> {
        let malformed = || OAuthError::Malformed("not a token response");
        let given: Given<'_> = serde_json::from_slice(body).map_err(|_| malformed())?;
        // Some answer 200 with an error.
        if let Some(error) = given.error {
            return Err(refusal(&error));
        }
        // Slack says `bot` or `user` of what it takes as bearer tokens:
        // https://docs.slack.dev/reference/methods/oauth.v2.access
        let bearers = ["bearer", "bot", "user"];
        let is_bearer = |kind: &str| bearers.iter().any(|known| kind.eq_ignore_ascii_case(known));
        if !given.token_type.as_deref().is_none_or(is_bearer) {
            return Err(OAuthError::Malformed("the token is not a bearer token"));
        }
        let access = given.access_token.filter(|token| is_token(token)).ok_or_else(malformed)?;
        let refresh = given.refresh_token.filter(|token| !token.is_empty());
        if refresh.as_deref().is_some_and(|token| !is_token(token)) {
            return Err(malformed());
        }
        Ok(Self {
            access: secret(access),
            refresh: refresh.map(secret),
            id_token: given.id_token.map(secret),
            expires_at_ms: given.expires_in.and_then(|life| expiry(&life, now_ms)),
            scope: given.scope,
        })
    }
}

/// Visible ASCII, as RFC 6749 appendix A.12 has it: nothing that could end a header.
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= 64 * 1024 && token.bytes().all(|b| b.is_ascii_graphic())
}

fn secret(text: Cow<'_, str>) -> Plaintext {
    Plaintext::new(text.into_owned().into_bytes())
}

fn expiry(life: &Seconds, now_ms: i64) -> Option<i64> {
    let seconds = match life {
        Seconds::Number(seconds) => *seconds,
        Seconds::Text(text) => text.parse().ok()?,
    };
    if !(seconds.is_finite() && seconds > 0.0) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
    let seconds = (seconds as i64).min(LIFE_SECONDS_MAX);
    now_ms.checked_add(seconds * 1000)
}

/// What an error response means. A description is not read: it is the provider's text.
pub(super) fn refused(body: &Zeroizing<Vec<u8>>) -> OAuthError {
    #[derive(Deserialize)]
    struct Refusal<'a> {
        #[serde(borrow)]
        error: Cow<'a, str>,
    }
    match serde_json::from_slice::<Refusal<'_>>(body) {
        Ok(refusal) => self::refusal(&refusal.error),
        Err(_) => OAuthError::Malformed("an error without a code"),
    }
}

/// The codes of RFC 6749 §5.2, RFC 8628 §3.5 and of the providers that have their own.
fn refusal(code: &str) -> OAuthError {
    match code {
        "authorization_pending" => OAuthError::Pending { slow_down: false },
        "slow_down" => OAuthError::Pending { slow_down: true },
        "temporarily_unavailable" | "server_error" => OAuthError::Unavailable { retry_after: None },
        _ => OAuthError::Refused(known(code)),
    }
}

fn known(code: &str) -> &'static str {
    const CODES: [&str; 12] = [
        "access_denied",
        "bad_refresh_token",
        "bad_verification_code",
        "consent_required",
        "expired_token",
        "incorrect_client_credentials",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    ];
    CODES.into_iter().find(|known| *known == code).unwrap_or("another reason")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    #[test]
    fn a_token_response_is_read_as_the_standard_has_it() {
        let read = |body: &str| Tokens::read(body.as_bytes(), NOW).unwrap();
        let tokens = read(
            r#"{"access_token":"a","token_type":"Bearer","expires_in":60,"refresh_token":"r","scope":"x y"}"#,
        );
        assert_eq!(tokens.access.expose(), b"a");
        assert_eq!(tokens.refresh.unwrap().expose(), b"r");
        assert_eq!(tokens.expires_at_ms, Some(NOW + 60_000));
        assert_eq!(tokens.scope.as_deref(), Some("x y"));
        for (life, expires) in [
            (r#""3600""#, Some(NOW + 3_600_000)),
            ("59.9", Some(NOW + 59_000)),
            ("0", None),
            ("-5", None),
            (r#""soon""#, None),
            ("1e300", Some(NOW + LIFE_SECONDS_MAX * 1000)),
        ] {
            let body = format!(r#"{{"access_token":"a","expires_in":{life}}}"#);
            assert_eq!(read(&body).expires_at_ms, expires, "{life}");
        }
        assert!(read(r#"{"access_token":"a","refresh_token":""}"#).refresh.is_none());
    }

    #[test]
    fn what_is_no_token_response_is_refused_without_repeating_it() {
        for (body, code) in [
            ("", "oauth_malformed"),
            ("[]", "oauth_malformed"),
            ("access_token=canary", "oauth_malformed"),
            (r#"{"token":"canary"}"#, "oauth_malformed"),
            (r#"{"access_token":""}"#, "oauth_malformed"),
            (r#"{"access_token":"canary\r\nx: y"}"#, "oauth_malformed"),
            (r#"{"access_token":"canary canary"}"#, "oauth_malformed"),
            (r#"{"access_token":"canary","refresh_token":"a\u0000"}"#, "oauth_malformed"),
            (r#"{"access_token":"canary","token_type":"mac"}"#, "oauth_malformed"),
            (r#"{"access_token":"canary","error":"invalid_grant"}"#, "oauth_refused"),
            (r#"{"error":"canary"}"#, "oauth_refused"),
            (r#"{"error":"server_error"}"#, "oauth_unavailable"),
            (r#"{"error":"authorization_pending"}"#, "authorization_pending"),
        ] {
            let refused = Tokens::read(body.as_bytes(), NOW).unwrap_err();
            assert_eq!(refused.code(), code, "{body}");
            assert!(!format!("{refused} {refused:?}").contains("canary"), "{refused:?}");
        }
    }
}
