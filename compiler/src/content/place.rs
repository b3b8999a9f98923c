//! Whether a request is of a block's protocol, as far as its head tells.

use super::{Content, Inspection, Reading, git, grpc};
use crate::block::{Block, GitBlock, GitService};
use crate::key::{HeaderValue, MatchKey};

/// What is known of a block and a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Inside,
    Outside,
    Needs(Inspection),
}

impl Told {
    fn when(inside: bool) -> Self {
        if inside { Self::Inside } else { Self::Outside }
    }
}

/// Whether a route with this block takes the request. An allowing route wants all items inside and
/// the request clearly of the protocol; a denying one takes it for any item, and on doubt.
pub(crate) fn told(block: &Block, key: &MatchKey<'_>, content: &Content, denying: bool) -> Told {
    match block {
        Block::Git(block) => git_told(block, key, content, denying),
        Block::Graphql(block) => match graphql_place(key) {
            Place::Elsewhere => Told::Outside,
            Place::Unclear => Told::when(denying),
            Place::Here => {
                let holds = |selection: &_| block.holds(selection);
                read(&content.graphql, Inspection::Graphql, denying, holds)
            }
        },
        Block::Mcp(block) => match json_rpc_place(key) {
            Place::Elsewhere => Told::Outside,
            Place::Unclear => Told::when(denying),
            Place::Here => {
                let holds = |call: &_| block.holds(call);
                read(&content.json_rpc, Inspection::JsonRpc, denying, holds)
            }
        },
        Block::Grpc(block) => {
            let named = grpc::method(key.target.path()).filter(|_| key.method == "POST");
            let clear = denying || grpc::is_grpc(&key.headers.value("content-type"));
            Told::when(clear && named.is_some_and(|(service, method)| block.holds(service, method)))
        }
    }
}

fn read<T>(
    reading: &Reading<T>,
    needs: Inspection,
    denying: bool,
    holds: impl Fn(&T) -> bool,
) -> Told {
    match reading {
        Reading::Unread => Told::Needs(needs),
        Reading::Unreadable => Told::when(denying),
        Reading::Nothing => Told::when(!denying),
        Reading::Items(items) if denying => Told::when(items.iter().any(holds)),
        Reading::Items(items) => Told::when(!items.is_empty() && items.iter().all(holds)),
    }
}

/// Where a request stands to a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Elsewhere,
    /// It may be of the protocol, in a form that is not read.
    Unclear,
    Here,
}

fn git_told(block: &GitBlock, key: &MatchKey<'_>, content: &Content, denying: bool) -> Told {
    let asked = if denying { git::may_ask(key, block.service) } else { git::asks(key) };
    let Some(asked) = asked.filter(|asked| asked.service() == block.service) else {
        return Told::Outside;
    };
    if !block.looks_inside() {
        return Told::Inside;
    }
    match (block.service, asked) {
        // A denial of some references leaves the others, which are asked for in the same way.
        (GitService::ReceivePack, git::Asked::Discovery(_)) => Told::when(!denying),
        (GitService::ReceivePack, git::Asked::Service(_)) => {
            let holds = |command: &_| block.holds(command, denying);
            read(&content.git, Inspection::GitCommands, denying, holds)
        }
        // Older versions list every reference here, and tell none apart when they fetch.
        (GitService::UploadPack, _) if !git::asks_version_2(key) => Told::when(denying),
        (GitService::UploadPack, git::Asked::Discovery(_)) => {
            Told::when(denying == git::asks(key).is_none())
        }
        (GitService::UploadPack, git::Asked::Service(_)) => {
            let names = |reference: &String| block.names(reference);
            read(&content.wants, Inspection::GitWants, denying, names)
        }
    }
}

fn graphql_place(key: &MatchKey<'_>) -> Place {
    if is_disguised(key) {
        return Place::Unclear;
    }
    match key.method {
        "GET" | "HEAD" if key.target.query().is_none_or(str::is_empty) => Place::Elsewhere,
        "GET" => Place::Here,
        "OPTIONS" | "DELETE" => Place::Elsewhere,
        "POST" => with_body(key, &["application/json", "application/graphql"]),
        _ => Place::Unclear,
    }
}

/// Other methods than POST carry no messages: streams and sessions are opened and closed by GET
/// and DELETE.
fn json_rpc_place(key: &MatchKey<'_>) -> Place {
    if is_disguised(key) {
        return Place::Unclear;
    }
    match key.method {
        "GET" | "HEAD" | "OPTIONS" | "DELETE" => Place::Elsewhere,
        "POST" => with_body(key, &["application/json"]),
        _ => Place::Unclear,
    }
}

/// A request that can carry more than its method says: it asks for another protocol, names another
/// method, or has a body where none belongs.
fn is_disguised(key: &MatchKey<'_>) -> bool {
    const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
    let has = |name: &str| key.headers.value(name) != HeaderValue::None;
    let length = key.headers.value("content-length");
    let body =
        has("transfer-encoding") || !matches!(length, HeaderValue::None | HeaderValue::One(b"0"));
    has("upgrade") || OVERRIDES.into_iter().any(has) || (body && key.method != "POST")
}

/// A body that is encoded, or of another kind than announced, is not what it seems to be.
fn with_body(key: &MatchKey<'_>, kinds: &[&str]) -> Place {
    let encoded = match key.headers.value("content-encoding") {
        HeaderValue::None => false,
        HeaderValue::One(value) => !value.eq_ignore_ascii_case(b"identity"),
        HeaderValue::Many => true,
    };
    let fits = match key.headers.value("content-type") {
        HeaderValue::One(value) => kinds.iter().any(|kind| is_kind(value, kind)),
        HeaderValue::None | HeaderValue::Many => false,
    };
    if fits && !encoded { Place::Here } else { Place::Unclear }
}

/// Whether the body is a GraphQL document by itself.
pub(super) fn is_document(key: &MatchKey<'_>) -> bool {
    match key.headers.value("content-type") {
        HeaderValue::One(value) => is_kind(value, "application/graphql"),
        HeaderValue::None | HeaderValue::Many => false,
    }
}

/// Whether a content type is `kind`, in UTF-8, which is the default of all that are read here.
fn is_kind(value: &[u8], kind: &str) -> bool {
    let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let same = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(kind.as_bytes()));
    same && parts.all(|parameter| {
        let lower = parameter.to_ascii_lowercase();
        matches!(&*lower, b"" | b"charset=utf-8" | b"charset=\"utf-8\"")
    })
}
