//! Which requests a route is about.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::block::{Block, GitBlock, GraphqlBlock, GrpcBlock, McpBlock};
use crate::canonical::Scheme;

/// Which requests a route is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", try_from = "MatchForm")]
pub struct Match {
    pub scheme: Scheme,
    pub hosts: Vec<String>,
    /// `None`: the scheme's default port only.
    pub ports: Option<Vec<u16>>,
    pub paths: Vec<String>,
    /// `None`: any.
    pub methods: Option<Vec<String>>,
    pub headers: Vec<Condition>,
    pub query: Vec<Condition>,
    pub allow_encoded_slash: bool,
    pub allow_empty_segments: bool,
    /// What the request says inside its protocol.
    #[serde(flatten)]
    pub block: Option<Block>,
}

/// How a match may be written: with defaults, and with `pathPrefixes` for `/**`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MatchForm {
    #[serde(default)]
    scheme: Scheme,
    hosts: Vec<String>,
    #[serde(default)]
    ports: Option<Vec<u16>>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    path_prefixes: Vec<String>,
    #[serde(default)]
    methods: Option<Vec<String>>,
    #[serde(default)]
    headers: Vec<Condition>,
    #[serde(default)]
    query: Vec<Condition>,
    #[serde(default)]
    allow_encoded_slash: bool,
    #[serde(default)]
    allow_empty_segments: bool,
    #[serde(default)]
    git: Option<GitBlock>,
    #[serde(default)]
    graphql: Option<GraphqlBlock>,
    #[serde(default)]
    mcp: Option<McpBlock>,
    #[serde(default)]
    grpc: Option<GrpcBlock>,
}

/// A match with more than one protocol block.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a match has at most one of `git`, `graphql`, `mcp` and `grpc`")]
struct TwoBlocks;

impl TryFrom<MatchForm> for Match {
    type Error = TwoBlocks;

    fn try_from(form: MatchForm) -> Result<Self, TwoBlocks> {
        let blocks = [
            form.git.map(Block::Git),
            form.graphql.map(Block::Graphql),
            form.mcp.map(Block::Mcp),
            form.grpc.map(Block::Grpc),
        ];
        let mut blocks = blocks.into_iter().flatten();
        let (block, second) = (blocks.next(), blocks.next());
        if second.is_some() {
            return Err(TwoBlocks);
        }
        let MatchForm { scheme, hosts, ports, mut paths, methods, headers, query, .. } = form;
        paths.extend(form.path_prefixes.iter().map(|p| format!("{}/**", p.trim_end_matches('/'))));
        let (allow_encoded_slash, allow_empty_segments) =
            (form.allow_encoded_slash, form.allow_empty_segments);
        Ok(Self {
            scheme,
            hosts,
            ports,
            paths,
            methods,
            headers,
            query,
            allow_encoded_slash,
            allow_empty_segments,
            block,
        })
    }
}

/// A condition on one header or one query parameter: exactly one of `equals` and `present`.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}
