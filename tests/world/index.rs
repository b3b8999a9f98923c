//! A `PyPI` "simple" index and an npm registry for the files of one directory.
//!
//! `tests/clients/make_packages.py` makes the files and `packages.json`, which says for each of
//! them the project, the version and the digests that pip and npm check.

use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use std::path::Path;

use super::body::{Answer, json, whole};
use super::upstream::State;

pub(crate) fn answer<B>(request: &Request<B>, state: &State, root: &Path) -> Answer {
    let path = request.uri().path();
    if let Some(file) = path.strip_prefix("/files/") {
        let name = Path::new(file).file_name().unwrap_or_default();
        return match std::fs::read(root.join(name)) {
            Ok(bytes) => whole(StatusCode::OK, "application/octet-stream", bytes),
            Err(_) => missing(),
        };
    }
    let packages = std::fs::read(root.join("packages.json")).expect("the packages were made");
    let packages: Value = serde_json::from_slice(&packages).expect("packages.json is JSON");
    let found = if let Some(project) = path.strip_prefix("/simple/") {
        simple(&packages["wheel"], project.trim_end_matches('/'), &state.host)
    } else {
        packument(&packages["tarball"], path.trim_start_matches('/'), &state.host)
    };
    found.unwrap_or_else(missing)
}

fn missing() -> Answer {
    json(StatusCode::NOT_FOUND, &json!({ "error": "not found" }))
}

/// PEP 503.
fn simple(wheel: &Value, project: &str, host: &str) -> Option<Answer> {
    let (file, sha256) = (wheel["file"].as_str()?, wheel["sha256"].as_str()?);
    (wheel["name"] == project).then(|| {
        let page = format!(
            "<!DOCTYPE html><html><body>\n\
             <a href=\"https://{host}/files/{file}#sha256={sha256}\">{file}</a>\n</body></html>\n"
        );
        whole(StatusCode::OK, "text/html", page)
    })
}

fn packument(tarball: &Value, project: &str, host: &str) -> Option<Answer> {
    let (file, version) = (tarball["file"].as_str()?, tarball["version"].as_str()?);
    (tarball["name"] == project).then(|| {
        let dist = json!({
            "tarball": format!("https://{host}/files/{file}"), "integrity": tarball["integrity"],
        });
        let release = json!({ "name": project, "version": version, "dist": dist });
        json(
            StatusCode::OK,
            &json!({
                "name": project, "dist-tags": { "latest": version },
                "versions": { version: release },
            }),
        )
    })
}
