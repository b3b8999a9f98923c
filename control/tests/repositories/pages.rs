//! The pages of a bound repository, listed, read and written.

use axum::http::StatusCode;
use serde_json::json;

use crate::on_both_databases;
use crate::server::{BRANCH, TOKEN, hash};
use crate::world::{self, World};
use crate::{PROVIDERS, README, Scene};

on_both_databases!(
    pages_are_listed_read_and_written_at_every_provider,
    nobody_writes_over_what_they_have_not_seen,
    only_pages_of_bound_repositories_are_there,
    a_provider_that_is_away_or_lies_is_not_believed,
    a_private_address_is_reached_only_where_the_target_allows_it,
);

async fn pages_are_listed_read_and_written_at_every_provider(world: World) {
    let scene = Scene::new(world).await;
    for provider in PROVIDERS {
        scene.fill();
        let connection = scene.connect(provider).await;
        scene.bind(provider, &connection, (&["octo/app"], "write")).await;
        let by = format!("connection={connection}");
        let listed = scene.get(&format!("?{by}")).await.expect(200).body;
        let item =
            |path: &str, content: &[u8]| json!({ "path": path, "contentHash": hash(content) });
        let expected = json!({
            "repository": "octo/app", "connectionId": connection, "branch": BRANCH,
            "items": [
                item("README.md", README),
                item("docs/a b.md", b"docs/a b.md"),
                item("docs/deep/c.md", b"docs/deep/c.md"),
            ],
            "truncated": false,
        });
        assert_eq!(listed, expected, "{provider}");
        let readme = scene.get(&format!("/README.md?{by}")).await.expect(200);
        assert_eq!(readme.body["content"], "# App\n");
        assert_eq!(readme.headers["etag"], format!("\"{}\"", hash(README)).as_str());
        let page = scene.get(&format!("/docs/a%20b.md?{by}")).await.expect(200);
        assert_eq!(page.body["content"], "docs/a b.md");
        scene.get(&format!("/docs/none.md?{by}")).await.refused(404, "not_found");
        // Over what is there, and where nothing is.
        let rest = format!("/README.md?{by}");
        let long = "ä\n".repeat(1000);
        let written = scene.over(&hash(README), &rest, &long).await.expect(200);
        assert_eq!(written.body["contentHash"], hash(long.as_bytes()), "{provider}");
        assert_eq!(scene.server.repository().files["README.md"], long.as_bytes());
        let rest = format!("/docs/new%3F/%C3%A4.md?{by}");
        scene.new_page(&rest, "new").await.refused(404, "not_a_page");
        let rest = format!("/docs/new/%C3%A4%25.md?{by}");
        let body = json!({ "content": "new", "message": "Say what is new" });
        let ask = scene.api.ask("PUT", &scene.path(&rest)).json(body);
        ask.header("if-none-match", "*").send().await.expect(200);
        assert_eq!(scene.server.repository().files["docs/new/ä%.md"], b"new");
        let messages = std::mem::take(&mut scene.server.repository().messages);
        assert_eq!(messages, ["Write README.md", "Say what is new"], "{provider}");
        // What is said again is not written again.
        let same = scene.put(&rest, "new").header("if-match", "*").send().await.expect(200);
        assert_eq!(same.body["contentHash"], hash(b"new"));
        assert!(scene.server.repository().messages.is_empty());
    }
    let audit = scene.api.get("/v1/audit?limit=200").await.expect(200);
    assert_eq!(audit.text.matches("\"page.write\"").count(), 2 * PROVIDERS.len(), "{}", audit.text);
    assert!(!audit.text.contains(TOKEN));
}

async fn nobody_writes_over_what_they_have_not_seen(world: World) {
    let scene = Scene::new(world).await;
    for provider in PROVIDERS {
        scene.fill();
        let connection = scene.connect(provider).await;
        scene.bind(provider, &connection, (&["octo/app"], "write")).await;
        let rest = format!("/README.md?connection={connection}");
        scene.put(&rest, "x").send().await.refused(428, "precondition_required");
        for stale in [hash(b"other"), "3".to_owned(), String::new()] {
            scene.over(&stale, &rest, "x").await.refused(412, "stale");
        }
        scene.new_page(&rest, "x").await.refused(412, "stale");
        let none = format!("/docs/none.md?connection={connection}");
        scene.over(&hash(README), &none, "x").await.refused(412, "stale");
        scene.put(&none, "x").header("if-match", "*").send().await.refused(412, "stale");
        assert_eq!(scene.server.repository().files["README.md"], README);
        // Somebody else is faster than we are, after we looked.
        for (rest, path) in [(&rest, "README.md"), (&none, "docs/none.md")] {
            let theirs = format!("theirs at {path}");
            scene.server.repository().meanwhile = Some((path.to_owned(), theirs.clone().into()));
            let ours = match path {
                "README.md" => scene.over(&hash(README), rest, "ours").await,
                _ => scene.new_page(rest, "ours").await,
            };
            ours.refused(409, "page_conflict");
            assert_eq!(scene.server.repository().files[path], theirs.as_bytes(), "{provider}");
        }
    }
    let audit = scene.api.get("/v1/audit?limit=200").await.expect(200);
    let refused = audit.text.matches("\"page.write_refused\"").count();
    assert_eq!(refused, 2 * PROVIDERS.len());
}

async fn only_pages_of_bound_repositories_are_there(world: World) {
    let scene = Scene::new(world).await;
    scene.get("").await.refused(404, "not_found");
    let github = scene.connect("github").await;
    scene.bind("github", &github, (&["octo/app"], "read")).await;
    scene.get("").await.expect(200);
    scene.over(&hash(README), "/README.md", "x").await.refused(403, "repository_read_only");
    scene.get("/README.md?repository=octo%2Fother").await.refused(404, "not_found");
    scene.get("/README.md?connection=icn_none").await.refused(404, "not_found");
    scene.get("/README.md?branch=x").await.refused(400, "bad_request");
    let gitea = scene.connect("gitea").await;
    scene.bind("gitea", &gitea, (&["octo/app", "octo/second"], "write")).await;
    let ambiguous = scene.get("?repository=octo%2Fapp").await;
    ambiguous.refused(409, "repository_ambiguous");
    assert!(ambiguous.text.contains(&github) && ambiguous.text.contains(&gitea));
    scene.get("?repository=octo%2Fsecond").await.refused(404, "not_found");
    let app = format!("repository=octo%2Fapp&connection={gitea}");
    scene.get(&format!("?{app}")).await.expect(200);
    let before = scene.server.repository().asked;
    for path in [
        "main.rs",
        "docs/logo.png",
        "docs",
        "docs/..%2Fmain.rs",
        "docs/..%2F..%2Fa.md",
        "docs/%2e%2e/a.md",
        "..%2Fdocs/a.md",
        ".github/a.md",
        "docs/.git/a.md",
        "docs/a%5Cb.md",
        "docs//a.md",
        "%2FREADME.md",
        "README.md/",
    ] {
        let rest = format!("/{path}?{app}");
        scene.get(&rest).await.refused(404, "not_a_page");
        scene.new_page(&rest, "x").await.refused(404, "not_a_page");
    }
    scene.get("/docs/a%00.md").await.refused(404, "not_found");
    let large = "x".repeat(600 << 10);
    scene.new_page(&format!("/docs/l.md?{app}"), &large).await.refused(422, "page_too_large");
    assert_eq!(scene.server.repository().asked, before, "nothing of this was asked for");
    // Others see nothing of it, whatever they may do where they are.
    // The organisation that an operator means without a word is the one that was first.
    scene.api.pass_time(1);
    let other = scene.api.post("/v1/organisations", json!({ "name": "Other" })).await;
    let (other, path) = (other.expect(201).get("id"), scene.path(&format!("/README.md?{app}")));
    let ask = scene.api.ask("POST", "/v1/api-tokens").header("sallygate-organisation", &other);
    let body = json!({ "name": "m", "role": "member" });
    let token = ask.json(body).send().await.expect(201).get("token");
    scene.api.ask("GET", &path).bearer(&token).send().await.refused(404, "not_found");
    let theirs = path.replace(&scene.organisation, &other);
    scene.api.ask("GET", &theirs).bearer(&token).send().await.refused(404, "not_found");
    scene.api.ask("GET", &theirs).send().await.refused(404, "not_found");
    scene.api.ask("GET", &path).without("authorization").send().await.refused(401, "unauthorized");
    let reader = scene.api.token("read_only").await;
    scene.api.ask("GET", &path).bearer(&reader).send().await.expect(200);
    let write = scene.api.ask("PUT", &path).bearer(&reader).json(json!({ "content": "x" }));
    write.header("if-match", "*").send().await.refused(403, "insufficient_role");
    let revoke = format!("/v1/integration/connections/{gitea}/revoke");
    scene.api.post(&revoke, json!({})).await.expect(200);
    scene.api.get(&path).await.refused(409, "connection_not_active");
    scene.api.post("/v1/integration/targets/github/disable", json!({})).await.expect(200);
    scene.get(&format!("?connection={github}")).await.refused(409, "target_disabled");
}

async fn a_provider_that_is_away_or_lies_is_not_believed(world: World) {
    let scene = Scene::new(world).await;
    for provider in PROVIDERS {
        scene.fill();
        let connection = scene.connect(provider).await;
        scene.bind(provider, &connection, (&["octo/app"], "write")).await;
        let readme = format!("/README.md?connection={connection}");
        for (status, code, answered) in [
            (502, "provider_unavailable", 503),
            (429, "provider_unavailable", 503),
            (401, "provider_refused", 409),
            (301, "provider_malformed", 409),
            (404, "not_found", 404),
        ] {
            scene.server.repository().away = Some(StatusCode::from_u16(status).unwrap());
            let answer = scene.get(&readme).await;
            answer.refused(answered, code);
            if answered == 503 {
                assert_eq!(answer.headers["retry-after"], "7");
            }
        }
        scene.server.repository().away = None;
        for lie in ["ce013625030ba8dba906f756967f9e9ca394464a", "main", ""] {
            scene.server.repository().lie = Some(lie);
            scene.get(&readme).await.refused(409, "provider_malformed");
        }
        scene.server.repository().lie = None;
        let page = format!("/docs/page.md?connection={connection}");
        let cases: [(&[u8], &str); 3] = [
            (b"\xff\xfe", "page_not_text"),
            (b"a\0b", "page_not_text"),
            (&[b'x'; 1_500_000], "page_too_large"),
        ];
        for (content, code) in cases {
            scene.server.repository().write("docs/page.md", content);
            scene.get(&page).await.refused(409, code);
        }
    }
}

async fn a_private_address_is_reached_only_where_the_target_allows_it(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("gitea").await;
    scene.bind("gitea", &connection, (&["octo/app"], "read")).await;
    scene.get("").await.expect(200);
    let before = scene.server.repository().asked;
    let mut target = scene.target("gitea");
    target["options"]["upstream"]["allowRanges"] = json!([]);
    scene.api.put("/v1/integration/targets/gitea", target).await.expect(200);
    scene.get("").await.refused(409, "provider_not_asked");
    let mut target = scene.target("gitea");
    target["options"]["upstream"].as_object_mut().unwrap().remove("caPem");
    scene.api.put("/v1/integration/targets/gitea", target).await.expect(200);
    scene.get("").await.refused(503, "provider_unavailable");
    assert_eq!(scene.server.repository().asked, before);
}
