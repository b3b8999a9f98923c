//! Every code that the sources spell is explained, where the `type` of a problem leads too.
#![expect(clippy::expect_used, reason = "a test fails where what it relies on is not there")]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
#[expect(dead_code, reason = "only one of the databases is needed")]
mod world;

use std::collections::BTreeSet;
use std::path::Path;

use sallygate_control::codes::CODES;
use scene::Api;
use world::World;

/// The sources without their tests.
fn sources() -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a file");
                let own = text.split("#[cfg(test)]").next().unwrap_or_default();
                found.push(own.to_owned());
            }
        }
    }
    found
}

fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The first quoted text before the end of the statement, when it is a code.
fn first(rest: &str) -> Option<&str> {
    let statement = rest.split(';').next()?;
    let quoted = statement.split('"').nth(1)?;
    is_code(quoted).then_some(quoted)
}

fn spelled(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for call in ["conflict(", "Problem::new(", "::new(Fault::", "::new(\n            Fault::"] {
        found.extend(source.split(call).skip(1).filter_map(first).map(str::to_owned));
    }
    // In the functions that give a code, every text is one.
    for function in source.split("fn code(").skip(1) {
        let body = function.split("\n    }\n").next().unwrap_or_default();
        found.extend(body.split('"').skip(1).step_by(2).filter(|t| is_code(t)).map(str::to_owned));
    }
    found
}

#[test]
fn every_code_that_is_spelled_is_explained_and_no_other() {
    let spelled: BTreeSet<String> = sources().iter().flat_map(|source| spelled(source)).collect();
    assert!(spelled.len() > 80, "{spelled:?}");
    let explained: BTreeSet<String> = CODES.iter().map(|code| code.code.to_owned()).collect();
    let missing: Vec<_> = spelled.difference(&explained).collect();
    assert!(missing.is_empty(), "nobody explains {missing:?}");
    // Codes are spelled in other ways too, such as in a constant or a variable: but they are spelled.
    let all = sources().concat();
    let gone = explained.iter().filter(|code| all.matches(&format!("\"{code}\"")).count() < 2);
    let gone: Vec<_> = gone.collect();
    assert!(gone.is_empty(), "nobody answers {gone:?}");
    assert!(CODES.is_sorted_by_key(|code| code.code));
}

#[test]
fn a_code_that_is_spelled_is_found() {
    for (source, code) in [
        ("return Err(DomainError::conflict(\"a_b\", \"c d\"));", "a_b"),
        ("Problem::new(StatusCode::FORBIDDEN, \"a_b\", detail)", "a_b"),
        ("Self::new(Fault::Stale, \"a_b\", \"c\")", "a_b"),
        ("pub fn code(self) -> &str {\n match self {\n A => \"a_b\",\n }\n    }\n", "a_b"),
    ] {
        assert!(spelled(source).contains(code), "{source}");
    }
    assert!(spelled("let x = \"a_b\";").is_empty());
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_what_explains_it() {
    let api = Api::new(World::sqlite()).await;
    let problem = api.get("/v1/sandboxes/sbx_none").await;
    problem.refused(404, "not_found");
    let page =
        api.ask("GET", &problem.get("type")).without("authorization").send().await.expect(200);
    assert!(page.text.contains("<code>not_found</code>"), "{}", page.text);
    assert!(!page.text.contains("http"), "nothing is loaded from elsewhere");
    let policy = page.headers.get("content-security-policy").expect("a policy");
    assert!(policy.to_str().expect("text").contains("default-src 'none'"));
    let ask = api.ask("GET", &problem.get("type")).header("accept", "application/json");
    let told = ask.send().await.expect(200);
    assert_eq!(told.get("code"), "not_found");
    for none in ["nothing", "NOT_FOUND", "%3Cscript%3E", "a%2Fb"] {
        api.get(&format!("/docs/errors/{none}")).await.refused(404, "not_found");
    }
    for code in CODES {
        api.get(&format!("/docs/errors/{}", code.code)).await.expect(200);
    }
}
