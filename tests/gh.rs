//! GitHub's command line as Debian has it, in a sandbox that is bound to one repository of a GitHub
//! Enterprise Server: it insists on a token, and has a placeholder.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use world::{Client, RunningWorld, SANDBOX, Service, Upstream, World, is_denial};

const HOST: &str = "ghes.test";
const PULLS: &str = "/api/v3/repos/acme/app/pulls";
const TARGET: &str = "definition = \"github::github-enterprise-server\"\n\
     config = { apiBaseUrl = \"https://ghes.test/api/v3\", webBaseUrl = \"https://ghes.test\" }";
const GRAPHQL: &str = r#"{"data": {"viewer": {"login": "sally"}, "repository": {"pullRequests": {
    "totalCount": 1, "pageInfo": {"hasNextPage": false, "endCursor": ""},
    "nodes": [{"number": 1347, "title": "Amazing new feature"}]}}}}"#;

fn world() -> RunningWorld {
    let answers: &[(&str, &str)] = &[
        (
            "GET /api/v3/repos/acme/app/pulls",
            r#"[{"number": 1347, "title": "Amazing new feature"}]"#,
        ),
        ("POST /api/v3/repos/acme/app/issues", r#"{"number": 1348, "title": "The gate"}"#),
        ("POST /api/graphql", GRAPHQL),
    ];
    let binding = "[[profiles.web.bindings]]\nid = \"ibd_ghes\"\nconnection = \"ghes\"\n\
         config = { repositories = [\"acme/app\"], access = \"write\", graphql = \"read\" }\n";
    let upstream = Upstream::new("ghes", Service::Answers(answers)).target(TARGET);
    let connection = "method = \"token\"\nvalue_file = \"secrets/ghes\"";
    World::new().upstream(upstream.connection(connection)).policy(binding).start()
}

/// `gh` with what the sandbox is given, and nobody at the keyboard.
fn gh<'w>(world: &'w RunningWorld, args: &[&str]) -> Client<'w> {
    let token = world.environment_of(SANDBOX).remove("GH_ENTERPRISE_TOKEN");
    let token = token.expect("a placeholder");
    assert!(token.starts_with("ghp_"), "{token}");
    let client = world.client("gh").env("GH_ENTERPRISE_TOKEN", token).env("GH_HOST", HOST);
    client.env("GH_PROMPT_DISABLED", "1").env("GH_NO_UPDATE_NOTIFIER", "1").args(args)
}

#[test]
fn gh_reads_and_writes_the_bound_repository() {
    let world = world();
    let list = ["api", "repos/acme/app/pulls", "--jq", ".[].title"];
    assert_eq!(gh(&world, &list).run().succeeded().stdout.trim(), "Amazing new feature");
    let issue = ["api", "repos/acme/app/issues", "-f", "title=The gate", "--jq", ".number"];
    assert_eq!(gh(&world, &issue).run().succeeded().stdout.trim(), "1348");
    let viewer = ["api", "graphql", "-f", "query=query { viewer { login } }"];
    assert!(gh(&world, &viewer).run().succeeded().stdout.contains("sally"));
    let pulls = ["pr", "list", "--repo", "acme/app", "--json", "number,title"];
    assert!(gh(&world, &pulls).run().succeeded().stdout.contains("1347"));
    let graphql = "/api/graphql";
    world.assert_saw("ghes", &[PULLS, "/api/v3/repos/acme/app/issues", graphql, graphql]);
    world.upstream("ghes").assert_always_authenticated();
    world.check_invariants();
}

#[test]
fn gh_is_refused_what_is_not_bound_and_shows_why() {
    let world = world();
    for refused in [
        &["api", "repos/acme/secret/pulls"][..],
        &["api", "repos/acme"],
        &["api", "orgs/acme/members"],
        &["api", "-X", "DELETE", "repos/acme/app"],
        &["api", "-X", "PUT", "repos/acme/app/collaborators/mallory"],
        &["api", "-X", "POST", "repos/acme/app/hooks"],
        &[
            "api",
            "graphql",
            "-f",
            "query=mutation { deleteIssue(input: {issueId: 1}) { clientMutationId } }",
        ],
    ] {
        let outcome = gh(&world, refused).run();
        assert!(!outcome.success, "{refused:?} was allowed: {outcome}");
        outcome.shows_denial("no_route");
    }
    assert!(world.upstream("ghes").seen().is_empty(), "something was sent");
    world.audit_line("the denial", |line| is_denial(line, HOST, "no_route"));
    world.check_invariants();
}
