//! What everybody may read: it is there without a token, agrees with itself, and holds no secret.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails where what it relies on is not there"
)]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
mod world;

use std::collections::BTreeSet;

use sallygate_control::api::SURFACES;
use sallygate_control::store::schema_version;
use scene::{Answer, Api, OPERATOR};
use serde_json::Value;
use world::World;

on_both_databases!(
    everybody_reads_and_nobody_changes,
    the_documents_agree,
    nothing_secret_is_told,
    pages_load_nothing_from_elsewhere,
    the_page_shows_every_operation,
);

async fn read(api: &Api, path: &str) -> Answer {
    api.ask("GET", path).without("authorization").send().await.expect(200)
}

async fn everybody_reads_and_nobody_changes(world: World) {
    let api = Api::new(world).await;
    for surface in SURFACES {
        read(&api, surface).await;
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let answer = api.ask(method, surface).send().await;
            answer.refused(405, "method_not_allowed");
        }
    }
}

async fn the_documents_agree(world: World) {
    let api = Api::new(world).await;
    let version = read(&api, "/versionz").await.body;
    let manifest = read(&api, "/fabric-manifest.json").await.body;
    let presence = read(&api, "/fabric-presencez").await.body;
    let compatibility = read(&api, "/fabric-compatibilityz").await.body;
    let contracts = read(&api, "/contractz").await.body;
    for document in [&manifest, &presence, &compatibility, &contracts] {
        assert_eq!(document["schemaVersion"], 1, "{document}");
        assert_eq!(document["service"], version["name"], "{document}");
        assert_eq!(document["version"], version["version"], "{document}");
    }
    assert_eq!(compatibility["versions"]["database"], version["database"]);
    assert_eq!(compatibility["versions"]["storeSchema"], schema_version());
    let proxies = compatibility["compatible"]["proxy"].as_str().expect("a range");
    assert!(proxies.starts_with(">=") && proxies.contains('<'), "{proxies}");
    assert_eq!(presence["aliveSince"], presence["at"]);
    api.pass_time(60_000);
    let later = read(&api, "/fabric-presencez").await.body;
    assert_eq!(later["aliveSince"], presence["aliveSince"]);
    assert_ne!(later["at"], presence["at"]);
    assert_eq!(later["instance"], presence["instance"]);
    assert!(later["instance"].as_str().is_some_and(|id| id.starts_with("ins_")));
    every_surface_of_the_manifest_has_its_contract(&manifest, &contracts);
}

fn every_surface_of_the_manifest_has_its_contract(manifest: &Value, contracts: &Value) {
    let entries = contracts["entries"].as_array().expect("entries");
    let surfaces = manifest["surfaces"].as_array().expect("surfaces");
    assert!(surfaces.len() > SURFACES.len(), "{manifest}");
    for surface in surfaces {
        let entry = entries.iter().find(|entry| entry["id"] == surface["contract"]);
        assert_eq!(entry.expect("an entry")["surface"], surface["path"]);
        assert!(manifest["owners"].as_array().expect("owners").contains(&surface["owner"]));
    }
    let told: BTreeSet<&str> = surfaces.iter().filter_map(|s| s["path"].as_str()).collect();
    let discovery = manifest["discovery"].as_array().expect("discovery");
    assert_eq!(discovery.len(), SURFACES.len());
    assert!(SURFACES.iter().all(|surface| told.contains(surface)), "{told:?}");
}

async fn nothing_secret_is_told(world: World) {
    let api = Api::new(world).await;
    api.echo_target("echo").await;
    api.connect("echo", "hunter2-of-the-connection").await;
    let token = api.token("member").await;
    for surface in SURFACES {
        let text = read(&api, surface).await.text;
        for secret in [OPERATOR, "hunter2-of-the-connection", token.as_str()] {
            assert!(!text.contains(secret), "{surface}");
        }
    }
}

/// As much of a browser as the page needs.
const BROWSER: &str = r#"
const element = (name) => ({
  name, children: [], textContent: "",
  append(child) { this.children.push(child); },
  replaceChildren() { this.children = []; },
});
const main = element("main");
globalThis.document = { createElement: element, getElementById: (id) => id === "operations" ? main : null };
const api = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
globalThis.fetch = async (url) => ({ json: async () => url === "/openapi.json" ? api : null });
require("vm").runInThisContext(require("fs").readFileSync(process.argv[2], "utf8"));
setImmediate(() => {
  const text = (of) => of.textContent + of.children.map(text).join(" ");
  for (const details of main.children) console.log(details.name, text(details.children[0]));
});
"#;

/// The script of the page runs, and shows every operation.
async fn the_page_shows_every_operation(world: World) {
    let api = Api::new(world).await;
    let place = tempfile::tempdir().expect("a directory");
    let (document, script) = (place.path().join("openapi.json"), place.path().join("page.js"));
    let served = read(&api, "/openapi.json").await;
    std::fs::write(&document, &served.text).expect("a file");
    std::fs::write(&script, read(&api, "/docs/page.js").await.text).expect("a file");
    let shown = std::process::Command::new("node")
        .args(["-e", BROWSER])
        .arg(&document)
        .arg(&script)
        .output()
        .expect("node runs");
    let (said, wrong) =
        (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    assert!(shown.status.success(), "{wrong}");
    let paths = served.body["paths"].as_object().expect("paths");
    let mut operations = 0;
    for (path, item) in paths {
        for method in item.as_object().expect("methods").keys() {
            operations += 1;
            let line = format!("details {} {path} ", method.to_uppercase());
            let found = said.lines().any(|l| {
                l.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(line.trim())
            });
            assert!(found, "{line} is not in {said}");
        }
    }
    assert_eq!(said.lines().count(), operations);
    assert!(said.contains("deprecated"), "{said}");
}

async fn pages_load_nothing_from_elsewhere(world: World) {
    let api = Api::new(world).await;
    for page in ["/docs", "/redoc"] {
        let answer = read(&api, page).await;
        let policy = answer.headers["content-security-policy"].to_str().expect("a policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!answer.text.contains("http://") && !answer.text.contains("https://"), "{page}");
        let sources = answer.text.split("src=\"").chain(answer.text.split("href=\"")).skip(1);
        let paths: Vec<&str> = sources.filter_map(|rest| rest.split('"').next()).collect();
        for path in paths.iter().filter(|path| path.starts_with("/docs/")) {
            read(&api, path).await;
        }
        assert!(paths.iter().any(|path| path.ends_with(".js")), "{paths:?}");
    }
}
