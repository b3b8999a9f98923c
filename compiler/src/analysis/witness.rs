//! A concrete request that shows what an analysis claims: it can be put to the table.

use std::fmt;

use super::facts::with_key;
use crate::canonical::{Host, Scheme};
use crate::content::{Content, Reading};
use crate::key::MatchKey;
use crate::table::{HostClass, RouteTable, Verdict};

/// One request, written as `METHOD URL (header: value) [content]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    pub scheme: Scheme,
    pub host: Host,
    pub port: u16,
    /// Canonical, without query.
    pub path: String,
    pub method: String,
    pub headers: Vec<(String, String)>,
    /// Decoded.
    pub query: Vec<(String, String)>,
    pub content: Content,
}

impl Witness {
    /// What the table says to the request.
    pub fn verdict(&self, table: &RouteTable) -> Option<Verdict> {
        self.with_key(|key| table.find_read(key, &self.content))
    }

    /// What becomes of a CONNECT for it, when it is made through one.
    pub fn connect(&self, table: &RouteTable) -> Option<HostClass> {
        let tls = self.scheme == Scheme::Https;
        tls.then(|| table.host_class(&self.host, self.port))
    }

    /// Runs `ask` with the key of the request.
    pub fn with_key<T>(&self, ask: impl FnOnce(&MatchKey<'_>) -> T) -> Option<T> {
        with_key(self, ask)
    }

    /// The content without what goes without saying: that what one protocol reads no other does.
    fn told(&self) -> Content {
        let Content { mut git, mut wants, mut graphql, mut json_rpc } = self.content.clone();
        let any =
            [git.is_readable(), wants.is_readable(), graphql.is_readable(), json_rpc.is_readable()];
        if any.contains(&true) {
            git.forget_unreadable();
            wants.forget_unreadable();
            graphql.forget_unreadable();
            json_rpc.forget_unreadable();
        }
        Content { git, wants, graphql, json_rpc }
    }

    /// Path and query, as sent.
    pub fn target(&self) -> String {
        let pairs = self.query.iter().map(|(name, value)| {
            let value =
                if value.is_empty() { String::new() } else { format!("={}", escaped(value)) };
            format!("{}{value}", escaped(name))
        });
        let query = pairs.collect::<Vec<_>>().join("&");
        if query.is_empty() { self.path.clone() } else { format!("{}?{query}", self.path) }
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = self.port != self.scheme.default_port();
        let port = if listed { format!(":{}", self.port) } else { String::new() };
        let Self { method, scheme, host, .. } = self;
        write!(f, "{method} {scheme}://{host}{port}{}", self.target())?;
        for (name, value) in &self.headers {
            write!(f, " ({name}: {value})")?;
        }
        let Content { git, wants, graphql, json_rpc } = self.told();
        items(f, "git", &git, |command| format!("{:?} {}", command.change, command.name))?;
        items(f, "fetch", &wants, Clone::clone)?;
        items(f, "graphql", &graphql, |s| format!("{} {{ {} }}", s.operation.as_str(), s.field))?;
        items(f, "mcp", &json_rpc, |call| match &call.tool {
            Some(tool) => format!("{} {tool}", call.method),
            None => call.method.clone(),
        })
    }
}

fn items<T>(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    reading: &Reading<T>,
    text: impl Fn(&T) -> String,
) -> fmt::Result {
    match reading {
        Reading::Unread => Ok(()),
        Reading::Nothing => write!(f, " [{kind}: nothing]"),
        Reading::Unreadable => write!(f, " [{kind}: not readable]"),
        Reading::Items(items) => {
            let items: Vec<String> = items.iter().map(text).collect();
            write!(f, " [{kind}: {}]", items.join(", ").to_lowercase())
        }
    }
}

/// As it stands in a query.
fn escaped(text: &str) -> String {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escape =
        |byte: u8| if fine(byte) { char::from(byte).into() } else { format!("%{byte:02X}") };
    text.bytes().map(escape).collect()
}
