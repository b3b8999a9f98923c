//! A repository behind the APIs of GitHub, GitLab and Gitea, as they are documented: trees, files
//! with their hashes, and commits that are refused when the file is another one by now.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a server that cannot be started fails the test"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::secure::{self, Secure};

pub(crate) const TOKEN: &str = "token-of-the-pages";
/// A branch that means something else when it is not escaped.
pub(crate) const BRANCH: &str = "trunk/1?x";
const DOCS: &str = "d0c5d0c5d0c5d0c5d0c5d0c5d0c5d0c5d0c5d0c5";

/// What the repository has, and how its server behaves.
#[derive(Default)]
pub(crate) struct Repository {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// By path: the commit that changed it last.
    commits: BTreeMap<String, usize>,
    pub(crate) messages: Vec<String>,
    /// Written by somebody else just before the next write.
    pub(crate) meanwhile: Option<(String, Vec<u8>)>,
    /// Answers with this status instead.
    pub(crate) away: Option<StatusCode>,
    /// Says that content has this hash.
    pub(crate) lie: Option<&'static str>,
    /// What the account has, by its full name.
    pub(crate) names: Vec<String>,
    /// Lists lead to another host.
    pub(crate) leads_away: bool,
    /// How many requests came.
    pub(crate) asked: usize,
}

type Shared = Arc<Mutex<Repository>>;

pub(crate) struct Server {
    pub(crate) repository: Shared,
    pub(crate) url: String,
    pub(crate) ca_pem: String,
}

pub(crate) async fn start() -> Server {
    let repository = Shared::default();
    let contents = |base: &str| {
        Router::new()
            .route(&format!("{base}/repos/octo/app"), get(described))
            .route(&format!("{base}/repos/octo/app/git/trees/{{tree}}"), get(tree))
            .route(
                &format!("{base}/repos/octo/app/contents/{{*path}}"),
                get(read).put(put).post(post),
            )
    };
    let files = "/api/v4/projects/{project}/repository/files/{path}";
    let router = Router::new()
        .route("/api/v3/user/repos", get(github_repositories))
        .route("/api/v1/user/repos", get(gitea_repositories))
        .route("/api/v4/projects", get(gitlab_projects))
        .merge(contents("/api/v3"))
        .merge(contents("/api/v1"))
        .route("/api/v4/projects/{project}", get(project))
        .route("/api/v4/projects/{project}/repository/tree", get(gitlab_tree))
        .route(files, get(gitlab_read).put(gitlab_put).post(gitlab_post))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&repository), admit))
        .with_state(Arc::clone(&repository));
    let Secure { url, ca_pem } = secure::serve(router).await;
    Server { repository, url, ca_pem }
}

impl Server {
    pub(crate) fn repository(&self) -> MutexGuard<'_, Repository> {
        self.repository.lock().expect("nobody panicked")
    }
}

impl Repository {
    pub(crate) fn write(&mut self, path: &str, content: &[u8]) {
        self.files.insert(path.to_owned(), content.to_vec());
        let next = self.commits.values().max().map_or(1, |last| last + 1);
        self.commits.insert(path.to_owned(), next);
    }

    fn commit(&self, path: &str) -> String {
        format!("{:040x}", self.commits.get(path).copied().unwrap_or(0))
    }

    fn hash(&self, path: &str) -> String {
        self.lie.map_or_else(|| hash(&self.files[path]), str::to_owned)
    }

    fn commit_of(&mut self, path: &str, body: &Value) -> Option<()> {
        if let Some((path, content)) = self.meanwhile.take() {
            self.write(&path, &content);
        }
        let content = STANDARD.decode(body["content"].as_str()?).ok()?;
        let message = body["message"].as_str().or(body["commit_message"].as_str())?.to_owned();
        (body["branch"] == BRANCH).then_some(())?;
        let fits = match (self.files.get(path), &body["sha"], &body["last_commit_id"]) {
            (None, Value::Null, Value::Null) => true,
            (Some(now), Value::String(sha), Value::Null) => *sha == hash(now),
            (Some(_), Value::Null, Value::String(commit)) => *commit == self.commit(path),
            _ => false,
        };
        fits.then_some(())?;
        self.write(path, &content);
        self.messages.push(message);
        Some(())
    }
}

pub(crate) fn hash(content: &[u8]) -> String {
    let whole = [format!("blob {}\0", content.len()).as_bytes(), content].concat();
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &whole);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn admit(
    State(shared): State<Shared>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    {
        let mut repository = shared.lock().expect("nobody panicked");
        repository.asked += 1;
        if let Some(status) = repository.away {
            let headers = [(header::RETRY_AFTER, "7"), (header::LOCATION, "https://evil.test/")];
            return (status, headers, "away").into_response();
        }
    }
    let (name, expected) = match request.uri().path() {
        path if path.starts_with("/api/v3") => ("authorization", format!("Bearer {TOKEN}")),
        path if path.starts_with("/api/v1") => ("authorization", format!("token {TOKEN}")),
        _ => ("private-token", TOKEN.to_owned()),
    };
    if request.headers().get(name).is_none_or(|given| given != expected.as_str()) {
        return (StatusCode::UNAUTHORIZED, "{}").into_response();
    }
    next.run(request).await
}

fn mode(path: &str) -> &'static str {
    if path.contains("link") { "120000" } else { "100644" }
}

async fn described() -> Json<Value> {
    Json(json!({ "full_name": "octo/app", "default_branch": BRANCH }))
}

async fn tree(
    State(shared): State<Shared>,
    Path(tree): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let repository = shared.lock().expect("nobody panicked");
    let node = |path: &str, kind: &str, sha: String| json!({ "path": path, "mode": mode(path), "type": kind, "sha": sha });
    let mut nodes: Vec<Value> = Vec::new();
    for path in repository.files.keys() {
        match (tree == BRANCH, path.strip_prefix("docs/")) {
            (true, None) => nodes.push(node(path, "blob", repository.hash(path))),
            (false, Some(below)) if query.contains_key("recursive") => {
                nodes.push(node(below, "blob", repository.hash(path)));
            }
            _ => {}
        }
    }
    if tree == BRANCH {
        nodes.push(node("docs", "tree", DOCS.to_owned()));
    } else if tree != DOCS {
        return StatusCode::NOT_FOUND.into_response();
    }
    Json(json!({ "sha": DOCS, "tree": nodes, "truncated": false })).into_response()
}

async fn read(
    State(shared): State<Shared>,
    Path(path): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let repository = shared.lock().expect("nobody panicked");
    let Some(content) = repository.files.get(&path).filter(|_| query["ref"] == BRANCH) else {
        return (StatusCode::NOT_FOUND, Json(json!({ "message": "Not Found" }))).into_response();
    };
    // GitHub breaks the lines.
    let encoded = STANDARD.encode(content);
    let lines: Vec<_> = encoded.as_bytes().chunks(60).map(String::from_utf8_lossy).collect();
    let mut file = json!({
        "type": "file", "path": path, "sha": repository.hash(&path), "size": content.len(),
        "encoding": "base64", "content": lines.join("\n"),
    });
    if content.len() > 1_000_000 {
        (file["content"], file["encoding"]) = (json!(""), json!("none"));
    }
    Json(file).into_response()
}

fn written(shared: &Shared, path: &str, body: &Value, refusal: StatusCode) -> Response {
    let mut repository = shared.lock().expect("nobody panicked");
    let was_there = repository.files.contains_key(path);
    if repository.commit_of(path, body).is_none() {
        return (refusal, Json(json!({ "message": "does not match" }))).into_response();
    }
    let status = if was_there { StatusCode::OK } else { StatusCode::CREATED };
    let content = json!({ "path": path, "sha": hash(&repository.files[path]) });
    (status, Json(json!({ "content": content, "commit": {} }))).into_response()
}

async fn put(
    State(shared): State<Shared>,
    Path(path): Path<String>,
    uri: axum::http::Uri,
    Json(body): Json<Value>,
) -> Response {
    let is_gitea = uri.path().starts_with("/api/v1");
    if is_gitea && body["sha"].is_null() {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    let refusal = if is_gitea || body["sha"].is_null() { 422 } else { 409 };
    let refusal = StatusCode::from_u16(refusal).expect("a status");
    written(&shared, &path, &body, refusal)
}

async fn post(
    State(shared): State<Shared>,
    Path(path): Path<String>,
    uri: axum::http::Uri,
    Json(body): Json<Value>,
) -> Response {
    if !uri.path().starts_with("/api/v1") {
        return StatusCode::NOT_FOUND.into_response();
    }
    written(&shared, &path, &body, StatusCode::UNPROCESSABLE_ENTITY)
}

/// Two at a time, from `page` on; whether there are more.
fn piece(names: &[String], query: &BTreeMap<String, String>) -> (Vec<String>, usize, bool) {
    let page: usize = query.get("page").map_or(1, |page| page.parse().expect("a number"));
    let some = names.iter().skip((page - 1) * 2).take(2).cloned().collect();
    (some, page, names.len() > page * 2)
}

fn linked(
    shared: &Shared,
    (query, headers): (&BTreeMap<String, String>, &HeaderMap),
    (path, field): (&str, &str),
) -> Response {
    let repository = shared.lock().expect("nobody panicked");
    assert!(query.contains_key("per_page"), "{query:?}");
    let (some, page, more) = piece(&repository.names, query);
    let items: Vec<Value> = some.iter().map(|name| json!({ "id": 7, field: name })).collect();
    let mut response = Json(items).into_response();
    if more {
        let host = headers[header::HOST].to_str().expect("a host");
        let host = if repository.leads_away { "evil.test" } else { host };
        let link = format!("<https://{host}{path}?per_page=2&page={}>; rel=\"next\"", page + 1);
        response.headers_mut().insert(header::LINK, link.parse().expect("a header"));
    }
    response
}

async fn github_repositories(
    State(shared): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    linked(&shared, (&query, &headers), ("/api/v3/user/repos", "full_name"))
}

async fn gitlab_projects(
    State(shared): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    linked(&shared, (&query, &headers), ("/api/v4/projects", "path_with_namespace"))
}

async fn gitea_repositories(
    State(shared): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Json<Value> {
    let repository = shared.lock().expect("nobody panicked");
    let (some, ..) = piece(&repository.names, &query);
    Json(some.iter().map(|name| json!({ "id": 7, "full_name": name })).collect())
}

async fn project(Path(project): Path<String>) -> Response {
    if project != "octo/app" {
        return StatusCode::NOT_FOUND.into_response();
    }
    Json(json!({ "path_with_namespace": project, "default_branch": BRANCH })).into_response()
}

/// Two at a time, and where the next ones are.
async fn gitlab_tree(
    State(shared): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    uri: axum::http::Uri,
) -> Response {
    let repository = shared.lock().expect("nobody panicked");
    if query["ref"] != BRANCH {
        return StatusCode::NOT_FOUND.into_response();
    }
    let below = query.get("path").map(|path| format!("{path}/"));
    let fits = |path: &&String| match &below {
        Some(below) => path.starts_with(below.as_str()),
        None => !path.contains('/'),
    };
    let node = |path: &String| {
        let id = repository.hash(path);
        json!({ "id": id, "name": path, "type": "blob", "path": path, "mode": mode(path) })
    };
    let all: Vec<Value> = repository.files.keys().filter(fits).map(node).collect();
    let page: usize = query.get("page").map_or(1, |page| page.parse().expect("a number"));
    let some: Vec<_> = all.iter().skip((page - 1) * 2).take(2).cloned().collect();
    let mut response = Json(some).into_response();
    if all.len() > page * 2 {
        let host = headers[header::HOST].to_str().expect("a host");
        let query = uri.query().unwrap_or_default().split("&page=").next().unwrap_or_default();
        let next = format!("https://{host}{}?{query}&page={}", uri.path(), page + 1);
        let link = format!("<{next}>; rel=\"next\", <https://{host}/first>; rel=\"first\"");
        response.headers_mut().insert(header::LINK, link.parse().expect("a header"));
    }
    response
}

async fn gitlab_read(
    State(shared): State<Shared>,
    Path((_, path)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let repository = shared.lock().expect("nobody panicked");
    let Some(content) = repository.files.get(&path).filter(|_| query["ref"] == BRANCH) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (blob, commit) = (repository.hash(&path), repository.commit(&path));
    Json(json!({
        "file_path": path, "size": content.len(), "encoding": "base64",
        "content": STANDARD.encode(content), "blob_id": blob, "last_commit_id": commit,
    }))
    .into_response()
}

fn gitlab_written(shared: &Shared, path: &str, body: &Value) -> Response {
    if body["encoding"] != "base64" {
        return StatusCode::BAD_REQUEST.into_response();
    }
    match shared.lock().expect("nobody panicked").commit_of(path, body) {
        Some(()) => Json(json!({ "file_path": path, "branch": BRANCH })).into_response(),
        None => (StatusCode::BAD_REQUEST, Json(json!({ "message": "changed" }))).into_response(),
    }
}

async fn gitlab_put(
    State(shared): State<Shared>,
    Path((_, path)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    if !shared.lock().expect("nobody panicked").files.contains_key(&path) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    gitlab_written(&shared, &path, &body)
}

async fn gitlab_post(
    State(shared): State<Shared>,
    Path((_, path)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    gitlab_written(&shared, &path, &body)
}
