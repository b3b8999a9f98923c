//! A sign-in: to the provider and back.

use std::fmt;

use axum::http::HeaderValue;
use serde_json::{Value as Json, json};
use tokio::sync::OnceCell;

use super::id_token::{self, Claims, Expected, IdTokenError};
use super::keys::Keys;
use super::session::{self, Person, Session, SessionToken};
use super::{LoginConfig, LoginError};
use crate::change;
use crate::credentials::{INSTALLATION, Plaintext, Vault};
use crate::domain::Act;
use crate::domain::audit::{self, Change};
use crate::id::{Id, IdKind};
use crate::oauth::{
    Attempt, Begin, ClientIdentity, Discovered, Grant, OAuthClient, OAuthError, Owner, Provider,
    Tokens, authorization_url,
};
use crate::outbound::Outbound;
use crate::store::Store;
use crate::token::{mint, sha256_hex};

const PURPOSE: &str = "login";
/// Shown names are cut to this.
const NAME_CHARACTERS_MAX: usize = 120;

/// Signs people in at one provider.
#[derive(Debug)]
pub struct Login {
    config: LoginConfig,
    store: Store,
    vault: Vault,
    outbound: Outbound,
    /// Asked for when somebody first signs in: the provider may be away when we start.
    discovered: OnceCell<Discovered>,
    keys: Keys,
}

/// A sign-in that was begun.
pub struct LoginStarted {
    /// Where the browser goes.
    pub url: String,
    /// What it must still have when it comes back.
    pub cookie: String,
}

/// What a browser came back with.
#[derive(Clone, Copy)]
pub struct Finish<'f> {
    pub state: &'f str,
    /// `None`: the provider says why not, which is its own text and is not repeated.
    pub code: Option<&'f str>,
    /// RFC 9207.
    pub issuer: Option<&'f str>,
    pub cookie: &'f str,
}

// State, code and cookie together sign somebody in.
impl fmt::Debug for LoginStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginStarted(…)")
    }
}

impl fmt::Debug for Finish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Finish(…)")
    }
}

/// Somebody who is signed in now.
#[derive(Debug)]
pub struct Finished {
    pub token: SessionToken,
    pub session: Session,
    /// A path of this host.
    pub return_to: String,
}

impl Login {
    pub fn new(config: LoginConfig, store: Store, vault: Vault) -> Result<Self, LoginError> {
        let outbound = Outbound::new(&config.reach).map_err(OAuthError::from)?;
        let (discovered, keys) = (OnceCell::new(), Keys::default());
        Ok(Self { config, store, vault, outbound, discovered, keys })
    }

    /// Begins a sign-in that ends at `return_to`.
    pub async fn start(&self, return_to: &str, now_ms: i64) -> Result<LoginStarted, LoginError> {
        let client = self.client().await?;
        let cookie = random()?;
        let nonce = random()?;
        let session = sha256_hex(&cookie);
        let payload = json!({ "returnTo": local(return_to), "nonce": nonce });
        let begin = Begin {
            owner: Owner { key: INSTALLATION, session: &session },
            purpose: PURPOSE,
            redirect_uri: &self.config.redirect_uri,
            payload: &payload,
        };
        let (state, verifier, _) = Attempt::begin(&self.store, &self.vault, begin, now_ms).await?;
        let back = (self.config.redirect_uri.as_str(), Some(nonce.as_str()));
        let url = authorization_url(&client.provider, &state, &verifier, back)?;
        Ok(LoginStarted { url, cookie })
    }

    /// Ends a sign-in: the attempt first, whatever comes of it.
    pub async fn finish(&self, finish: Finish<'_>, now_ms: i64) -> Result<Finished, LoginError> {
        let session = sha256_hex(finish.cookie);
        let state = (finish.state, session.as_str(), PURPOSE);
        let attempt = Attempt::consume(&self.store, &self.vault, state, now_ms).await?;
        if finish.issuer.is_some_and(|issuer| issuer != self.config.issuer) {
            return Err(LoginError::OtherIssuer);
        }
        let code = finish.code.ok_or(LoginError::Refused)?;
        let code = Plaintext::new(code.as_bytes().to_vec());
        let grant = Grant::Code {
            code: &code,
            verifier: Some(&attempt.secret),
            redirect_uri: &attempt.redirect_uri,
        };
        let tokens = self.client().await?.tokens(grant, now_ms).await?;
        let text = |name: &str| attempt.payload.get(name).and_then(Json::as_str);
        let nonce = text("nonce").unwrap_or_default();
        let claims = self.believe(&tokens, nonce, now_ms).await?;
        let return_to = local(text("returnTo").unwrap_or_default()).to_owned();
        let (token, session) = self.begin_session(&claims, now_ms).await?;
        Ok(Finished { token, session, return_to })
    }

    async fn believe(
        &self,
        tokens: &Tokens,
        nonce: &str,
        now_ms: i64,
    ) -> Result<Claims, LoginError> {
        let token = tokens.id_token.as_ref().ok_or(IdTokenError::Malformed)?;
        let token = std::str::from_utf8(token.expose()).map_err(|_| IdTokenError::Malformed)?;
        let key_id = id_token::key_id(token)?;
        let url = self.discovered().await?.jwks_uri.as_deref();
        let url = url.ok_or(OAuthError::Malformed("the provider has no keys"))?;
        let keys = self.keys.with(key_id.as_deref(), (url, &self.outbound), now_ms).await?;
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce,
            now_ms,
        };
        let claims = id_token::verify(token, &keys, expected)?;
        self.with_user_info(claims, tokens).await
    }

    /// Providers that follow the standard closely keep names and groups for this endpoint. What the
    /// ID token says stands; the rest must be about the same subject (OpenID Connect Core §5.3.2).
    async fn with_user_info(&self, claims: Claims, tokens: &Tokens) -> Result<Claims, LoginError> {
        let Some(url) = self.discovered().await?.userinfo_endpoint.as_deref() else {
            return Ok(claims);
        };
        let answer = self.outbound.get(url, Some(bearer(&tokens.access)?)).await;
        let answer = answer.map_err(OAuthError::from)?;
        if !answer.status.is_success() {
            return Err(OAuthError::Unavailable { retry_after: answer.retry_after }.into());
        }
        let told = serde_json::from_slice(&answer.body).map(Claims::of);
        let told = told.map_err(|_| OAuthError::Malformed("not a set of claims"))?;
        if told.text("sub") != claims.text("sub") {
            return Err(IdTokenError::Subject.into());
        }
        Ok(claims.completed_by(told))
    }

    async fn begin_session(
        &self,
        claims: &Claims,
        now_ms: i64,
    ) -> Result<(SessionToken, Session), LoginError> {
        let rule = self.config.rule_for(claims).ok_or(LoginError::NotAllowed)?;
        let token = SessionToken::new()?;
        let mut session =
            Session::new(new_id(IdKind::Session, now_ms)?, self.person(claims), now_ms);
        session.role = rule.role;
        session.organisation.clone_from(&rule.organisation);
        let begun: Result<Session, LoginError> = change!(self.store, |transaction| {
            let mut session = session.clone();
            let person = &mut session.person;
            let known =
                session::find_person(transaction, (&person.issuer, &person.subject)).await?;
            person.id = match known {
                Some(id) => id,
                None => new_id(IdKind::User, now_ms)?,
            };
            session::begin(transaction, &token, (&session, now_ms)).await?;
            let act = Act { actor: session.person.id.clone(), now_ms };
            let change = Change {
                organisation: session.organisation.as_deref(),
                action: "session.begin",
                subject: &session.id,
                before: None,
                after: Some(json!({ "role": session.role })),
            };
            audit::record(transaction, &act, change).await?;
            Ok(session)
        });
        begun.map(|session| (token, session))
    }

    /// Who the claims are about. The id comes from the store.
    fn person(&self, claims: &Claims) -> Person {
        let text = |name: &str| claims.text(name);
        let subject = text("sub").unwrap_or_default();
        let name = text("name").or(text("preferred_username")).or(text("email"));
        let name = name.unwrap_or(subject).chars().filter(|c| !c.is_control());
        Person {
            id: String::new(),
            issuer: self.config.issuer.clone(),
            subject: subject.to_owned(),
            name: name.take(NAME_CHARACTERS_MAX).collect(),
            email: text("email").map(str::to_owned),
        }
    }

    async fn client(&self) -> Result<OAuthClient, LoginError> {
        let found = self.discovered().await?;
        let mut scopes = vec!["openid".to_owned()];
        scopes.extend(self.config.scopes.iter().cloned());
        let provider = Provider {
            token_url: found.token_endpoint.clone(),
            authorization_url: Some(found.authorization_endpoint.clone()),
            device_authorization_url: None,
            revocation_url: None,
            authentication: sallygate_definitions::contract::oauth::ClientAuthentication::Basic,
            client: ClientIdentity {
                id: self.config.client_id.clone(),
                secret: self.config.client_secret.clone(),
            },
            scopes,
            scope_separator: " ".to_owned(),
            pkce: sallygate_definitions::contract::oauth::Pkce::S256,
            refresh: sallygate_definitions::contract::oauth::Refresh::None,
            parameters: [].into(),
        };
        Ok(OAuthClient { provider, outbound: self.outbound.clone() })
    }

    async fn discovered(&self) -> Result<&Discovered, LoginError> {
        let ask = || Discovered::of(&self.config.issuer, &self.outbound);
        Ok(self.discovered.get_or_try_init(ask).await?)
    }
}

fn bearer(token: &Plaintext) -> Result<HeaderValue, LoginError> {
    let text = [b"Bearer ".as_slice(), token.expose()].concat();
    let value = HeaderValue::from_bytes(&text);
    let mut value = value.map_err(|_| OAuthError::Malformed("not an access token"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn random() -> Result<String, LoginError> {
    mint("").map_err(|_| LoginError::Provider(OAuthError::Randomness))
}

fn new_id(kind: IdKind, now_ms: i64) -> Result<String, LoginError> {
    let id = Id::new(kind, now_ms).map_err(|_| LoginError::Provider(OAuthError::Randomness))?;
    Ok(id.to_string())
}

/// A path of this host, or the start: nobody is sent elsewhere by a link to us.
fn local(path: &str) -> &str {
    let stays = path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if stays { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_host() {
        for stays in ["/", "/policy?x=1#y", "/a//b"] {
            assert_eq!(local(stays), stays);
        }
        for leaves in [
            "",
            "x",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "\\\\evil",
            "/a b",
            "/a\r\nx",
            "/\u{9}/evil.example",
            "javascript:alert(1)",
        ] {
            assert_eq!(local(leaves), "/", "{leaves:?}");
        }
    }
}
