//! Whom the proxy vouches for, and who vouches to it: without its own authority it opens no tunnel,
//! and nothing makes it trust an upstream that did not prove who it is.

#![cfg(test)]

#[expect(dead_code, reason = "each test file uses its part of the rig")]
#[path = "hostile/mod.rs"]
mod rig;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};
use rig::arena::{Arena, SANDBOX, Setup, Target};
use rig::client::Client;
use rig::dns::{Dns, Reply};
use rig::scene::provider_and_ca;
use rig::upstream::{Upstream, ok};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use tempfile::TempDir;

const ROUTES: &str = r#"{ name = "all" },"#;
const POLICY: &str = "version = 1\n[profiles.web]\nunmatched = \"deny\"\n[[sandboxes]]\n\
    id = \"sbx_a\"\nprofile = \"web\"\ntoken_sha256 = \
    \"0000000000000000000000000000000000000000000000000000000000000000\"\n";
const CONFIG: &str = "[proxy]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n";

/// Runs `sallygate` in a directory that has an authority, with these files besides.
fn sallygate(arguments: &[&str], prepare: impl FnOnce(&Path)) -> Output {
    let directory = TempDir::new().expect("a temporary directory");
    let run = |arguments: &[&str]| {
        let mut command = rig::sallygate();
        command.args(arguments).current_dir(directory.path()).output().expect("the binary runs")
    };
    assert!(run(&["ca", "init", "--dir", "."]).status.success());
    for (name, text) in [("config.toml", CONFIG), ("policy.toml", POLICY)] {
        std::fs::write(directory.path().join(name), text).expect("a file");
    }
    prepare(directory.path());
    run(arguments)
}

/// A proxy that is started with this authority does not come up, and says which file it is about.
#[track_caller]
fn check_start(prepare: impl FnOnce(&Path), said: &str) {
    let output = sallygate(&["proxy", "--config", "config.toml"], prepare);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it came up");
    assert!(stderr.contains(said), "`{said}` is not said:\n{stderr}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ready"), "it said that it is ready");
}

#[test]
fn without_a_whole_authority_no_proxy_comes_up() {
    let remove = |file: &'static str| {
        move |data: &Path| std::fs::remove_file(data.join(file)).expect("a file of the authority")
    };
    let spoil = |file: &'static str| {
        move |data: &Path| std::fs::write(data.join(file), "spoilt").expect("a writable file")
    };
    check_start(remove("ca.pem"), "ca.pem");
    check_start(remove("ca-key.pem"), "ca-key.pem");
    check_start(spoil("ca.pem"), "the interception authority cannot be used");
    check_start(spoil("ca-key.pem"), "the interception authority cannot be used");
}

/// Puts an authority that was good until 2020 in the place of the installation's own.
fn expire(data: &Path) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "expired test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.not_after = date_time_ymd(2020, 1, 1);
    let key = KeyPair::generate().expect("a key pair");
    let certificate = params.self_signed(&key).expect("a certificate");
    std::fs::write(data.join("ca.pem"), certificate.pem()).expect("a writable file");
    std::fs::write(data.join("ca-key.pem"), key.serialize_pem()).expect("a writable file");
}

#[test]
fn an_authority_that_has_expired_is_said_before_the_tunnel_opens() {
    let ca = provider_and_ca();
    let alpha = Upstream::tls(ca.server(&["alpha.test"]), ok());
    let target = Target::bound("alpha", alpha.address, ca.pem(), ROUTES);
    let directory = TempDir::new().expect("a temporary directory");
    let arena = Arena::start_in(directory, |data| {
        expire(data);
        Setup { targets: vec![target], ..Setup::default() }
    });
    let mut client = Client::connect(arena.process.proxy);
    let refused =
        client.open_tunnel("alpha.test:443", &arena.auth(SANDBOX)).expect_err("no tunnel");
    assert_eq!((refused.status, refused.code()), (503, Some("credential_unavailable")));
    assert!(client.wait_for(b"the interception authority has expired"), "no reason is given");
    assert_eq!(alpha.seen(|seen| seen.connections), 0);
}

#[test]
fn there_is_no_switch_that_trusts_what_was_not_verified() {
    let target = "[targets.alpha]\ndefinition = \"generic::http-api\"\n\
                  base_url = \"https://alpha.test\"\ninject = \"bearer\"\n";
    let check = |config: &str| {
        sallygate(&["policy", "check", "--config", "config.toml"], |data| {
            std::fs::write(data.join("config.toml"), config).expect("a file");
        })
    };
    let fine = check(&format!("{CONFIG}{target}"));
    assert!(fine.status.success(), "{}", String::from_utf8_lossy(&fine.stderr));
    for key in
        ["insecure", "insecure_skip_verify", "skip_verify", "verify", "verify_tls", "tls_verify"]
    {
        for config in [
            format!("{CONFIG}{target}{key} = true\n"),
            format!("{CONFIG}[tls]\n{key} = false\n{target}"),
            format!("{CONFIG}{target}[connections.alpha]\ntarget = \"alpha\"\n{key} = true\n"),
        ] {
            let output = check(&config);
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.code(), Some(1), "{config}{said}");
            assert!(said.contains(key), "`{key}` is not named:\n{said}");
        }
    }
}

/// Two servers that would go on with each other's sessions, one of which is somebody else. A client
/// that went on with one would not look at a certificate again.
#[test]
fn an_upstream_is_verified_anew_where_its_name_has_moved_to() {
    let ca = provider_and_ca();
    let tickets = rustls::crypto::aws_lc_rs::Ticketer::new().expect("a ticketer");
    let server = |host: &str, address: SocketAddr| {
        let mut config = (*ca.server(&[host])).clone();
        config.ticketer = Arc::clone(&tickets);
        Upstream::listen_at(address, Some(Arc::new(config)), ok())
    };
    let own = server("moving.test", SocketAddr::from(([127, 0, 0, 2], 0)));
    let port = own.address.port();
    let other = server("other.test", SocketAddr::from(([127, 0, 0, 3], port)));
    let dns = Dns::start(|_, times| {
        Reply::Addresses(vec![[127, 0, 0, if times == 0 { 2 } else { 3 }].into()])
    });
    let host = format!("moving.test:{port}");
    let target = Target {
        base_url: format!("https://{host}"),
        address: None,
        ..Target::bound("moving", own.address, ca.pem(), ROUTES)
    };
    let config = format!("[dns]\nservers = [\"{}\"]\n", dns.address);
    let arena = Arena::start(Setup { targets: vec![target], config, ..Setup::default() });
    let ask = || {
        let mut client = Client::connect(arena.process.proxy);
        client.open_tunnel(&host, &arena.auth(SANDBOX)).expect("a tunnel");
        let mut client = client.into_tls(&arena.tls("moving.test", &[])).expect("a leaf");
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        client.answer(false).expect("an answer")
    };
    assert_eq!(ask().status, 200);
    let moved = ask();
    assert_eq!((moved.status, moved.code()), (502, Some("upstream_tls")), "{}", moved.head);
    assert!(other.wait(|seen| seen.handshakes_failed == 1), "no handshake was tried");
    assert_eq!(other.seen(|seen| seen.requests.len()), 0);
    assert_eq!(own.seen(|seen| seen.requests.len()), 1);
}
