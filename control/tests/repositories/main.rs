//! What is done with repositories over the API, on both databases, at a server that answers as GitHub,
//! GitLab and Gitea document it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where what it relies on is not there"
)]

mod pages;
mod resources;
#[expect(dead_code, reason = "every test file uses its part of the scene")]
#[path = "../scene/mod.rs"]
mod scene;
#[path = "../secure/mod.rs"]
mod secure;
mod server;
#[path = "../world/mod.rs"]
mod world;

use scene::{Answer, Api, Ask};
use serde_json::{Value, json};
use server::{Server, TOKEN};
use world::World;

const README: &[u8] = b"# App\n";
const PROVIDERS: [&str; 3] = ["github", "gitea", "gitlab"];

struct Scene {
    api: Api,
    server: Server,
    organisation: String,
}

impl Scene {
    async fn new(world: World) -> Self {
        let (api, server) = (Api::new(world).await, server::start().await);
        let organisations = api.get("/v1/organisations").await.expect(200).body;
        let organisation = organisations["items"][0]["id"].as_str().unwrap().to_owned();
        let scene = Self { api, server, organisation };
        scene.fill();
        scene
    }

    /// Files that are pages, and files that are none.
    fn fill(&self) {
        let mut repository = self.server.repository();
        repository.files.clear();
        for path in ["docs/a b.md", "docs/deep/c.md", "docs/logo.png", "docs/link.md", "main.rs"] {
            repository.write(path, path.as_bytes());
        }
        repository.write("README.md", README);
    }

    fn target(&self, provider: &str) -> Value {
        let url = &self.server.url;
        let (definition, config) = match provider {
            "github" => (
                "github::github-enterprise-server",
                json!({ "apiBaseUrl": format!("{url}/api/v3"), "webBaseUrl": url }),
            ),
            "gitea" => ("gitea::gitea-default", json!({ "baseUrl": url })),
            _ => ("gitlab::gitlab-default", json!({ "baseUrl": url })),
        };
        let upstream =
            json!({ "caPem": self.server.ca_pem, "allowRanges": ["127.0.0.0/8", "::1/128"] });
        json!({
            "definition": definition, "displayName": provider, "config": config,
            "options": { "upstream": upstream },
        })
    }

    /// A connection to the provider; its id.
    async fn connect(&self, provider: &str) -> String {
        let path = format!("/v1/integration/targets/{provider}");
        self.api.put(&path, self.target(provider)).await.expect(200);
        let body =
            json!({ "displayName": provider, "method": "token", "secrets": { "token": TOKEN } });
        let path = format!("/v1/integration/connections/{provider}/form");
        self.api.post(&path, body).await.expect(201).get("id")
    }

    /// Puts a profile in force that binds repositories by a connection.
    async fn bind(&self, provider: &str, connection: &str, (names, access): (&[&str], &str)) {
        let field = if provider == "gitlab" { "projects" } else { "repositories" };
        let config = json!({ field: names, "access": access });
        let binding = json!({ "id": "git", "connectionId": connection, "config": config });
        let name = json!({ "name": format!("{provider}-{access}-{}", names.join("-")) });
        let profile = self.api.post("/v1/sandbox/profiles", name).await.expect(201).get("id");
        let path = format!("/v1/sandbox/profiles/{profile}");
        let version = json!({ "bindings": [binding] });
        self.api.post(&format!("{path}/versions"), version).await.expect(201);
        self.api.post(&format!("{path}/publish"), json!({ "version": 1 })).await.expect(200);
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/projects/{}/planning/pages{rest}", self.organisation)
    }

    async fn get(&self, rest: &str) -> Answer {
        self.api.get(&self.path(rest)).await
    }

    fn put(&self, rest: &str, content: &str) -> Ask<'_> {
        self.api.ask("PUT", &self.path(rest)).json(json!({ "content": content }))
    }

    /// Writes over what has this hash.
    async fn over(&self, seen: &str, rest: &str, content: &str) -> Answer {
        self.put(rest, content).header("if-match", format!("\"{seen}\"")).send().await
    }

    async fn new_page(&self, rest: &str, content: &str) -> Answer {
        self.put(rest, content).header("if-none-match", "*").send().await
    }
}
