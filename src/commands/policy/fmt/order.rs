//! In which order keys stand: who it is, what it does, to what, and under which conditions.

/// Keys of policies, in the order in which people look for them. Others keep their place behind.
const KEYS: [&str; 36] = [
    "version",
    "name",
    "id",
    "profile",
    "connection",
    "kind",
    "request",
    "action",
    "reason",
    "unmatched",
    "target",
    "config",
    "scheme",
    "hosts",
    "ports",
    "methods",
    "paths",
    "path_prefixes",
    "headers",
    "query",
    "equals",
    "present",
    "git",
    "graphql",
    "mcp",
    "grpc",
    "allow_encoded_slash",
    "allow_empty_segments",
    "expect",
    "route",
    "credential",
    "token_sha256",
    "sources",
    "expires",
    "routes",
    "limits",
];

pub(super) fn rank(key: &str) -> usize {
    KEYS.iter().position(|known| *known == key).unwrap_or(KEYS.len())
}
