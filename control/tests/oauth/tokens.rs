//! OAuth 2.0 against a real provider (`oidc-provider`), on both databases.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails where what it relies on is not there"
)]

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use crate::killed::killed_after;
use crate::on_both_databases;
use crate::provider::browser::Browser;
use crate::provider::provider;
use crate::world::{self, NOW, World};
use sallygate_control::credentials::{MasterKeys, Place, Plaintext, Sealed, Vault};
use sallygate_control::oauth::{
    Attempt, Begin, ClientIdentity, Discovered, Grant, KeepFor, OAuthClient, OAuthError, Owner,
    Provider, Refreshed, Refresher, authorization_url, keep_tokens,
};
use sallygate_control::outbound::{Outbound, Reach};
use sallygate_control::store::{
    Access, CLOCKS_APART_MS, Notice, Store, fetch_optional, notices_after,
};
use sallygate_control::{change, values};
use sallygate_definitions::contract::oauth::{ClientAuthentication, Pkce, Refresh};
use serde_json::json;
use tempfile::TempDir;

on_both_databases!(
    a_person_consents_and_the_tokens_are_sealed,
    a_state_is_good_once_for_the_session_that_began_it,
    a_code_without_its_verifier_is_worth_nothing,
    two_replicas_refresh_once,
    a_refresh_of_what_was_renewed_already_asks_nobody,
    a_holder_that_died_is_replaced_when_its_lease_ends,
    a_refresh_that_is_killed_anywhere_is_whole_or_seen,
    what_the_provider_took_back_puts_the_connection_in_error,
    a_provider_that_is_away_changes_nothing,
    a_program_gets_tokens_by_itself_and_again,
    a_person_consents_on_another_device,
    only_what_has_lived_long_enough_is_due,
);

const REDIRECT: &str = "https://control.example/callback";
const ORGANISATION: &str = "org_a";
const SESSION: &str = "session-1";

struct Scene {
    store: Store,
    vault: Vault,
    connection: String,
    _keys: TempDir,
    _world: World,
}

static CONNECTIONS: AtomicU32 = AtomicU32::new(0);

impl Scene {
    async fn told(&self) -> Vec<Notice> {
        let mut transaction = self.store.begin(Access::Read).await.unwrap();
        notices_after(&mut *transaction, 0, 100).await.unwrap()
    }

    async fn new(world: World) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let vault = Vault::new(MasterKeys::create(&keys.path().join("master.key")).unwrap());
        let store = world.store().await;
        let connection = format!("icn_{}", CONNECTIONS.fetch_add(1, Ordering::Relaxed));
        let rows: [(&'static str, Vec<_>); 3] = [
            (
                "INSERT INTO organisations (id, name, created_at) VALUES ($1, $1, $2)",
                values![ORGANISATION, NOW],
            ),
            (
                "INSERT INTO targets (target_key, definition, display_name, enabled, config, \
                 revision, created_at, updated_at) VALUES ('t', 'd', 't', 1, '{}', 1, $1, $1)",
                values![NOW],
            ),
            (
                "INSERT INTO connections (id, organisation_id, target_key, method, display_name, \
                 config, status, revision, created_at, updated_at) \
                 VALUES ($1, $2, 't', 'oauth', 'c', '{}', 'active', 1, $3, $3)",
                values![&connection, ORGANISATION, NOW],
            ),
        ];
        change!(store, |t| {
            for (sql, values) in rows.clone() {
                t.execute(sql, values).await?;
            }
            Ok::<_, OAuthError>(())
        })
        .unwrap();
        Self { store, vault, connection, _keys: keys, _world: world }
    }

    fn whose(&self) -> KeepFor<'_> {
        KeepFor { organisation: ORGANISATION, connection: &self.connection }
    }

    fn refresher(&self) -> Refresher {
        Refresher { store: self.store.clone(), vault: self.vault.clone() }
    }

    async fn begin(&self) -> (String, sallygate_control::oauth::Verifier) {
        let owner = Owner { key: ORGANISATION, session: SESSION };
        let payload = json!({ "targetKey": "t" });
        let begin = Begin { owner, purpose: "connect", redirect_uri: REDIRECT, payload: &payload };
        let (state, verifier, expires) =
            Attempt::begin(&self.store, &self.vault, begin, NOW).await.unwrap();
        assert_eq!(expires, NOW + 600_000);
        (state, verifier)
    }

    async fn consume(&self, state: &str, session: &str) -> Result<Attempt, OAuthError> {
        Attempt::consume(&self.store, &self.vault, (state, session, "connect"), NOW + 1).await
    }

    /// A person connects; the connection has an access token and a refresh token then.
    async fn connect(&self, client: &OAuthClient) {
        let (state, verifier) = self.begin().await;
        let code = consent(client, &state, &verifier).await;
        let attempt = self.consume(&state, SESSION).await.unwrap();
        let grant = Grant::Code {
            code: &code,
            verifier: Some(&attempt.secret),
            redirect_uri: &attempt.redirect_uri,
        };
        let tokens = client.tokens(grant, NOW).await.unwrap();
        let kept = change!(self.store, |t| {
            keep_tokens(t, &self.vault, (self.whose(), &tokens), NOW).await
        });
        kept.unwrap();
    }

    /// The plaintext and revision of a credential.
    async fn secret(&self, kind: &str) -> Option<(String, i64)> {
        let mut transaction = self.store.begin(Access::Read).await.unwrap();
        let find = "SELECT id, key_version, ciphertext, revision FROM credentials \
                    WHERE connection_id = $1 AND secret_type = $2";
        let values = values![&self.connection, kind];
        let mut row = fetch_optional(&mut *transaction, find, values).await.unwrap()?;
        let id = row.text().unwrap();
        let sealed =
            Sealed { key_version: row.integer().unwrap(), ciphertext: row.bytes().unwrap() };
        let place = Place { table: "credentials", row: &id, column: "ciphertext" };
        let open = self.vault.open(&mut *transaction, ORGANISATION, place, &sealed).await.unwrap();
        Some((String::from_utf8(open.expose().to_vec()).unwrap(), row.integer().unwrap()))
    }

    /// As when a person connects again.
    async fn revive(&self) {
        let revive = "UPDATE connections SET status = 'active', status_reason = NULL WHERE id = $1";
        change!(self.store, |t| { t.execute(revive, values![&self.connection]).await }).unwrap();
    }

    async fn status(&self) -> (String, Option<String>) {
        let mut transaction = self.store.begin(Access::Read).await.unwrap();
        let find = "SELECT status, status_reason FROM connections WHERE id = $1";
        let row = fetch_optional(&mut *transaction, find, values![&self.connection]).await;
        let mut row = row.unwrap().unwrap();
        (row.text().unwrap(), row.optional_text().unwrap())
    }
}

/// What the definition of this provider would say.
fn client(grants: &str) -> OAuthClient {
    let provider = provider();
    let at = |path: &str| format!("{}{path}", provider.issuer);
    let secret = Plaintext::new(provider.client_secret.clone().into_bytes());
    let has = |grant: &str| grants == grant;
    OAuthClient {
        provider: Provider {
            token_url: at("/token"),
            authorization_url: has("code").then(|| at("/auth")),
            device_authorization_url: has("device").then(|| at("/device/auth")),
            revocation_url: Some(at("/token/revocation")),
            authentication: ClientAuthentication::Basic,
            client: ClientIdentity { id: "sallygate".to_owned(), secret: Some(secret) },
            scopes: if has("program") {
                Vec::new()
            } else {
                vec!["openid".to_owned(), "offline_access".to_owned()]
            },
            scope_separator: " ".to_owned(),
            pkce: Pkce::S256,
            refresh: Refresh::Rotating,
            parameters: if has("code") {
                [("prompt".to_owned(), "consent".to_owned())].into()
            } else {
                [].into()
            },
        },
        outbound: provider.outbound(),
    }
}

/// The code that a person's consent gives.
async fn consent(
    client: &OAuthClient,
    state: &str,
    verifier: &sallygate_control::oauth::Verifier,
) -> Plaintext {
    let url = authorization_url(&client.provider, state, verifier, (REDIRECT, None)).unwrap();
    let back = Browser::new(provider()).visit(&url).await;
    assert!(back.as_str().starts_with(REDIRECT), "{back}");
    let find = |name: &str| {
        let found = back.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_else(|| format!("no {name}: {back}"))
    };
    assert_eq!(find("state"), state);
    Plaintext::new(find("code").into_bytes())
}

fn at(now: i64) -> impl Fn() -> i64 + Send + Sync {
    move || now
}

async fn a_person_consents_and_the_tokens_are_sealed(world: World) {
    for authentication in [ClientAuthentication::Basic, ClientAuthentication::Body] {
        let mut client = client("code");
        client.provider.authentication = authentication;
        if authentication == ClientAuthentication::Body {
            client.provider.client.id = "in-body".to_owned();
        }
        let scene = Scene::new(World::sqlite()).await;
        scene.connect(&client).await;
    }
    let scene = Scene::new(world).await;
    scene.connect(&client("code")).await;
    let (access, revision) = scene.secret("oauth2_access_token").await.unwrap();
    let (refresh, _) = scene.secret("oauth2_refresh_token").await.unwrap();
    assert_eq!(revision, 1);
    assert!(access.len() > 20 && refresh.len() > 20 && access != refresh);
    let mut transaction = scene.store.begin(Access::Read).await.unwrap();
    let find = "SELECT ciphertext, fingerprint, expires_at FROM credentials \
                WHERE secret_type = 'oauth2_access_token'";
    let mut row = fetch_optional(&mut *transaction, find, Vec::new()).await.unwrap().unwrap();
    let ciphertext = row.bytes().unwrap();
    assert!(!ciphertext.windows(access.len()).any(|w| w == access.as_bytes()));
    assert!(!row.text().unwrap().contains(&access));
    assert_eq!(row.integer().unwrap(), NOW + 3_600_000);
}

async fn a_state_is_good_once_for_the_session_that_began_it(world: World) {
    let scene = Scene::new(world).await;
    let unknown = |result: Result<Attempt, OAuthError>| result.unwrap_err().code();
    let (state, verifier) = scene.begin().await;
    let kept = scene.consume(&state, SESSION).await.unwrap();
    assert_eq!(kept.secret.expose(), verifier.plaintext().expose());
    assert_eq!(kept.payload, json!({ "targetKey": "t" }));
    for (state, session) in [
        (state.as_str(), SESSION),
        ("", SESSION),
        ("made-up", SESSION),
        (&format!("{state}x"), SESSION),
        (&scene.begin().await.0, "session-2"),
        (&scene.begin().await.0, ""),
    ] {
        assert_eq!(unknown(scene.consume(state, session).await), "oauth_state_unknown");
        // Whoever tried, it is used now.
        assert_eq!(unknown(scene.consume(state, SESSION).await), "oauth_state_unknown");
    }
    let (store, vault) = (&scene.store, &scene.vault);
    let (state, _) = scene.begin().await;
    let other = Attempt::consume(store, vault, (&state, SESSION, "login"), NOW).await;
    assert_eq!(unknown(other), "oauth_state_unknown");
    let (state, _) = scene.begin().await;
    let late = Attempt::consume(store, vault, (&state, SESSION, "connect"), NOW + 600_000).await;
    assert_eq!(unknown(late), "oauth_state_unknown");
    // Many at once: one gets it.
    let (state, _) = scene.begin().await;
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, vault, state) = (store.clone(), vault.clone(), state.clone());
        tries.spawn(async move {
            Attempt::consume(&store, &vault, (&state, SESSION, "connect"), NOW).await.is_ok()
        });
    }
    let won = tries.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
}

async fn a_code_without_its_verifier_is_worth_nothing(world: World) {
    let scene = Scene::new(world).await;
    let client = client("code");
    let grant = async |verifier: Option<&Plaintext>, redirect_uri: &str| {
        let (state, own) = scene.begin().await;
        let code = consent(&client, &state, &own).await;
        let grant = Grant::Code { code: &code, verifier, redirect_uri };
        let refused = client.tokens(grant, NOW).await.unwrap_err();
        assert!(refused.is_permanent(), "{refused:?}");
    };
    let other = Plaintext::new(b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_vec());
    grant(None, REDIRECT).await;
    grant(Some(&other), REDIRECT).await;
    grant(None, "https://evil.example/callback").await;
    let (state, own) = scene.begin().await;
    let code = consent(&client, &state, &own).await;
    let own = Grant::Code { code: &code, verifier: Some(own.plaintext()), redirect_uri: REDIRECT };
    client.tokens(own, NOW).await.unwrap();
    let again = client.tokens(own, NOW).await.unwrap_err();
    assert!(matches!(again, OAuthError::Refused("invalid_grant")), "{again:?}");
}

async fn two_replicas_refresh_once(world: World) {
    let scene = Scene::new(world).await;
    let client = client("code");
    scene.connect(&client).await;
    let before = scene.secret("oauth2_refresh_token").await.unwrap().0;
    let mut replicas = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (refresher, client) = (scene.refresher(), client.clone());
        let connection = scene.connection.clone();
        replicas.spawn(async move {
            let whose = KeepFor { organisation: ORGANISATION, connection: &connection };
            refresher.refresh(&client, (whose, 1), &at(NOW)).await.unwrap()
        });
    }
    let outcomes = replicas.join_all().await;
    let asked = outcomes.iter().filter(|outcome| **outcome == Refreshed::Now).count();
    assert_eq!(asked, 1, "{outcomes:?}");
    assert_eq!(scene.secret("oauth2_access_token").await.unwrap().1, 2);
    let after = scene.secret("oauth2_refresh_token").await.unwrap().0;
    assert_ne!(before, after, "the provider rotates");
    // The provider voids everything when an old refresh token is used: the new one still works.
    let again = scene.refresher().refresh(&client, (scene.whose(), 2), &at(NOW)).await.unwrap();
    assert_eq!(again, Refreshed::Now);
    assert_eq!(scene.status().await.0, "active");
    let told = scene.told().await;
    let about = |notice: &&Notice| notice.payload == json!({ "connectionId": scene.connection });
    assert_eq!(told.iter().filter(about).count(), 2, "proxies are told once per refresh");
}

async fn a_refresh_of_what_was_renewed_already_asks_nobody(world: World) {
    let scene = Scene::new(world).await;
    let mut client = client("code");
    scene.connect(&client).await;
    scene.refresher().refresh(&client, (scene.whose(), 1), &at(NOW)).await.unwrap();
    client.provider.token_url = "https://nowhere.invalid/token".to_owned();
    let outcome = scene.refresher().refresh(&client, (scene.whose(), 1), &at(NOW)).await;
    assert_eq!(outcome.unwrap(), Refreshed::Already);
    let whose = KeepFor { organisation: ORGANISATION, connection: "icn_none" };
    let nobody = scene.refresher().refresh(&client, (whose, 1), &at(NOW)).await.unwrap_err();
    assert_eq!(nobody.code(), "nothing_to_refresh");
    let whose = KeepFor { organisation: "org_b", connection: &scene.connection };
    let other = scene.refresher().refresh(&client, (whose, 2), &at(NOW)).await.unwrap_err();
    assert_eq!(other.code(), "nothing_to_refresh", "another organisation's connection is none");
}

async fn a_holder_that_died_is_replaced_when_its_lease_ends(world: World) {
    let scene = Scene::new(world).await;
    let client = client("code");
    scene.connect(&client).await;
    let name = format!("oauth2/{}", scene.connection);
    let dead = scene.store.take_lease(&name, "dead", (NOW, NOW + 30_000)).await.unwrap().unwrap();
    // The clock jumps past the end of its lease while another one waits.
    let clock = AtomicI64::new(NOW + 30_000 + CLOCKS_APART_MS - 1);
    let tick = || clock.fetch_add(1, Ordering::Relaxed);
    let outcome = scene.refresher().refresh(&client, (scene.whose(), 1), &tick).await;
    assert_eq!(outcome.unwrap(), Refreshed::Now);
    let mut transaction = scene.store.begin(Access::Read).await.unwrap();
    assert!(!dead.is_held(&mut *transaction).await.unwrap());
}

/// The provider may have made the old refresh token void before what it answered was written down:
/// then the connection says so, and no dead token is given out as a good one.
async fn a_refresh_that_is_killed_anywhere_is_whole_or_seen(world: World) {
    let scene = Scene::new(world).await;
    let client = client("code");
    let (mut polls, mut lost) = (0, 0);
    loop {
        scene.connect(&client).await;
        scene.revive().await;
        let (_, seen) = scene.secret("oauth2_access_token").await.unwrap();
        let done = killed_after(polls, async {
            let refresher = scene.refresher();
            refresher.refresh(&client, (scene.whose(), seen), &at(NOW)).await.unwrap();
        })
        .await;
        // Another one takes over when the lease of the dead one is over.
        let later = at(NOW + 30_000 + CLOCKS_APART_MS);
        let again = scene.refresher().refresh(&client, (scene.whose(), seen), &later).await;
        match again {
            Ok(_) => {
                assert_eq!(scene.status().await.0, "active", "after {polls} polls");
                let (_, now) = scene.secret("oauth2_access_token").await.unwrap();
                assert_eq!(now, seen + 1, "after {polls} polls");
                // What is there is good: the provider renews it.
                let next = scene.refresher().refresh(&client, (scene.whose(), now), &later).await;
                assert_eq!(next.unwrap(), Refreshed::Now);
            }
            Err(OAuthError::Refused("invalid_grant")) => {
                assert_eq!(scene.status().await.0, "error", "after {polls} polls");
                lost += 1;
            }
            Err(other) => panic!("after {polls} polls: {other:?}"),
        }
        if done {
            break;
        }
        polls += 1;
    }
    assert!(polls > 2, "it was killed somewhere");
    assert!(lost < polls, "it was renewed when it was killed before the provider was asked");
}

async fn what_the_provider_took_back_puts_the_connection_in_error(world: World) {
    let scene = Scene::new(world).await;
    let client = client("code");
    scene.connect(&client).await;
    let (refresh, _) = scene.secret("oauth2_refresh_token").await.unwrap();
    assert!(client.revoke(&Plaintext::new(refresh.into_bytes())).await.unwrap());
    let failed = scene.refresher().refresh(&client, (scene.whose(), 1), &at(NOW)).await;
    assert!(matches!(failed, Err(OAuthError::Refused("invalid_grant"))), "{failed:?}");
    assert_eq!(scene.status().await, ("error".to_owned(), Some("invalid_grant".to_owned())));
    assert_eq!(scene.told().await.len(), 1);
    assert_eq!(scene.refresher().due(i64::MAX / 2, 10).await.unwrap(), []);
}

async fn a_provider_that_is_away_changes_nothing(world: World) {
    let scene = Scene::new(world).await;
    let good = client("code");
    scene.connect(&good).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let stranger = Outbound::new(&Reach {
        allow_ranges: vec!["127.0.0.0/8".parse().unwrap()],
        ..Reach::default()
    });
    let mut away = good.clone();
    away.provider.token_url = format!("https://localhost:{port}/token");
    let mut elsewhere = good.clone();
    elsewhere.provider.token_url = format!("{}/nothing-here", provider().issuer);
    let untrusted = OAuthClient { outbound: stranger.unwrap(), ..good.clone() };
    let inside =
        OAuthClient { outbound: Outbound::new(&Reach::default()).unwrap(), ..good.clone() };
    for (client, code) in [
        (away, "oauth_unavailable"),
        (untrusted, "oauth_unavailable"),
        (inside, "address_refused"),
        (elsewhere, "oauth_malformed"),
    ] {
        let before = scene.secret("oauth2_refresh_token").await;
        let failed = scene.refresher().refresh(&client, (scene.whose(), 1), &at(NOW)).await;
        let failed = failed.unwrap_err();
        assert_eq!(failed.code(), code, "{failed:?}");
        assert_eq!(scene.secret("oauth2_refresh_token").await, before);
        assert!(!failed.is_permanent(), "{code}");
        assert_eq!(scene.status().await.0, "active", "{code}");
    }
}

async fn a_program_gets_tokens_by_itself_and_again(world: World) {
    let scene = Scene::new(world).await;
    let client = client("program");
    let first = client.tokens(Grant::ClientCredentials, NOW).await.unwrap();
    assert!(first.refresh.is_none());
    assert_eq!(first.expires_at_ms, Some(NOW + 600_000));
    change!(scene.store, |t| { keep_tokens(t, &scene.vault, (scene.whose(), &first), NOW).await })
        .unwrap();
    let outcome = scene.refresher().refresh(&client, (scene.whose(), 1), &at(NOW + 1)).await;
    assert_eq!(outcome.unwrap(), Refreshed::Now);
    let (second, revision) = scene.secret("oauth2_access_token").await.unwrap();
    assert_eq!(revision, 2);
    assert_ne!(second.as_bytes(), first.access.expose());
    let mut wrong = client.clone();
    wrong.provider.client.secret = Some(Plaintext::new(b"wrong".to_vec()));
    let refused = wrong.tokens(Grant::ClientCredentials, NOW).await.unwrap_err();
    assert!(matches!(refused, OAuthError::Refused("invalid_client")), "{refused:?}");
}

async fn a_person_consents_on_another_device(world: World) {
    let scene = Scene::new(world).await;
    let client = client("device");
    let (store, vault) = (&scene.store, &scene.vault);
    let payload = json!({ "targetKey": "t" });
    let owner = Owner { key: ORGANISATION, session: SESSION };
    let begin = Begin { owner, purpose: "device", redirect_uri: "", payload: &payload };
    let started = client.start_device((store, vault), begin, NOW).await.unwrap();
    assert!(started.expires_at_ms > NOW && started.interval_seconds > 0);
    let poll = async |session: &str, now: i64| {
        let which = (started.handle.as_str(), session, "device");
        client.poll_device((store, vault), which, now).await
    };
    let asked = provider().count("urn:ietf:params:oauth:grant-type:device_code").await;
    let early = poll(SESSION, NOW).await.unwrap_err();
    assert_eq!(early.code(), "authorization_pending");
    let stranger = poll("session-2", NOW + 60_000).await.unwrap_err();
    assert_eq!(stranger.code(), "oauth_state_unknown");
    let undecided = poll(SESSION, NOW + 10_000).await.unwrap_err();
    assert_eq!(undecided.code(), "authorization_pending");
    let mut browser = Browser::new(provider());
    browser.approve_device(&started.verification_uri, &started.user_code).await;
    let too_early = poll(SESSION, NOW + 10_001).await.unwrap_err();
    assert_eq!(too_early.code(), "authorization_pending");
    let (attempt, tokens) = poll(SESSION, NOW + 20_000).await.unwrap();
    assert_eq!(attempt.payload, payload);
    assert!(tokens.refresh.is_some());
    let again = poll(SESSION, NOW + 30_000).await.unwrap_err();
    assert_eq!(again.code(), "oauth_state_unknown");
    assert!(provider().count("urn:ietf:params:oauth:grant-type:device_code").await > asked);
}

async fn only_what_has_lived_long_enough_is_due(world: World) {
    let scene = Scene::new(world).await;
    scene.connect(&client("code")).await;
    let due = async |now: i64| scene.refresher().due(now, 10).await.unwrap().len();
    assert_eq!(due(NOW).await, 0);
    assert_eq!(due(NOW + 2_879_999).await, 0);
    assert_eq!(due(NOW + 2_880_000).await, 1, "four fifths of an hour");
    assert_eq!(due(NOW + 9_999_999_999).await, 1);
    let revoke = "UPDATE connections SET status = 'revoked'";
    change!(scene.store, |t| { t.execute(revoke, Vec::new()).await }).unwrap();
    assert_eq!(due(NOW + 9_999_999_999).await, 0);
}

#[tokio::test]
async fn a_provider_says_itself_where_its_endpoints_are() {
    let provider = provider();
    let found = Discovered::of(&provider.issuer, &provider.outbound()).await.unwrap();
    assert_eq!(found.token_endpoint, format!("{}/token", provider.issuer));
    assert!(found.code_challenge_methods_supported.contains(&"S256".to_owned()));
    for issuer in [
        format!("{}/", provider.issuer),
        format!("{}/tenant", provider.issuer),
        provider.issuer.replace("https", "http"),
        "https://127.0.0.1.invalid".to_owned(),
    ] {
        assert!(Discovered::of(&issuer, &provider.outbound()).await.is_err(), "{issuer}");
    }
}
