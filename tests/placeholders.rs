//! Placeholders as sandboxes meet them: what they are given in the environment comes to be the
//! credential where a route says so, and is worth nothing anywhere else.

#![cfg(test)]
#![expect(clippy::string_slice, reason = "placeholders are ASCII, and a test may panic")]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use world::{
    Client, Inject, Outcome, RunningWorld, SANDBOX, Seen, Service, Upstream, World, is_denial,
    sallygate, sha256,
};

const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];
const ANY: &str = "{ name = \"any\", paths = [\"/**\"] },";

/// Two providers that take a credential in the place of its placeholder, one of them in header fields
/// alone; one that takes it as bearer; and a host without any.
fn world() -> RunningWorld {
    let swap = "inject = \"placeholder\"\nplaceholder = \"ghp_{alphanumeric:36}\"\n\
                placeholder_env = [\"GATE_TOKEN\"]\nclear_headers = [\"x-other-key\"]\n\
                clear_query = [\"key\"]\nclear_cookies = [\"session\"]";
    let narrow = "inject = \"placeholder\"\nplaceholder_in = [\"header\"]\n\
                  placeholder_env = [\"NARROW_TOKEN\"]";
    let bearer = "inject = \"bearer\"\nplaceholder = \"glpat-{base64url:40}\"\n\
                  placeholder_env = [\"OTHER_TOKEN\"]";
    let at = |name: &str, inject: &str| {
        let toml = format!(
            "definition = \"generic::http-api\"\nbase_url = \"https://{name}.test\"\n{inject}"
        );
        Upstream::new(name, Service::Http).target(toml.leak())
    };
    let free =
        "[[profiles.web.routes]]\nname = \"free\"\ntarget = \"free\"\nhosts = [\"free.test\"]\n";
    let other =
        "[[sandboxes]]\nid = \"sbx_other\"\nprofile = \"web\"\nsources = [\"192.0.2.1/32\"]\n";
    World::new()
        .upstream(at("swap", swap).inject(Inject::Placeholder))
        .upstream(at("narrow", narrow).inject(Inject::Placeholder))
        .upstream(at("other", bearer))
        .upstream(Upstream::new("free", Service::Http).inject(Inject::None))
        .allow("swap", ANY)
        .allow("narrow", ANY)
        .allow("other", ANY)
        .policy(free)
        .policy(other)
        .start()
}

fn placeholder(world: &RunningWorld, name: &str) -> String {
    world.environment_of(SANDBOX).remove(name).expect("a placeholder")
}

fn last(world: &RunningWorld, name: &str) -> Seen {
    world.upstream(name).seen().pop().expect("the upstream saw a request")
}

fn curl<'w>(world: &'w RunningWorld, version: &str) -> Client<'w> {
    world.client("curl").args(["-sS", version])
}

/// A body in pieces: over which version of HTTP, to where, of which size, of which type.
fn pieces(world: &RunningWorld, how: [&str; 4], body: &str, coding: &[&str]) -> Outcome {
    let file = world.home().join("body");
    std::fs::write(&file, body).expect("a writable directory");
    let client = world.script("placeholder_client.py").args(how);
    client.arg(file).args(coding).run().succeeded()
}

/// As it stands in a query.
fn encoded(secret: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    secret.bytes().map(encoded).collect()
}

fn misuses(world: &RunningWorld, place: &str, owner: &str) -> u64 {
    let series =
        format!("sallygate_placeholder_misuse_total{{owner=\"{owner}\",place=\"{place}\"}} ");
    let text = world.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.map_or(0, |count| count.parse().expect("a number"))
}

#[test]
fn a_placeholder_looks_like_a_token_and_stays_the_same() {
    let mut world = world();
    let given = world.environment_of(SANDBOX);
    let (token, narrow) = (&given["GATE_TOKEN"], &given["NARROW_TOKEN"]);
    assert!(token.starts_with("ghp_") && token.len() == 40, "{token}");
    assert!(narrow.starts_with("sgp_") && narrow.len() == 44, "{narrow}");
    assert!(given["OTHER_TOKEN"].starts_with("glpat-"));
    for name in ["swap", "narrow", "other"] {
        let secret = world.upstream(name).canary().value();
        assert!(given.values().all(|value| !value.contains(secret)), "{name}");
    }
    let other = world.environment_of("sbx_other");
    assert_ne!(other["GATE_TOKEN"], *token);
    let mode = std::fs::metadata(world.data_file("placeholder.key")).expect("a key");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&mode) & 0o777, 0o600);
    world.restart();
    let policy = world.policy().replace("\"any\"", "\"all\"");
    assert_eq!(world.reload(&policy).status, 200);
    assert_eq!(world.environment_of(SANDBOX)["GATE_TOKEN"], *token);
    let own = format!("Authorization: Bearer {token}");
    curl(&world, "--http2").args(["-f", "-H", &own, "https://swap.test/get"]).run().succeeded();
    let bearer = format!("Bearer {}", world.upstream("swap").canary().value());
    assert_eq!(last(&world, "swap").header("authorization"), Some(&*bearer));
    world.check_invariants();
}

#[test]
fn a_credential_comes_in_the_place_of_its_placeholder_in_every_part_of_a_head() {
    let world = world();
    let token = placeholder(&world, "GATE_TOKEN");
    let secret = world.upstream("swap").canary().value().to_owned();
    let escaped = token.replace('_', "%5F").replace("5a11", "%35a11");
    for version in VERSIONS {
        let get = |arguments: &[&str], target: &str| {
            let url = format!("https://swap.test{target}");
            curl(&world, version).arg("-f").args(arguments).arg(&url).run().succeeded();
            last(&world, "swap")
        };
        let header = |text: &str| format!("X-Api-Key: {text}");
        let seen = get(&["-H", &header(&token)], "/get");
        assert_eq!(seen.header("x-api-key"), Some(&*secret));
        let seen = get(&["-H", &header(&format!("v1 {token}, {token}."))], "/get");
        assert_eq!(seen.header("x-api-key"), Some(&*format!("v1 {secret}, {secret}.")));
        let seen = get(&["-u", &format!("sally:{token}")], "/get");
        let pair = format!("Basic {}", STANDARD.encode(format!("sally:{secret}")));
        assert_eq!(seen.header("authorization"), Some(&*pair));
        let seen = get(&["-u", &format!("{token}:")], "/get");
        let pair = format!("Basic {}", STANDARD.encode(format!("{secret}:")));
        assert_eq!(seen.header("authorization"), Some(&*pair));
        let seen = get(&["-H", &format!("Cookie: a=1; session={token}; b=2")], "/get");
        assert_eq!(seen.header("cookie"), Some(&*format!("a=1; session={secret}; b=2")));
        // Where a credential may stand, the sandbox's own is removed.
        let own =
            ["-H", "X-Other-Key: own", "-H", "Authorization: own", "-H", "Cookie: session=own"];
        let seen = get(&own, "/get?key=own&a=1");
        assert_eq!(seen.path, "/get?a=1");
        for name in ["x-other-key", "authorization", "cookie"] {
            assert_eq!(seen.header(name), None, "{name}");
        }
        for text in [&token, &escaped] {
            let seen = get(&[], &format!("/get?a=%2F&key={text}&b=+"));
            assert_eq!(seen.path, format!("/get?a=%2F&key={}&b=+", encoded(&secret)), "{text}");
        }
    }
    world.check_invariants();
}

#[test]
fn a_credential_comes_in_the_place_of_its_placeholder_in_a_body() {
    let world = world();
    let token = placeholder(&world, "GATE_TOKEN");
    let secret = world.upstream("swap").canary().value().to_owned();
    let spelled = format!("\\u{:04x}{}", token.as_bytes()[0], &token[1..]);
    let long = "x".repeat(3 << 20);
    let bodies = [
        ("application/json", format!("{{\"token\":\"{token}\",\"b\":\"\\n\\\"\"}}")),
        ("application/json", format!("[\"{spelled}\",\"{token}{token}\"]")),
        ("application/x-www-form-urlencoded", format!("token={}&a=%2F", token.replace('_', "%5f"))),
        ("text/plain", format!("5a11e9a7e{}", &token[..20])),
        ("text/plain", token.clone()),
        ("text/plain", String::new()),
        ("text/plain", format!("{long}{token}{long}")),
    ];
    for (kind, body) in &bodies {
        let expected = body.replace(&spelled, &secret);
        let expected = expected.replace(&token.replace('_', "%5f"), &encoded(&secret));
        let expected = expected.replace(&token, &secret);
        let check = |got: &Outcome, what: &str| {
            let seen = last(&world, "swap");
            let digest = seen.body_sha256.clone().unwrap_or_default();
            assert_eq!(digest, sha256(expected.as_bytes()), "{kind} {what}: {got}");
            seen
        };
        let file = world.home().join("body");
        std::fs::write(&file, body).expect("a writable directory");
        for version in VERSIONS {
            let data = format!("@{}", file.display());
            let kind = format!("Content-Type: {kind}");
            let post = ["-f", "-X", "POST", "-H", &kind, "--data-binary", &data];
            let got = curl(&world, version).args(post).arg("https://swap.test/upload").run();
            let seen = check(&got.succeeded(), version);
            // What is short has its length, and what is not is not waited for.
            let length = seen.header("content-length").map(|length| length.parse().ok());
            let long = body.len() > 1 << 20;
            assert_eq!(length, (!long).then_some(Some(expected.len())), "{version} {kind}");
        }
        if body.len() > 1 << 20 {
            continue;
        }
        for (version, size) in [("1", "1"), ("1", "7"), ("2", "1"), ("2", "13")] {
            let how = [version, "https://swap.test/upload", size, kind];
            let got = pieces(&world, how, body, &[]);
            assert_eq!(got.step("status"), 200, "{got}");
            check(&got, &format!("pieces of {size} over {version}"));
        }
    }
    world.check_invariants();
}

#[test]
fn what_the_route_removes_may_be_a_placeholder_and_goes_nowhere() {
    let world = world();
    let (other, token) = (placeholder(&world, "OTHER_TOKEN"), placeholder(&world, "GATE_TOKEN"));
    let bearer = format!("Bearer {}", world.upstream("other").canary().value());
    for version in VERSIONS {
        let own = format!("Authorization: Bearer {other}");
        let got = curl(&world, version).args(["-f", "-H", &own, "https://other.test/get"]).run();
        got.succeeded();
        assert_eq!(last(&world, "other").header("authorization"), Some(&*bearer));
        // That of another host has no business here, though it would be removed.
        let own = format!("Authorization: Bearer {token}");
        let got = curl(&world, version).args(["-H", &own, "https://other.test/get"]).run();
        got.shows_denial("placeholder_misuse");
    }
    assert_eq!(world.upstream("other").seen().len(), 2);
    world.check_invariants();
}

#[test]
fn a_placeholder_in_the_head_of_a_request_to_anywhere_else_is_refused() {
    let world = world();
    let own = world.environment_of(SANDBOX);
    let (token, narrow) = (&own["GATE_TOKEN"], &own["NARROW_TOKEN"]);
    let foreign = world.environment_of("sbx_other").remove("GATE_TOKEN").expect("a placeholder");
    let mut requests = 0;
    let mut refused = |version: &str, arguments: &[&str], url: &str| {
        let got = curl(&world, version).args(arguments).arg(url).run();
        got.shows_denial("placeholder_misuse");
        requests += 1;
    };
    let percent: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let upper = token.to_uppercase();
    for version in VERSIONS {
        for host in ["free.test", "nowhere.test"] {
            let at = |rest: &str| format!("https://{host}{rest}");
            for value in [token, narrow, &foreign] {
                refused(version, &["-H", &format!("X-Any: {value}")], &at("/get"));
                refused(version, &["-H", &format!("Authorization: Bearer {value}")], &at("/get"));
                refused(version, &["-u", &format!("sally:{value}")], &at("/get"));
                refused(version, &["-b", &format!("a=1; b={value}")], &at("/get"));
                refused(version, &[], &at(&format!("/get/{value}/x")));
                refused(version, &[], &at(&format!("/get?a={value}")));
            }
            refused(version, &["-H", &format!("{token}: v")], &at("/get"));
            refused(version, &[], &at(&format!("/get/{percent}")));
            refused(version, &[], &at(&format!("/get?a={percent}")));
            refused(version, &["-X", "POST", "-H", &format!("X-A: {}", &token[4..])], &at("/get"));
        }
        // On the hosts of their credentials: in places where none comes in their place.
        refused(version, &[], &format!("https://swap.test/get/{token}"));
        refused(version, &["-H", &format!("X-A: {}", &token[1..])], "https://swap.test/get");
        refused(version, &["-H", &format!("X-A: {percent}")], "https://swap.test/get");
        refused(version, &["-H", &format!("X-A: {narrow}")], "https://swap.test/get");
        refused(version, &["-H", &format!("X-A: {token} {foreign}")], "https://swap.test/get");
        refused(version, &["-H", &format!("X-A: {foreign}")], "https://swap.test/get");
        refused(version, &[], &format!("https://narrow.test/get?a={narrow}"));
        let other = format!("X-A: {}", own["OTHER_TOKEN"]);
        refused(version, &["-H", &other], "https://other.test/get");
    }
    for name in ["swap", "narrow", "other", "free"] {
        world.assert_saw(name, &[]);
    }
    let counted = |place| misuses(&world, place, "own") + misuses(&world, place, "foreign");
    assert_eq!(["header", "basic", "path", "query"].map(counted).iter().sum::<u64>(), requests);
    let line =
        world.audit_line("the misuse", |line| is_denial(line, "free.test", "placeholder_misuse"));
    assert_eq!(line["sandbox"], SANDBOX);
    for (place, owner) in [
        ("header", "own"),
        ("header", "foreign"),
        ("basic", "own"),
        ("path", "own"),
        ("query", "foreign"),
    ] {
        assert!(misuses(&world, place, owner) > 0, "{place} {owner}");
    }
    // What only looks like one passes.
    for value in [&upper, &token[..39], "5a11e9a7e000000000000000000000000000", "5a11e9a7e"] {
        let header = format!("X-Any: {value}");
        curl(&world, "--http2")
            .args(["-f", "-H", &header, "https://free.test/get"])
            .run()
            .succeeded();
        assert_eq!(last(&world, "free").header("x-any"), Some(value));
    }
    world.check_invariants();
}

#[test]
fn a_placeholder_in_a_connect_is_refused_before_there_is_a_tunnel() {
    let world = world();
    let token = placeholder(&world, "GATE_TOKEN");
    let named = token.replace('_', "-");
    for url in [format!("https://{named}.free.test/"), format!("https://{named}.nowhere.test/")] {
        let got = curl(&world, "--http1.1").args(["-D", "-", &url]).run().failed();
        assert!(got.stdout.contains("placeholder_misuse"), "{got}");
    }
    let header = format!("X-Any: {token}");
    let got = curl(&world, "--http1.1").args(["-D", "-", "--proxy-header", &header]);
    let got = got.arg("https://swap.test/get").run().failed();
    assert!(got.stdout.contains("placeholder_misuse"), "{got}");
    assert_eq!(misuses(&world, "connect", "own"), 3);
    world.assert_saw("swap", &[]);
    world.check_invariants();
}

#[test]
fn a_body_ends_where_a_placeholder_comes_that_has_no_business_there() {
    let world = world();
    let own = world.environment_of(SANDBOX);
    let token = &own["GATE_TOKEN"];
    let foreign = world.environment_of("sbx_other").remove("GATE_TOKEN").expect("a placeholder");
    let other = &own["OTHER_TOKEN"];
    let percent: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let json: String = token.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let long = "y".repeat(300_000);
    let cases = [
        ("free", token.clone()),
        ("free", format!("{long}{foreign}{long}")),
        ("free", format!("a{json}b")),
        ("free", format!("a{percent}b")),
        ("other", other.clone()),
        ("narrow", own["NARROW_TOKEN"].clone()),
        ("swap", foreign.clone()),
        ("swap", format!("{token}{other}")),
        ("swap", token[1..].to_owned()),
        ("swap", percent.clone()),
    ];
    for (at, (host, body)) in cases.into_iter().enumerate() {
        let (first, second) = if at % 2 == 0 { ("1", "2") } else { ("2", "1") };
        for (version, size) in [(first, "5"), (second, "1000000")] {
            let size = if body.len() > 1000 { "16001" } else { size };
            let url = format!("https://{host}.test/upload");
            let got = pieces(&world, [version, &url, size, "application/json"], &body, &[]);
            assert_ne!(got.step("status"), 200, "{host} {version} {size}: {got}");
        }
    }
    for name in ["swap", "narrow", "other", "free"] {
        for seen in world.upstream(name).seen() {
            assert_eq!(seen.body_sha256, None, "{name} got a whole body: {seen:?}");
            let text = String::from_utf8_lossy(&seen.body_start).into_owned();
            // The code is where a placeholder begins to be one.
            assert!(!text.contains("5a11e9a7e"), "{name}: {text}");
        }
    }
    assert!(misuses(&world, "body", "own") > 0 && misuses(&world, "body", "foreign") > 0);
    world.audit_line("the misuse", |line| is_denial(line, "free.test", "placeholder_misuse"));
}

#[test]
fn a_compressed_body_is_taken_only_where_nothing_has_to_be_found_in_it() {
    let world = world();
    let token = placeholder(&world, "GATE_TOKEN");
    let post = |host: &str, version: &str| {
        let url = format!("https://{host}.test/upload");
        let body = format!("[\"{token}\"]");
        pieces(&world, [version, &url, "64", "application/json"], &body, &["gzip"])
    };
    for version in ["1", "2"] {
        let got = post("swap", version);
        assert_eq!(got.step("status"), 415, "{got}");
        got.step_shows_denial("text", "body_encoded");
        // It is not looked into, and no credential comes of it.
        assert_eq!(post("free", version).step("status"), 200);
    }
    world.assert_saw("swap", &[]);
    world.check_invariants();
}

#[test]
fn a_message_with_a_placeholder_ends_its_websocket() {
    let api = Upstream::new("api", Service::Http).target(
        "definition = \"generic::http-api\"\nbase_url = \"https://api.test\"\n\
         inject = \"bearer\"\nplaceholder = \"sk-{alphanumeric:48}\"\nplaceholder_env = [\"API_KEY\"]",
    );
    let world = World::new().upstream(api).allow("api", ANY).start();
    let token = placeholder(&world, "API_KEY");
    let got = world.script("placeholder_websocket.py").arg(&token).run().succeeded();
    assert_eq!(got.step("echo"), "hello");
    assert!(got.all("after").is_empty() && got.all("closed").len() == 1, "{got}");
    let got = world.script("placeholder_websocket.py").arg(&token[..30]).run().succeeded();
    assert_eq!(got.step("after"), token[..30]);
    assert_eq!(misuses(&world, "frame", "own"), 1);
    world.audit_line("the misuse", |line| is_denial(line, "api.test", "placeholder_misuse"));
}

#[test]
fn sdks_that_insist_on_a_key_work_with_their_placeholder() {
    let openai = Upstream::new("openai", Service::OpenAi).base_path("/v1").target(
        "definition = \"openai::openai-default\"\nconfig = { baseUrl = \"https://openai.test/v1\" }",
    );
    let openai =
        openai.connection("credentials = { apiKey = { value_file = \"secrets/openai\" } }");
    let binding = "[[profiles.web.bindings]]\nid = \"ibd_openai\"\nconnection = \"openai\"\n";
    let world = World::new().upstream(openai).policy(binding).start();
    let key = placeholder(&world, "OPENAI_API_KEY");
    for file in ["openai_environment_client.py", "openai_environment_client.mjs"] {
        let got = world.script(file).run().failed();
        assert!(got.stdout.contains("refused"), "{got}");
        let got = world.script(file).env("OPENAI_API_KEY", &key).run().succeeded();
        assert_eq!(got.step("shape"), "sk-proj-", "{file}");
        assert_eq!(got.step("length"), 164, "{file}");
        assert!(got.step("models").as_array().is_some_and(|models| !models.is_empty()), "{file}");
    }
    world.upstream("openai").assert_always_authenticated();
    world.check_invariants();
}

#[test]
fn a_command_that_is_run_has_placeholders_of_its_own() {
    let world = world();
    let run = |script: &str| {
        let mut run = sallygate();
        run.arg("run").arg("--dir").arg(world.data_file("")).args(["--profile", "web", "--quiet"]);
        let output = run.args(["--", "sh", "-c", script]).output().expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let first = run("printf %s \"$GATE_TOKEN\"");
    let second = run("printf %s \"$GATE_TOKEN\"");
    assert!(first.starts_with("ghp_") && first.len() == 40, "{first}");
    assert_ne!(first, second, "each session is a sandbox");
    assert_ne!(first, placeholder(&world, "GATE_TOKEN"));
    let status = "curl -sS -o /dev/null -w '%{http_code}' -H";
    let own = format!("{status} \"X-Api-Key: $GATE_TOKEN\" https://swap.test/get");
    assert_eq!(run(&own), "200");
    let secret = world.upstream("swap").canary().value().to_owned();
    assert_eq!(last(&world, "swap").header("x-api-key"), Some(&*secret));
    let stolen = format!("{status} 'X-Api-Key: {first}' https://swap.test/get");
    assert_eq!(run(&stolen), "403");
    assert_eq!(misuses(&world, "header", "foreign"), 1);
    assert_eq!(world.upstream("swap").seen().len(), 1);
    world.check_invariants();
}
