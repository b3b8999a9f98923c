//! Programs that work for the sandbox's user: what several bindings say about one client is put
//! together, as long as they agree.

use std::collections::BTreeMap;

use super::{Contribution, Speaker, environment};
use crate::diagnostic::Diagnostics;
use crate::plan::{
    Readiness, RuntimeClient, RuntimeEndpoint, RuntimeFile, RuntimeProcess, StopPolicy,
};

const CODE: &str = "RUNTIME_CLIENT_SETUP_CONFLICT";
const FIELD: &str = "runtimeClients";
const DAY_MS: u32 = 86_400_000;

pub(super) fn merge(contributions: &[Contribution], found: &mut Diagnostics) -> Vec<RuntimeClient> {
    let mut merged: BTreeMap<&str, Merging<'_>> = BTreeMap::new();
    for Contribution { binding_id, runtime_clients, .. } in contributions {
        let speaker = Speaker { binding: binding_id, code: CODE };
        for client in runtime_clients {
            if client.client_id.trim().is_empty() {
                found.push(speaker.conflict(FIELD, "a runtime client has no id".to_owned()));
            }
            environment::check(&client.env, FIELD, speaker, found);
            client.files.iter().for_each(|file| check_file(file, speaker, found));
            client.processes.iter().for_each(|process| check_process(process, speaker, found));
            merged.entry(&client.client_id).or_default().add(client, speaker, found);
        }
    }
    let clients = merged.into_iter().map(|(id, merging)| merging.finish(id, found));
    clients.collect()
}

/// Each part with the binding that brought it first.
#[derive(Default)]
struct Merging<'c> {
    env: BTreeMap<&'c str, (&'c str, &'c str)>,
    files: BTreeMap<&'c str, (&'c str, &'c RuntimeFile)>,
    paths: BTreeMap<&'c str, (&'c str, &'c RuntimeFile)>,
    processes: BTreeMap<&'c str, (&'c str, &'c RuntimeProcess)>,
    endpoints: BTreeMap<&'c str, (&'c str, &'c RuntimeEndpoint)>,
}

impl<'c> Merging<'c> {
    fn add(&mut self, client: &'c RuntimeClient, speaker: Speaker<'c>, found: &mut Diagnostics) {
        let id = &client.client_id;
        let mut insert = |same: Option<&str>, what: &str, key: &str| {
            if let Some(first) = same {
                let what = format!("{what} `{key}` of client `{id}`");
                found.push(speaker.differs(FIELD, &what, first));
            }
        };
        let binding = speaker.binding;
        for (key, value) in &client.env {
            insert(other(&mut self.env, key, (binding, value.as_str())), "variable", key);
        }
        for file in &client.files {
            let (id, path) = (&file.file_id, &file.path);
            insert(other(&mut self.files, id, (binding, file)), "file", id);
            insert(other(&mut self.paths, path, (binding, file)), "path", path);
        }
        for process in &client.processes {
            let key = &process.process_key;
            insert(other(&mut self.processes, key, (binding, process)), "process", key);
        }
        for endpoint in &client.endpoints {
            let key = &endpoint.endpoint_key;
            insert(other(&mut self.endpoints, key, (binding, endpoint)), "endpoint", key);
        }
    }

    fn finish(self, id: &str, found: &mut Diagnostics) -> RuntimeClient {
        for (binding, endpoint) in self.endpoints.values() {
            let speaker = Speaker { binding, code: CODE };
            let key = &endpoint.endpoint_key;
            if key.trim().is_empty() {
                found.push(speaker.conflict(FIELD, "an endpoint has no key".to_owned()));
            }
            if !self.processes.contains_key(endpoint.process_key.as_str()) {
                let process = &endpoint.process_key;
                let message =
                    format!("endpoint `{key}` is of a process `{process}` that there is not");
                found.push(speaker.conflict(FIELD, message));
            }
            if !is_url(&endpoint.url, &["ws", "wss"]) {
                let message = format!("endpoint `{key}` has a URL that is not `ws` or `wss`");
                found.push(speaker.conflict(FIELD, message));
            }
        }
        let env = self.env.into_iter().map(|(key, (_, value))| (key.to_owned(), value.to_owned()));
        RuntimeClient {
            client_id: id.to_owned(),
            env: env.collect(),
            files: parts(self.files),
            processes: parts(self.processes),
            endpoints: parts(self.endpoints),
        }
    }
}

fn parts<T: Clone>(parts: BTreeMap<&str, (&str, &T)>) -> Vec<T> {
    parts.into_values().map(|(_, part)| part.clone()).collect()
}

/// Inserts `value`; the binding of another value that is there already.
fn other<'c, T: PartialEq + Copy>(
    map: &mut BTreeMap<&'c str, (&'c str, T)>,
    key: &'c str,
    (binding, value): (&'c str, T),
) -> Option<&'c str> {
    let (first, there) = map.entry(key).or_insert((binding, value));
    (*there != value).then_some(*first)
}

fn check_file(file: &RuntimeFile, speaker: Speaker<'_>, found: &mut Diagnostics) {
    let RuntimeFile { file_id, path, mode, .. } = file;
    if file_id.trim().is_empty() {
        found.push(speaker.conflict(FIELD, "a file has no id".to_owned()));
    }
    let climbs = path.split('/').any(|segment| segment == "..");
    if path.trim().is_empty() || climbs || path.contains('\0') {
        let message = format!("file `{file_id}` has no path that it could be written to");
        found.push(speaker.conflict(FIELD, message));
    }
    let octal = |mode: &String| {
        (3..=4).contains(&mode.len()) && mode.bytes().all(|b| (b'0'..=b'7').contains(&b))
    };
    if mode.as_ref().is_some_and(|mode| !octal(mode)) {
        let message = format!("file `{file_id}` has a mode that is not octal digits like `0644`");
        found.push(speaker.conflict(FIELD, message));
    }
}

fn check_process(process: &RuntimeProcess, speaker: Speaker<'_>, found: &mut Diagnostics) {
    environment::check(&process.env, FIELD, speaker, found);
    let key = &process.process_key;
    if key.trim().is_empty() || process.command.trim().is_empty() {
        found
            .push(speaker.conflict(FIELD, format!("process `{key}` lacks its key or its command")));
    }
    if let Some(problem) = readiness(&process.readiness) {
        let message = format!("process `{key}` is ready when {problem}");
        found.push(speaker.conflict(FIELD, message));
    }
    let StopPolicy { timeout_ms, grace_period_ms, .. } = process.stop;
    if !(1..=DAY_MS).contains(&timeout_ms) || grace_period_ms > timeout_ms {
        let message = format!(
            "process `{key}` is given from 1 to {DAY_MS} ms to stop, and a grace period within it"
        );
        found.push(speaker.conflict(FIELD, message));
    }
}

fn readiness(readiness: &Readiness) -> Option<&'static str> {
    let late = |timeout: &u32| !(1..=DAY_MS).contains(timeout);
    match readiness {
        Readiness::None {} => None,
        Readiness::Tcp { timeout_ms, .. }
        | Readiness::Http { timeout_ms, .. }
        | Readiness::Ws { timeout_ms, .. }
            if late(timeout_ms) =>
        {
            Some("a time has passed that is not from 1 ms to a day")
        }
        Readiness::Tcp { host, port, .. } => {
            (host.trim().is_empty() || *port == 0).then_some("it listens nowhere")
        }
        Readiness::Http { url, expected_status, .. } => {
            let fine = is_url(url, &["http", "https"]) && (100..=599).contains(expected_status);
            (!fine).then_some("what is not an `http` URL answers, or with no HTTP status")
        }
        Readiness::Ws { url, .. } => {
            (!is_url(url, &["ws", "wss"])).then_some("what is not a `ws` URL answers")
        }
    }
}

fn is_url(url: &str, schemes: &[&str]) -> bool {
    let parsed: Option<http::Uri> = url.parse().ok();
    let has_host = |uri: &http::Uri| uri.host().is_some_and(|host| !host.is_empty());
    parsed.is_some_and(|uri| {
        uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) && has_host(&uri)
    })
}
