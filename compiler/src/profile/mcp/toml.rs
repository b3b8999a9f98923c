//! The map of servers in a TOML file.

use sallygate_definitions::contract::mcp::{McpServer, McpTransport};
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value, value};

/// `text` with the map at `path` replaced, or why it cannot be.
pub(super) fn replace(
    text: &str,
    path: &[String],
    servers: &[McpServer],
) -> Result<String, String> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| format!("is not TOML: {}", error.message()))?;
    let Some((last, parents)) = path.split_last() else { return Ok(text.to_owned()) };
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for part in parents {
        table = table
            .entry(part)
            .or_insert_with(implicit)
            .as_table_like_mut()
            .ok_or_else(|| format!("holds something else than a table at `{part}`"))?;
    }
    let map = table.entry(last).or_insert_with(implicit);
    let map = map
        .as_table_like_mut()
        .ok_or_else(|| format!("holds something else than a table at `{last}`"))?;
    let old: Vec<String> = map.iter().map(|(key, _)| key.to_owned()).collect();
    for key in old {
        map.remove(&key);
    }
    for server in servers {
        map.insert(&server.name, Item::Table(entry(&server.transport)));
    }
    Ok(document.to_string())
}

/// A table that is written only where it holds values itself.
fn implicit() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

fn entry(transport: &McpTransport) -> Table {
    let mut entry = Table::new();
    let mut texts = |key: &str, map: &std::collections::BTreeMap<String, String>| {
        if !map.is_empty() {
            let mut inner = toml_edit::InlineTable::new();
            for (name, text) in map {
                inner.insert(name, Value::from(text.as_str()));
            }
            entry.insert(key, value(inner));
        }
    };
    match transport {
        McpTransport::Http { url, headers } => {
            texts("http_headers", headers);
            entry.insert("url", value(url.as_str()));
        }
        McpTransport::Stdio { command, args, env } => {
            texts("env", env);
            entry.insert("command", value(command.as_str()));
            if !args.is_empty() {
                let args: Array = args.iter().map(String::as_str).collect();
                entry.insert("args", value(args));
            }
        }
    }
    entry.sort_values_by(|a, _, b, _| rank(a.get()).cmp(&rank(b.get())));
    entry
}

/// Where a key stands in an entry.
fn rank(key: &str) -> usize {
    ["url", "http_headers", "command", "args", "env"].iter().position(|k| *k == key).unwrap_or(5)
}
