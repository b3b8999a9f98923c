//! Bindings of definitions as sandboxes meet them: what the policy says in one line is what real
//! clients can do, and nothing beside it.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use world::{Client, Inject, RunningWorld, Service, Upstream, World, is_denial};

const VERSIONS: [&str; 2] = ["HTTP/1.1", "HTTP/2"];

/// GitHub's three origins on one server.
const TARGET: &str = r#"definition = "github::github-cloud"
config = { apiBaseUrl = "https://github.test/api", uploadsBaseUrl = "https://github.test/api/uploads", webBaseUrl = "https://github.test" }"#;

const BINDING: &str = r#"
[[profiles.web.bindings]]
id = "ibd_github"
connection = "github"
kind = "git"
config = { repositories = ["acme/app"], access = "write" }
"#;

/// Two repositories, of which the sandbox is bound to one.
fn github() -> (RunningWorld, TempDir) {
    let root = TempDir::new().expect("a temporary directory");
    for name in ["app", "secret"] {
        let bare = root.path().join(format!("acme/{name}.git"));
        local(root.path(), &["init", "-q", "--bare", "-b", "main", &bare.display().to_string()]);
        let work = TempDir::new().expect("a temporary directory");
        local(work.path(), &["clone", "-q", &bare.display().to_string(), "."]);
        local(work.path(), &["checkout", "-q", "-B", "main"]);
        commit(work.path(), "README.md");
        local(work.path(), &["push", "-q", "origin", "main"]);
    }
    let upstream = Upstream::new("github", Service::GitHub(root.path().to_owned()));
    let upstream = upstream.inject(Inject::GitHub).target(TARGET);
    let upstream = upstream.connection("method = \"token\"\nvalue_file = \"secrets/github\"");
    (World::new().upstream(upstream).policy(BINDING).start(), root)
}

fn commit(work: &Path, name: &str) {
    std::fs::write(work.join(name), "The gate.\n").expect("a writable directory");
    local(work, &["add", "."]);
    local(work, &["commit", "-q", "-m", name]);
}

const IDENTITY: [(&str, &str); 5] = [
    ("GIT_AUTHOR_NAME", "Sally"),
    ("GIT_AUTHOR_EMAIL", "sally@git.test"),
    ("GIT_COMMITTER_NAME", "Sally"),
    ("GIT_COMMITTER_EMAIL", "sally@git.test"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
];

/// git outside of the sandbox, on files.
fn local(directory: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.current_dir(directory).args(arguments).envs(IDENTITY).env("HOME", directory);
    let output = git.output().expect("git runs (tests/prepare installs it)");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn git<'w>(world: &'w RunningWorld, directory: &Path, version: &str) -> Client<'w> {
    let mut git = world.client("git").directory(directory).env("GIT_TERMINAL_PROMPT", "0");
    for (name, value) in IDENTITY {
        git = git.env(name, value);
    }
    git.args(["-c", &format!("http.version={version}")])
}

#[test]
fn a_binding_to_one_repository_is_git_and_rest_of_that_repository_alone() {
    let (world, root) = github();
    let before = local(&root.path().join("acme/secret.git"), &["rev-parse", "main"]);
    for version in VERSIONS {
        let slug = version.replace('/', "-");
        let work = world.home().join(&slug);
        let clone = git(&world, &world.home(), version);
        clone
            .args(["clone", "-q", "https://github.test/acme/app.git"])
            .arg(&work)
            .run()
            .succeeded();
        commit(&work, &slug);
        git(&world, &work, version).args(["push", "-q", "origin", "HEAD:main"]).run().succeeded();
        let head = local(&work, &["rev-parse", "HEAD"]);
        assert_eq!(local(&root.path().join("acme/app.git"), &["rev-parse", "main"]), head);
        for arguments in [
            ["push", "https://github.test/acme/secret.git", "HEAD:main"],
            ["clone", "https://github.test/acme/secret.git", "stolen"],
        ] {
            git(&world, &work, version).args(arguments).run().failed().shows_denial("no_route");
        }
    }
    assert_eq!(local(&root.path().join("acme/secret.git"), &["rev-parse", "main"]), before);

    let own = ["-sS", "-H", "Authorization: token placeholder", "-o", "body", "-w", "%{http_code}"];
    for (method, path, status) in [
        ("GET", "repos/acme/app/pulls?state=open", "200"),
        ("POST", "repos/acme/app/issues", "200"),
        ("GET", "user", "200"),
        ("GET", "repos/acme/secret/pulls", "403"),
        ("GET", "repos/acme/app2", "403"),
        ("POST", "repos/acme/secret/issues", "403"),
        ("DELETE", "repos/acme/app", "403"),
        ("POST", "repos/acme/app/hooks", "403"),
        ("POST", "graphql", "403"),
        ("GET", "user/repos", "403"),
        ("GET", "repos/acme/app/../secret/pulls", "400"),
    ] {
        let url = format!("https://github.test/api/{path}");
        let curl = world.client("curl").args(own).args(["--path-as-is", "-X", method, &url]);
        let got = curl.run().succeeded();
        assert_eq!(got.stdout, status, "{method} {path}: {got}");
    }
    world.audit_line("the denial", |line| is_denial(line, "github.test", "no_route"));
    assert!(world.upstream("github").seen().iter().all(|seen| !seen.path.contains("secret")));
    world.upstream("github").assert_always_authenticated();
    world.check_invariants();
}

/// A provider that takes two secrets, and takes them in other places too.
const PAIR: &str = r#"
familyId = "acme"
variantId = "pair"
kind = "connector"
displayName = "Pair"
description = "Basic of two secrets."
logoKey = "acme"
[targetConfigSchema.properties.baseUrl]
type = "string"
format = "uri"
default = "https://pair.test"
[[connectionMethods]]
kind = "form"
id = "pair"
label = "E-mail and token"
fields = [
  { name = "email", label = "E-mail", secretType = "username" },
  { name = "token", label = "Token", secretType = "api_key" },
]
[[compileBinding.origins]]
name = "api"
baseUrl = "{{target.baseUrl}}"
inject = [{ secretType = "api_key", present = { kind = "basic", usernameFrom = { secretType = "username" } } }]
clear = { headers = ["x-api-key"], query = ["api_key"], cookies = ["session"] }
[[compileBinding.routes]]
name = "read"
methods = ["GET"]
paths = ["/get"]
"#;

#[test]
fn a_user_name_can_be_a_secret_and_all_places_of_a_credential_are_cleared() {
    let username = "sally@acme.test".to_owned();
    let upstream = Upstream::new("pair", Service::Http).inject(Inject::Basic { username });
    let upstream = upstream.target("definition = \"acme::pair\"").connection(
        "credentials = { email = { value_command = [\"printf\", \"sally@acme.test\"] }, \
         token = { value_file = \"secrets/pair\" } }",
    );
    let binding = "[[profiles.web.bindings]]\nid = \"ibd_pair\"\nconnection = \"pair\"\n";
    let world = World::new().definition(PAIR).upstream(upstream).policy(binding).start();
    for version in ["--http1.1", "--http2"] {
        let curl = world.client("curl").args(["-sSf", version, "-u", "own:placeholder"]);
        let curl =
            curl.args(["-H", "X-Api-Key: placeholder", "-H", "Cookie: a=1; session=placeholder"]);
        let url = "https://pair.test/get?api_key=placeholder&a=1";
        let got = curl.arg(url).run().succeeded();
        assert!(!got.stdout.contains("placeholder"), "{got}");
        assert!(got.stdout.contains("a=1"), "what is no credential stays: {got}");
    }
    world.assert_saw("pair", &["/get?a=1", "/get?a=1"]);
    world.upstream("pair").assert_always_authenticated();
    world.check_invariants();
}

#[test]
fn a_credential_in_a_cookie_a_template_or_the_path_replaces_what_the_sandbox_sent() {
    let below = "{ name = \"below\", paths = [\"/{credential}/below/a-credential\"] },";
    let get = "{ name = \"get\", methods = [\"GET\"], paths = [\"/get\"] },";
    let ways = [
        ("crumb", Inject::Cookie("session".into()), get, "https://crumb.test/get"),
        ("token", Inject::Token("authorization".into()), get, "https://token.test/get"),
        ("path", Inject::Path, below, "https://path.test/placeholder/below/a-credential"),
    ];
    let mut world = World::new();
    for (name, inject, routes, _) in &ways {
        let upstream = Upstream::new(name, Service::Http).inject(inject.clone());
        world = world.upstream(upstream).allow(name, routes);
    }
    let world = world.start();
    for version in ["--http1.1", "--http2"] {
        for (name, _, _, url) in &ways {
            let curl = world.client("curl").args(["-sSf", version]);
            let curl = curl.args(["-H", "Cookie: a=1; Session=placeholder; session=placeholder"]);
            let got = curl.args(["-H", "Authorization: placeholder", url]).run().succeeded();
            assert!(*name != "crumb" || !got.stdout.contains("placeholder"), "{got}");
            world.upstream(name).assert_always_authenticated();
        }
    }
    // A path without the segment is another path, and not one that is allowed.
    let got = world.client("curl").args(["-sS", "https://path.test/below/a-credential"]).run();
    got.shows_denial("no_route");
    world.check_invariants();
}
