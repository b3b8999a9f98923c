//! Every code of a diagnostic, and what it means. Codes are never renamed.

/// One code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeSpec {
    pub code: &'static str,
    pub summary: &'static str,
}

const fn spec(code: &'static str, summary: &'static str) -> CodeSpec {
    CodeSpec { code, summary }
}

/// In code-point order. Beside these there are the `family.code` of definitions.
pub const CODES: &[CodeSpec] = &[
    spec(
        "AGENT_RUNTIME_CONFLICT",
        "Agent runtimes of a profile cannot stand together, or one names a client or an endpoint that there is not",
    ),
    spec(
        "ARTIFACT_CONFLICT",
        "Artifacts of a profile cannot stand together, or one of them could not be installed",
    ),
    spec("ASSERTION_VIOLATED", "A request breaks what the profile says is always true"),
    spec("BAD_VALUE", "A value is of the right type, but not one that can stand there"),
    spec("BROAD_GRANT", "A credential is given to everything on a host"),
    spec("CLEARTEXT_CREDENTIAL", "A credential would be sent over HTTP without TLS"),
    spec(
        "CONNECTION_MISMATCH",
        "A binding uses a connection of another organisation, or one to a target that there is not",
    ),
    spec(
        "CONNECTION_NOT_ACTIVE",
        "A binding uses a connection that was revoked or that the provider refused",
    ),
    spec("DEFINITION_NOT_FOUND", "There is no definition with this key"),
    spec("DEFINITION_TOO_DEEP", "A definition is nested too deep"),
    spec("DEFINITION_TOO_LARGE", "A definition file has too many bytes"),
    spec("DEFINITION_TOO_MANY", "A list in a definition has too many items"),
    spec("DIGEST_MISMATCH", "The digest of a plan is not that of its content"),
    spec("DUPLICATE_BINDING", "Two bindings of a profile have the same id"),
    spec("DUPLICATE_DEFINITION", "Two files define the same key"),
    spec("DUPLICATE_ROUTE", "Two routes of a profile have the same id"),
    spec("DUPLICATE_SANDBOX", "Two sandboxes have the same id"),
    spec("EMPTY_METHODS", "An empty list of methods means neither any nor none"),
    spec("FILE_UNREADABLE", "A file cannot be read"),
    spec("HOST_NOT_CANONICAL", "A host is not in the one form that it is matched in"),
    spec(
        "INVALID_BINDING_CONFIG",
        "The configuration of a binding is not what its definition asks for",
    ),
    spec(
        "INVALID_CONNECTION_CONFIG",
        "The configuration of a connection is not what its definition asks for",
    ),
    spec("INVALID_DEFINITION", "A definition says something that cannot be"),
    spec("INVALID_PLAN", "A plan file is not a plan, or not one that this build reads"),
    spec(
        "INVALID_TARGET_CONFIG",
        "The configuration of a target is not what its definition asks for",
    ),
    spec(
        "INVALID_TARGET_SECRETS",
        "The secrets of a target are not those that its definition asks for",
    ),
    spec("KIND_MISMATCH", "The kind of a binding is not that of its definition"),
    spec("LIMIT_EXCEEDED", "Something is longer, deeper or more than it may be"),
    spec(
        "MCP_CONFLICT",
        "MCP servers of a profile cannot stand together, or cannot be written where the agent reads them",
    ),
    spec("MISSING_FIELD", "A field that must be there is missing"),
    spec("PATH_NOT_CANONICAL", "A path is not in the one form that it is matched in"),
    spec("PLACEHOLDER_HIDDEN", "Two credentials' placeholders would be in one variable"),
    spec(
        "ROUTE_CONFLICT",
        "Two routes take the same request, neither goes before the other, and they differ in what they do",
    ),
    spec(
        "RUNTIME_CLIENT_SETUP_CONFLICT",
        "Runtime clients of a profile cannot stand together, or one could not be set up",
    ),
    spec("SCHEMA_TOO_DEEP", "A schema in a definition is nested too deep"),
    spec("SCHEMA_TOO_LARGE", "A schema in a definition has too many properties"),
    spec("TARGET_DISABLED", "A binding uses a target that the operator has disabled"),
    spec("TOML_SYNTAX", "A file is not TOML"),
    spec("UNKNOWN_CONNECTION", "A binding uses a connection that there is not"),
    spec("UNKNOWN_CONNECTION_METHOD", "A connection has no method of its definition"),
    spec("UNKNOWN_FIELD", "A field has a name that nobody reads"),
    spec("UNKNOWN_PROFILE", "A sandbox has a profile that there is not"),
    spec("UNKNOWN_TARGET", "Something refers to a target that there is not"),
    spec("UNREACHABLE_ROUTE", "A route never decides, because others take all that it would"),
    spec(
        "UNSUPPORTED_INJECTION",
        "A credential would have to be presented in a way that is not carried out",
    ),
    spec("WILDCARD_CREDENTIAL", "A credential would be sent to any host"),
    spec(
        "WORKSPACE_SOURCE_CONFLICT",
        "Two workspace sources have one path, or one lacks its path or its origin",
    ),
    spec("WRONG_TYPE", "A value is of another type than it must be"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_in_order_and_none_is_there_twice() {
        assert!(CODES.is_sorted_by(|a, b| a.code < b.code));
    }
}
