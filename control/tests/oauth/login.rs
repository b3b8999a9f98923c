//! People sign in at a real OpenID provider, on both databases.
#![expect(clippy::unwrap_used, reason = "a test fails where what it relies on is not there")]

use crate::on_both_databases;
use crate::provider::browser::Browser;
use crate::provider::provider;
use crate::world::{self, World};
use sallygate_control::api::{Serving, serve};
use sallygate_control::clock::{Clock, wall_ms};
use sallygate_control::credentials::{MasterKeys, Plaintext, Vault};
use sallygate_control::domain::token::Role;
use sallygate_control::feed::Feed;
use sallygate_control::login::{
    Finish, Finished, Login, LoginConfig, LoginError, RoleRule, SessionToken, end_session,
    find_session,
};
use sallygate_control::outbound::Reach;
use sallygate_control::secret_files::SecretFiles;
use sallygate_control::service::Control;
use sallygate_control::store::{Access, Store};
use sallygate_control::webhook::Webhooks;
use sallygate_control::{change, values};
use sallygate_definitions::Registry;
use std::sync::Arc;
use tempfile::TempDir;
use url::Url;

on_both_databases!(
    a_person_signs_in_and_is_who_the_rules_say,
    whom_no_rule_names_is_not_let_in,
    a_sign_in_ends_once_in_the_browser_that_began_it,
    a_session_ends_when_it_is_old_or_unused_or_ended,
    a_provider_that_is_away_is_asked_again_later,
);

const BACK: &str = "https://control.example/api/v1/auth/oidc/callback";
const HOUR: i64 = 3_600_000;

struct Scene {
    login: Login,
    store: Store,
    vault: Vault,
    keys: TempDir,
    world: World,
}

/// What a browser was sent back with.
struct Back(Url);

impl Back {
    fn get(&self, name: &str) -> Option<String> {
        let found = self.0.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    }
}

pub(crate) fn config() -> LoginConfig {
    let provider = provider();
    let rule = |claim: &str, value: &str, role, organisation: Option<&str>| RoleRule {
        claim: claim.to_owned(),
        value: value.to_owned(),
        role,
        organisation: organisation.map(str::to_owned),
    };
    LoginConfig {
        issuer: provider.issuer.clone(),
        client_id: "sallygate".to_owned(),
        client_secret: Some(Plaintext::new(provider.client_secret.clone().into_bytes())),
        scopes: ["email", "groups", "profile"].map(str::to_owned).to_vec(),
        redirect_uri: BACK.to_owned(),
        rules: vec![
            rule("groups", "ops", Role::Operator, None),
            rule("email", "grace@people.example", Role::Member, Some("org_a")),
        ],
        reach: Reach {
            allow_ranges: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            authorities: vec![provider.authority.clone()],
            ..Reach::default()
        },
    }
}

impl Scene {
    async fn new(world: World) -> Self {
        Self::with(world, config()).await
    }

    async fn with(world: World, config: LoginConfig) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let vault = Vault::new(MasterKeys::create(&keys.path().join("master.key")).unwrap());
        let store = world.store().await;
        let organisation = "INSERT INTO organisations (id, name, created_at) VALUES ($1, $1, 0)";
        change!(store, |t| { t.execute(organisation, values!["org_a"]).await }).unwrap();
        let login = Login::new(config, store.clone(), vault.clone()).unwrap();
        Self { login, store, vault, keys, world }
    }

    /// Begins, and lets somebody consent at the provider.
    async fn consent(&self, who: &str) -> (Back, String) {
        let started = self.login.start("/policy?x=1", wall_ms()).await.unwrap();
        let url = format!("{}&login_hint={who}", started.url);
        let back = Browser::new(provider()).visit(&url).await;
        assert!(back.as_str().starts_with(BACK), "{back}");
        (Back(back), started.cookie)
    }

    async fn finish(&self, back: &Back, cookie: &str) -> Result<Finished, LoginError> {
        let (state, code) = (back.get("state").unwrap(), back.get("code"));
        let issuer = back.get("iss");
        let finish =
            Finish { state: &state, code: code.as_deref(), issuer: issuer.as_deref(), cookie };
        self.login.finish(finish, wall_ms()).await
    }

    async fn sign_in(&self, who: &str) -> Result<Finished, LoginError> {
        let (back, cookie) = self.consent(who).await;
        self.finish(&back, &cookie).await
    }

    async fn is_good(&self, token: &SessionToken, now_ms: i64) -> bool {
        let mut transaction = self.store.begin(Access::Read).await.unwrap();
        find_session(&mut *transaction, token, now_ms).await.unwrap().is_some()
    }
}

async fn a_person_signs_in_and_is_who_the_rules_say(world: World) {
    let scene = Scene::new(world).await;
    let ada = scene.sign_in("ada").await.unwrap();
    assert_eq!((ada.session.role, &ada.session.organisation), (Role::Operator, &None));
    assert_eq!(ada.session.person.name, "ada");
    assert_eq!(ada.session.person.email.as_deref(), Some("ada@people.example"));
    assert_eq!(ada.return_to, "/policy?x=1");
    let grace = scene.sign_in("grace").await.unwrap();
    assert_eq!(grace.session.role, Role::Member);
    assert_eq!(grace.session.organisation.as_deref(), Some("org_a"));
    let again = scene.sign_in("ada").await.unwrap();
    assert_eq!(again.session.person.id, ada.session.person.id, "the same person");
    assert_ne!(again.session.id, ada.session.id, "another session");
    assert_ne!(again.token.expose(), ada.token.expose());
    assert!(again.token.is_csrf(&again.token.csrf()));
    let csrf = again.token.csrf();
    for wrong in ["", "x", &ada.token.csrf(), csrf.get(1..).unwrap(), &format!("{csrf}A")] {
        assert!(!again.token.is_csrf(wrong), "{wrong}");
    }
    let mut transaction = scene.store.begin(Access::Read).await.unwrap();
    let received = SessionToken::received(ada.token.expose());
    let found = find_session(&mut *transaction, &received, wall_ms()).await.unwrap().unwrap();
    assert_eq!(found, ada.session);
    let shown = format!("{ada:?}");
    assert!(!shown.contains(ada.token.expose()), "{shown}");
}

async fn whom_no_rule_names_is_not_let_in(world: World) {
    let scene = Scene::new(world).await;
    let refused = scene.sign_in("mallory").await.unwrap_err();
    assert_eq!(refused.code(), "login_not_allowed");
    let mut other = config();
    other.rules.clear();
    let nobody = Scene::with(World::sqlite(), other).await;
    assert_eq!(nobody.sign_in("ada").await.unwrap_err().code(), "login_not_allowed");
}

async fn a_sign_in_ends_once_in_the_browser_that_began_it(world: World) {
    let scene = Scene::new(world).await;
    // Somebody else's browser: a link with a code of the attacker signs nobody in.
    let (attacker, _) = scene.consent("ada").await;
    let victim = scene.login.start("/", wall_ms()).await.unwrap();
    let fixed = scene.finish(&attacker, &victim.cookie).await.unwrap_err();
    assert_eq!(fixed.code(), "login_unknown");
    let (back, cookie) = scene.consent("ada").await;
    scene.finish(&back, &cookie).await.unwrap();
    let twice = scene.finish(&back, &cookie).await.unwrap_err();
    assert_eq!(twice.code(), "login_unknown");
    type Change = fn(&mut Finish<'_>);
    let refusals: [(Change, &str); 4] = [
        (|finish| finish.code = None, "login_refused"),
        (|finish| finish.code = Some("made-up"), "login_refused"),
        (|finish| finish.issuer = Some("https://other.example"), "login_other_issuer"),
        (|finish| finish.state = "made-up", "login_unknown"),
    ];
    for (change, code) in refusals {
        let (back, cookie) = scene.consent("ada").await;
        let (state, given) = (back.get("state").unwrap(), back.get("code"));
        let mut finish =
            Finish { state: &state, code: given.as_deref(), issuer: None, cookie: &cookie };
        change(&mut finish);
        let refused = scene.login.finish(finish, wall_ms()).await.unwrap_err();
        assert_eq!(refused.code(), code);
    }
    let (back, cookie) = scene.consent("ada").await;
    let (state, code) = (back.get("state").unwrap(), back.get("code"));
    let finish = Finish { state: &state, code: code.as_deref(), issuer: None, cookie: &cookie };
    let late = scene.login.finish(finish, wall_ms() + 600_001).await.unwrap_err();
    assert_eq!(late.code(), "login_unknown");
    // An ID token of long ago, or of the future, is not believed.
    let (back, cookie) = scene.consent("ada").await;
    let (state, code) = (back.get("state").unwrap(), back.get("code"));
    let finish = Finish { state: &state, code: code.as_deref(), issuer: None, cookie: &cookie };
    let early = scene.login.finish(finish, wall_ms() - 300_000).await.unwrap_err();
    assert_eq!(early.code(), "id_token_invalid");
}

async fn a_session_ends_when_it_is_old_or_unused_or_ended(world: World) {
    let scene = Scene::new(world).await;
    let Finished { token, session, .. } = scene.sign_in("ada").await.unwrap();
    let begun = session.created_ms;
    assert!(scene.is_good(&token, begun + 2 * HOUR - 1).await);
    assert!(!scene.is_good(&token, begun + 2 * HOUR).await, "nobody was here");
    for hour in 1..12 {
        let now = begun + hour * HOUR;
        assert!(session.is_stale(now) && !session.is_stale(begun + 59_999));
        change!(scene.store, |t| { session.seen(t, now).await }).unwrap();
    }
    assert!(scene.is_good(&token, begun + 12 * HOUR - 1).await);
    assert!(!scene.is_good(&token, begun + 12 * HOUR).await, "however busy");
    for other in ["", "sgs_", "sgs_0000"] {
        assert!(!scene.is_good(&SessionToken::received(other), begun).await, "{other}");
    }
    change!(scene.store, |t| { end_session(t, &token).await }).unwrap();
    assert!(!scene.is_good(&token, begun).await);
}

async fn a_provider_that_is_away_is_asked_again_later(world: World) {
    let mut away = config();
    away.issuer = "https://nowhere.invalid".to_owned();
    let scene = Scene::with(world, away).await;
    for _ in 0..2 {
        let refused = scene.login.start("/", wall_ms()).await.unwrap_err();
        assert_eq!(refused.code(), "login_provider_unavailable");
    }
}

/// Requests of a browser to the API.
struct Api {
    base: String,
    client: reqwest::Client,
    _serving: Serving,
    _keys: TempDir,
    _world: World,
}

impl Api {
    async fn new(config: Option<LoginConfig>) -> Self {
        let has_login = config.is_some();
        let scene = Scene::with(World::sqlite(), config.unwrap_or_else(self::config)).await;
        let Scene { login, store, vault, keys, world } = scene;
        let control = Control {
            store,
            vault,
            registry: Arc::new(Registry::builtin()),
            clock: Clock::system(),
            feed: Feed::default(),
            login: None,
            webhooks: Webhooks::new(&Reach::default()).unwrap(),
            setup_secrets: SecretFiles::default(),
        };
        control.prepare("sgo_operator-token-of-the-tests").await.unwrap();
        let login = has_login.then(|| Arc::new(login));
        let served = Control { login, ..control };
        let serving = serve(served, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let base = format!("http://{}", serving.address);
        Self { base, client, _serving: serving, _keys: keys, _world: world }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.body(r#"{"name":"mine","role":"read_only"}"#);
        }
        request.send().await.unwrap()
    }

    async fn refused(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let answer = self.ask(method, path, headers).await;
        let status = answer.status().as_u16();
        let body: serde_json::Value =
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        (status, body.get("code").and_then(|c| c.as_str()).unwrap_or_default().to_owned())
    }
}

/// The `name=value` of a cookie that was set, which must be for this host and not for scripts.
fn cookie(answer: &reqwest::Response, name: &str) -> String {
    let all = answer.headers().get_all("set-cookie").iter();
    let set = all.filter_map(|set| set.to_str().ok()).find(|set| set.starts_with(name)).unwrap();
    for part in ["Path=/", "HttpOnly", "Secure", "SameSite=Lax"] {
        assert!(set.contains(part), "{set}");
    }
    set.split(';').next().unwrap().to_owned()
}

fn location(answer: &reqwest::Response) -> String {
    answer.headers().get("location").unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_browser_signs_in_and_changes_things_only_from_our_pages() {
    const LOGIN: &str = "/api/v1/auth/oidc/login";
    const CALLBACK: &str = "/api/v1/auth/oidc/callback";
    const ME: &str = "/api/v1/auth/oidc/me";
    let api = Api::new(Some(config())).await;
    let begun = api.ask("GET", &format!("{LOGIN}?returnTo=/policy"), &[]).await;
    assert_eq!(begun.status(), 303);
    let login = cookie(&begun, "__Host-sallygate-login");
    let url = format!("{}&login_hint=ada", location(&begun));
    let back = Browser::new(provider()).visit(&url).await;
    let query = back.query().unwrap();
    let path = format!("{CALLBACK}?{query}");
    assert_eq!(api.refused("GET", &path, &[]).await, (400, "login_unknown".to_owned()));
    let ended = api.ask("GET", &path, &[("cookie", &login)]).await;
    assert_eq!((ended.status().as_u16(), location(&ended).as_str()), (303, "/policy"));
    let session = cookie(&ended, "__Host-sallygate-session");
    assert!(cookie(&ended, "__Host-sallygate-login").ends_with('='), "it is taken away");
    let twice = api.refused("GET", &path, &[("cookie", &login)]).await;
    assert_eq!(twice, (400, "login_unknown".to_owned()));

    let me = api.ask("GET", ME, &[("cookie", &session)]).await;
    assert_eq!(me.status(), 200);
    let me: serde_json::Value = serde_json::from_slice(&me.bytes().await.unwrap()).unwrap();
    assert_eq!(me["role"], "operator");
    assert_eq!(me["email"], "ada@people.example");
    let csrf = me["csrfToken"].as_str().unwrap();
    let targets = api.ask("GET", "/v1/integration/targets", &[("cookie", &session)]).await;
    assert_eq!(targets.status(), 200);

    let json = ("content-type", "application/json");
    let unauthorized = (401, "unauthorized".to_owned());
    let forged = (403, "csrf_token_invalid".to_owned());
    let (broken, both) = (format!("{session}x"), format!("{session}; {session}"));
    for (headers, expected) in [
        (vec![json], &unauthorized),
        (vec![json, ("cookie", "__Host-sallygate-session=")], &unauthorized),
        (vec![json, ("cookie", &broken), ("x-csrf-token", csrf)], &unauthorized),
        (vec![json, ("cookie", &both), ("x-csrf-token", csrf)], &unauthorized),
        (vec![json, ("cookie", &session), ("authorization", "Bearer x")], &unauthorized),
        (vec![json, ("cookie", &session)], &forged),
        (vec![json, ("cookie", &session), ("x-csrf-token", "")], &forged),
        (vec![json, ("cookie", &session), ("x-csrf-token", "AAAA")], &forged),
    ] {
        assert_eq!(&api.refused("POST", "/v1/api-tokens", &headers).await, expected);
    }
    let own = [json, ("cookie", &session), ("x-csrf-token", csrf)];
    assert_eq!(api.ask("POST", "/v1/api-tokens", &own).await.status(), 201);

    let out = format!("{}/logout", ME.trim_end_matches("/me"));
    assert_eq!(api.refused("POST", &out, &[("cookie", &session)]).await, forged);
    let ended = api.ask("POST", &out, &[("cookie", &session), ("x-csrf-token", csrf)]).await;
    assert_eq!(ended.status(), 204);
    assert_eq!(api.refused("GET", ME, &[("cookie", &session)]).await, unauthorized);

    let unconfigured = Api::new(None).await;
    let nowhere = unconfigured.refused("GET", LOGIN, &[]).await;
    assert_eq!(nowhere, (404, "login_not_configured".to_owned()));
}
