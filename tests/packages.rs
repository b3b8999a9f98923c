//! wget, pip and npm as sandboxes, against an index that wants a credential they do not have.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::process::Command;
use tempfile::TempDir;
use world::{
    Inject, PseudoRandom, RunningWorld, Service, Upstream, World, assert_denial_in, clients,
    is_denial, sha256, venv,
};

const ROUTES: &str = r#"
  { name = "packages", methods = ["GET"], paths = ["/simple/tiny-gate/", "/tiny-gate", "/files/tiny_gate-1.0.0-py3-none-any.whl", "/files/tiny-gate-1.0.0.tgz"] },
"#;

/// An index with one wheel and one npm package, which are made here.
fn world(inject: Inject) -> (RunningWorld, TempDir) {
    let packages = TempDir::new().expect("a temporary directory");
    let mut make = Command::new(venv("python"));
    make.arg(clients("make_packages.py")).arg(packages.path());
    assert!(make.status().expect("Python runs").success());
    let upstream = Upstream::new("index", Service::Packages(packages.path().to_owned()));
    let world = World::new().upstream(upstream.inject(inject)).allow("index", ROUTES).start();
    (world, packages)
}

#[test]
fn wget_downloads_and_shows_why_it_may_not() {
    let routes = r#"{ name = "read", methods = ["GET"], paths = ["/bytes/**"] }"#;
    let upstream = Upstream::new("api", Service::Http);
    let world = World::new().upstream(upstream).allow("api", routes).start();
    let bundle = world.ca_bundle().display().to_string();
    let got = world.client("wget").args(["-q", "-O", "file", "--ca-certificate", &bundle]);
    got.arg("https://api.test/bytes/5000000").run().succeeded();
    let file = std::fs::read(world.home().join("file")).expect("wget wrote it");
    assert_eq!(sha256(&file), PseudoRandom::new(5_000_000).sha256());

    for url in ["https://api.test/get", "https://evil.test/"] {
        let got = world.client("wget").args(["-O", "other", "--ca-certificate", &bundle, url]);
        assert_denial_in(&got.run().failed().stderr, "no_route");
    }
    world.audit_line("the denial", |line| is_denial(line, "api.test", "no_route"));
    assert_eq!(world.upstream("api").seen().len(), 1);
    world.check_invariants();
}

#[test]
fn pip_downloads_from_an_index_whose_password_it_does_not_know() {
    let (world, _packages) = world(Inject::Basic { username: "reader".to_owned() });
    let pip = |what: &[&str]| {
        let pip = world.client(venv("python")).args(["-m", "pip", "download"]);
        let pip = pip.args([
            "--no-deps",
            "--no-input",
            "--no-cache-dir",
            "--retries",
            "0",
            "--disable-pip-version-check",
        ]);
        pip.args(["--index-url", "https://index.test/simple/"]).args(what).run()
    };
    pip(&["tiny-gate"]).succeeded();
    assert!(world.home().join("tiny_gate-1.0.0-py3-none-any.whl").exists());
    let paths = ["/simple/tiny-gate/", "/files/tiny_gate-1.0.0-py3-none-any.whl"];
    world.assert_saw("index", &paths);

    pip(&["https://index.test/files/other-1.0.0-py3-none-any.whl"])
        .failed()
        .shows_denial("no_route");
    pip(&["-vv", "other"]).failed().shows_denial("no_route");
    world.assert_saw("index", &paths);
    world.upstream("index").assert_always_authenticated();
    world.check_invariants();
}

#[test]
fn npm_installs_from_a_registry_whose_token_it_does_not_have() {
    let (world, _packages) = world(Inject::Bearer);
    std::fs::write(world.home().join("package.json"), "{\"private\": true}").expect("a home");
    let npm = |what: &str| {
        let npm = world.client(venv("node")).arg(venv("npm")).args(["install", "--no-audit"]);
        let npm = npm.args(["--registry", "https://index.test/", "--fetch-retries", "0"]);
        npm.args(["--no-update-notifier", what]).run()
    };
    npm("tiny-gate").succeeded();
    assert!(world.home().join("node_modules/tiny-gate/index.js").exists());
    let paths = ["/tiny-gate", "/files/tiny-gate-1.0.0.tgz"];
    world.assert_saw("index", &paths);

    npm("other").failed().shows_denial("no_route");
    world.assert_saw("index", &paths);
    world.upstream("index").assert_always_authenticated();
    world.check_invariants();
}
