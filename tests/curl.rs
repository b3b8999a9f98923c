//! curl as a sandbox: both versions of HTTP, a gigabyte each way, streams, readable refusals.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use world::{
    Inject, PseudoRandom, RunningWorld, Service, Upstream, World, assert_denial_in, is_denial,
};

const GIB: u64 = 1 << 30;
/// What the proxy may grow by while a gigabyte passes.
const GROWTH_KIB_MAX: u64 = 32 * 1024;
const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

const ROUTES: &str = r#"
  { name = "read", methods = ["GET"], paths = ["/get", "/headers", "/bytes/**", "/slow-length", "/trailers"] },
  { name = "write", methods = ["POST", "PUT"], paths = ["/anything", "/upload"] },
"#;

fn world() -> RunningWorld {
    World::new().upstream(Upstream::new("api", Service::Http)).allow("api", ROUTES).start()
}

/// Runs `transfer` and asserts that the proxy held next to nothing of what passed.
fn in_constant_memory(world: &mut RunningWorld, transfer: impl Fn(&RunningWorld)) {
    // What is allocated once, such as connections and buffers, is not the transfer's.
    for version in VERSIONS {
        let warm = world.client("curl").args(["-sSf", version, "https://api.test/bytes/1000000"]);
        warm.hash_stdout_only().run().succeeded();
    }
    let before = world.process().memory_kib();
    world.process().reset_memory_peak();
    transfer(world);
    let peak = world.process().memory_peak_kib();
    let growth = peak.saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "grew by {growth} KiB, from {before} to {peak}");
}

#[test]
fn curl_is_answered_with_the_real_credential_over_both_versions_of_http() {
    let world = world();
    for (version, status) in VERSIONS.into_iter().zip(["HTTP/1.1 200", "HTTP/2 200"]) {
        let own = "Authorization: Bearer placeholder";
        let got = world.client("curl").args(["-sS", version, "-i", "-H", own]);
        let got = got.arg("https://api.test/get?a=1").run().succeeded();
        assert!(got.stdout.contains(status), "{got}");
        assert!(got.stdout.contains("sha256:"), "the upstream masks what it echoes: {got}");
        assert!(got.stdout.contains("https://api.test/get?a=1"), "{got}");
        assert!(!got.stdout.contains("placeholder"), "the sandbox's own value was sent: {got}");
    }
    // That it answered 200 says that the credential was there; this says that it was checked.
    world.assert_saw("api", &["/get?a=1", "/get?a=1"]);
    world.upstream("api").assert_always_authenticated();
    world.check_invariants();
}

#[test]
fn every_way_to_present_a_credential_replaces_what_the_sandbox_sent() {
    let basic = Inject::Basic { username: "x-access-token".to_owned() };
    let ways = [
        ("basic", basic, "https://basic.test/get", "Authorization: Bearer placeholder"),
        (
            "key",
            Inject::Header("x-api-key".into()),
            "https://key.test/get",
            "X-Api-Key: placeholder",
        ),
        (
            "query",
            Inject::Query("key".into()),
            "https://query.test/get?key=placeholder&a=1",
            "X: y",
        ),
    ];
    let mut world = World::new();
    for (name, inject, ..) in &ways {
        let upstream = Upstream::new(name, Service::Http).inject(inject.clone());
        world = world.upstream(upstream).allow(name, ROUTES);
    }
    let world = world.start();
    for (name, _, url, header) in ways {
        let got = world.client("curl").args(["-sSf", "-H", header, url]).run().succeeded();
        assert!(!got.stdout.contains("placeholder"), "{got}");
        assert_eq!(world.upstream(name).seen().len(), 1);
    }
    world.check_invariants();
}

#[test]
fn a_gigabyte_downloads_in_constant_memory_over_both_versions_of_http() {
    let mut world = world();
    let expected = PseudoRandom::new(GIB).sha256();
    for version in VERSIONS {
        in_constant_memory(&mut world, |world| {
            let url = format!("https://api.test/bytes/{GIB}");
            let got = world.client("curl").args(["-sSf", version, &url]);
            let got = got.hash_stdout_only().run().succeeded();
            assert_eq!((got.stdout_bytes, &got.stdout_sha256), (GIB, &expected), "{version}");
        });
    }
    world.check_invariants();
}

#[test]
fn a_gigabyte_uploads_in_constant_memory_over_both_versions_of_http() {
    let mut world = world();
    let expected = PseudoRandom::new(GIB).sha256();
    for version in VERSIONS {
        in_constant_memory(&mut world, |world| {
            let put = world.client("curl").args(["-sSf", version, "-T", "-"]);
            let put = put.arg("https://api.test/upload").stdin_bytes(GIB).run().succeeded();
            assert_eq!(put.json()["body_bytes"], GIB, "{version}");
            assert_eq!(put.json()["body_sha256"], expected.as_str(), "{version}");
        });
        let seen = world.upstream("api").seen().pop().expect("the upload");
        assert_eq!(seen.header("content-length"), None, "its length is not known to curl");
    }
    world.check_invariants();
}

#[test]
fn an_upload_of_known_length_arrives_with_its_length() {
    let world = world();
    let file = world.home().join("upload");
    let pieces: Vec<u8> = PseudoRandom::new(3 << 20).flatten().collect();
    std::fs::write(&file, pieces).expect("a writable home");
    for version in VERSIONS {
        let put = world.client("curl").args(["-sSf", version, "https://api.test/upload", "-T"]);
        let put = put.arg(&file).run().succeeded();
        assert_eq!(put.json()["body_sha256"], PseudoRandom::new(3 << 20).sha256().as_str());
        let seen = world.upstream("api").seen().pop().expect("the upload");
        assert_eq!(seen.header("content-length"), Some("3145728"));
    }
    world.check_invariants();
}

#[test]
fn a_response_with_a_content_length_streams_as_it_comes() {
    let world = world();
    for version in VERSIONS {
        // The upstream sends a part only after curl has shown the one before.
        let got = world.client("curl").args(["-sSfN", version, "https://api.test/slow-length"]);
        let got = got.run_opening(world.upstream("api"), "part\n").succeeded();
        assert_eq!(got.stdout, "first part\nsecond part\nthird part\n");
    }
    world.check_invariants();
}

#[test]
fn trailers_of_a_response_arrive() {
    let world = world();
    for version in VERSIONS {
        let got = world.client("curl").args(["-sSf", version, "-D", "-", "-H", "TE: trailers"]);
        let got = got.arg("https://api.test/trailers").run().succeeded();
        assert!(got.stdout.contains("a body with a trailer"), "{got}");
        assert!(got.stdout.contains("x-checksum: 5d1f"), "{got}");
    }
    world.check_invariants();
}

#[test]
fn a_request_outside_the_policy_is_refused_with_a_reason_that_curl_shows() {
    let world = world();
    let refused = [
        (vec!["-X", "DELETE", "https://api.test/get"], "api.test"),
        (vec!["https://api.test/secret"], "api.test"),
        (vec!["-d", "text", "https://api.test/get"], "api.test"),
        (vec!["https://evil.test/"], "evil.test"),
    ];
    for (arguments, host) in refused {
        for version in VERSIONS {
            let got = world.client("curl").args(["-sS", version, "-i"]).args(&arguments).run();
            let got = got.succeeded();
            got.shows_denial("no_route");
            let (head, body) = got.stdout.rsplit_once("\r\n\r\n").expect("a head and a body");
            assert!(head.contains("x-sallygate-code: no_route"), "{got}");
            let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(problem["code"], "no_route", "{got}");
            assert_eq!(problem["origin"], "proxy", "{got}");
            assert_eq!(problem["host"], host, "{got}");
        }
        world.audit_line("the denial in the audit log", |line| is_denial(line, host, "no_route"));
        // With --fail only the status line and so the reason phrase are shown.
        let got = world.client("curl").args(["-sSvf", "--http1.1"]).args(&arguments).run().failed();
        assert_denial_in(&got.stderr, "no_route");
    }
    assert!(world.upstream("api").seen().is_empty());
    world.check_invariants();
}

#[test]
fn a_client_without_a_valid_identity_is_asked_for_one() {
    let world = world();
    let address = world.proxy_url().split_once('@').expect("an identity").1.to_owned();
    for proxy in [
        format!("http://{address}"),
        format!("http://sbx_e2e:wrong@{address}"),
        format!("http://sbx_other:wrong@{address}"),
    ] {
        let got = world.client("curl").args(["-sSv", "https://api.test/get"]);
        let got = got.env("https_proxy", &proxy).env("HTTPS_PROXY", &proxy).run().failed();
        assert!(got.stderr.contains("< HTTP/1.1 407"), "{got}");
        assert!(got.stderr.to_lowercase().contains("< proxy-authenticate: basic"), "{got}");
    }
    assert!(world.upstream("api").seen().is_empty());
    world.check_invariants();
}
