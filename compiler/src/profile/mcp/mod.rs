//! The MCP servers of a profile, written into the file where each agent keeps its map of them.
//!
//! Everything else in such a file stays as it is, comments and order too. A profile without
//! servers leaves the files untouched.

mod json;
mod toml;

use std::collections::{BTreeMap, BTreeSet};

use sallygate_definitions::contract::mcp::{McpConfig, McpFormat, McpServer, McpTransport};

use super::{Contribution, Speaker};
use crate::diagnostic::{Diagnostic, Diagnostics};

const CODE: &str = "MCP_CONFLICT";

/// Keys that mean something else than a key to agents that are written in JavaScript.
const FORBIDDEN: [&str; 3] = ["__proto__", "constructor", "prototype"];

pub(super) fn write_servers(contributions: &mut [Contribution], found: &mut Diagnostics) {
    let servers = servers(contributions, found);
    if servers.is_empty() {
        return;
    }
    let agents: Vec<(String, McpConfig)> = contributions
        .iter()
        .filter_map(|c| Some((c.binding_id.clone(), c.mcp_config.clone()?)))
        .collect();
    for (binding, config) in &agents {
        let speaker = Speaker { binding, code: CODE };
        if let Some(problem) = path_problem(config, &agents) {
            found.push(speaker.conflict("mcpConfig.path", problem));
            continue;
        }
        write(contributions, config, &servers, speaker, found);
    }
}

/// Every server, sorted by binding id and server id.
fn servers(contributions: &[Contribution], found: &mut Diagnostics) -> Vec<McpServer> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut sorted = Vec::new();
    for Contribution { binding_id, mcp_servers, .. } in contributions {
        let speaker = Speaker { binding: binding_id, code: CODE };
        let mut ids = BTreeSet::new();
        let mut own: Vec<&McpServer> = mcp_servers.iter().collect();
        own.sort_by(|a, b| (&a.id, &a.name).cmp(&(&b.id, &b.name)));
        for server in own {
            let conflict = |message| speaker.conflict("mcp", message);
            found.0.extend(server_problem(server).map(conflict));
            if !ids.insert(&server.id) {
                found.push(conflict(format!("two servers have the id `{}`", server.id)));
            }
            if let Some(first) = names.insert(&server.name, binding_id) {
                let message = format!("two servers have the name `{}`", server.name);
                let first = format!("the first is of binding `{first}`");
                found.push(conflict(message).related(first, None));
            }
            sorted.push(server.clone());
        }
    }
    sorted
}

fn server_problem(server: &McpServer) -> Option<String> {
    let McpServer { id, name, transport } = server;
    if id.trim().is_empty() {
        return Some(format!("the server `{name}` has no id"));
    }
    if name.trim().is_empty() {
        return Some(format!("the server `{id}` has no name"));
    }
    if FORBIDDEN.contains(&name.as_str()) {
        return Some(format!("`{name}` is not a name that a server can have"));
    }
    match transport {
        McpTransport::Http { url, .. } => {
            url.trim().is_empty().then(|| format!("the HTTP server `{id}` has no URL"))
        }
        McpTransport::Stdio { command, .. } => {
            command.trim().is_empty().then(|| format!("the server `{id}` has no command"))
        }
    }
}

fn path_problem(config: &McpConfig, agents: &[(String, McpConfig)]) -> Option<String> {
    let path = &config.path;
    if path.is_empty() || path.iter().any(|part| part.trim().is_empty()) {
        return Some("the path of the map has a part that is blank, or none".to_owned());
    }
    if let Some(part) = path.iter().find(|part| FORBIDDEN.contains(&part.as_str())) {
        return Some(format!("`{part}` is not a part that a path can have"));
    }
    let inside = |(_, other): &&(String, McpConfig)| {
        let one_file = other.client_id == config.client_id && other.file_id == config.file_id;
        one_file
            && (other.format != config.format || other.path != *path)
            && (other.format != config.format
                || other.path.starts_with(path)
                || path.starts_with(&other.path))
    };
    let (other, _) = agents.iter().find(inside)?;
    Some(format!("binding `{other}` keeps its map in the same file, in the way of this one"))
}

fn write(
    contributions: &mut [Contribution],
    config: &McpConfig,
    servers: &[McpServer],
    speaker: Speaker<'_>,
    found: &mut Diagnostics,
) {
    let clients = contributions.iter_mut().flat_map(|c| &mut c.runtime_clients);
    let clients = clients.filter(|client| client.client_id == config.client_id);
    let files = clients.flat_map(|client| &mut client.files);
    let mut written = false;
    for file in files.filter(|file| file.file_id == config.file_id) {
        written = true;
        let replaced = match config.format {
            McpFormat::Toml => toml::replace(&file.content, &config.path, servers),
            McpFormat::Json => json::replace(&file.content, &config.path, servers),
        };
        match replaced {
            Ok(content) => file.content = content,
            Err(problem) => {
                let message = format!("the file `{}` {problem}", config.file_id);
                found.push(speaker.conflict("mcpConfig", message));
            }
        }
    }
    if !written {
        found.push(missing(config, speaker));
    }
}

fn missing(config: &McpConfig, speaker: Speaker<'_>) -> Diagnostic {
    let McpConfig { client_id, file_id, .. } = config;
    let message = format!("client `{client_id}` has no file `{file_id}` to write servers into");
    speaker.conflict("mcpConfig", message)
}
