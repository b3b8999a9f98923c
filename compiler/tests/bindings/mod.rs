//! What the builtin definitions are bound to, so that every route of each is there at least once.

/// One binding of one definition; configurations are JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) key: &'static str,
    pub(crate) method: Option<&'static str>,
    pub(crate) target: &'static str,
    pub(crate) connection: &'static str,
    pub(crate) binding: &'static str,
    pub(crate) grant: Grant,
}

/// What the binding asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Nothing may be changed.
    Read,
    Write,
}

/// What is bound, and what stands beside it.
pub(crate) const NEIGHBOURS: &[(&str, &str)] = &[
    ("octo/hello", "octo/hello2"),
    ("group%2Fapp", "group%2Fapp2"),
    ("group/app", "group/app2"),
    ("projects/42", "projects/421"),
    ("workspaces/acme", "workspaces/acme2"),
    ("workflows/wf1", "workflows/wf2"),
    ("webhook/in/orders", "webhook/in/refunds"),
    ("hooks/agent", "hooks/wake"),
    ("auth.test", "admin.users.list"),
    ("chat.postMessage", "chat.delete"),
    ("my-bucket", "my-bucket2"),
    // What stands beside it is a message, which is allowed as such.
    ("messages/count_tokens", "messages2/count_tokens"),
];

const fn bound(
    key: &'static str,
    method: &'static str,
    grant: Grant,
    configurations: [&'static str; 3],
) -> Bound {
    let [target, connection, binding] = configurations;
    Bound { key, method: Some(method), target, connection, binding, grant }
}

const GITEA: &str = r#"{"baseUrl": "https://git.test"}"#;
const GHES: &str =
    r#"{"apiBaseUrl": "https://ghes.test:8443/api/v3", "webBaseUrl": "https://ghes.test:8443"}"#;
const SITE: &str = r#"{"siteBaseUrl": "https://acme.test"}"#;
const N8N: &str = r#"{"baseUrl": "https://n8n.test"}"#;
const GATEWAY: &str = r#"{"baseUrl": "https://gateway.test:18789"}"#;
const S3: &str = r#"{"service": "s3", "region": "eu-central-1"}"#;
const MCP: &str = r#"{"baseUrl": "https://mcp.test", "name": "tools"}"#;
const OAUTH: &str = r#"{"baseUrl": "https://api.test", "tokenUrl": "https://id.test/token"}"#;
const MAIL: &str = r#"{"email": "a@acme.test"}"#;
const CLOUD: &str = r#"{"cloudId": "c1"}"#;
const PLANE: &str = r#"{"workspace": "acme"}"#;

const PRICES: &str = r#"{"prices": [
    {"model": "*", "inputMicrosPerMillion": 1, "outputMicrosPerMillion": 2}]}"#;
const ALL_PRICES: &str = r#"{"prices": [
    {"model": "*", "inputMicrosPerMillion": 1, "outputMicrosPerMillion": 2,
    "cachedInputMicrosPerMillion": 1, "cacheWriteMicrosPerMillion": 2}]}"#;
const BUDGET: &str = r#"{"budgetMicros": 5}"#;

use Grant::{Read, Write};

pub(crate) const BINDINGS: &[Bound] = &[
    bound("demo::echo", "token", Write, ["{}", "{}", "{}"]),
    bound("openai::openai-default", "api-key", Write, ["{}", "{}", "{}"]),
    bound("openai::openai-default", "api-key", Write, [PRICES, "{}", BUDGET]),
    bound("anthropic::anthropic-default", "api-key", Write, ["{}", "{}", "{}"]),
    bound("anthropic::anthropic-default", "api-key", Write, [ALL_PRICES, "{}", BUDGET]),
    bound("anthropic::anthropic-default", "oauth-token", Write, ["{}", "{}", "{}"]),
    bound(
        "github::github-cloud",
        "token",
        Read,
        ["{}", "{}", r#"{"repositories": ["octo/hello"]}"#],
    ),
    bound(
        "github::github-cloud",
        "token",
        Read,
        [
            "{}",
            "{}",
            r#"{"repositories": ["octo/hello"], "lfs": true, "downloads": true, "graphql": "read"}"#,
        ],
    ),
    bound(
        "github::github-cloud",
        "token",
        Write,
        [
            "{}",
            "{}",
            r#"{"repositories": ["octo/hello"], "access": "write", "lfs": true, "graphql": "write"}"#,
        ],
    ),
    bound(
        "github::github-enterprise-server",
        "token",
        Read,
        [GHES, "{}", r#"{"repositories": ["octo/hello"], "lfs": true, "graphql": "read"}"#],
    ),
    bound(
        "github::github-enterprise-server",
        "token",
        Write,
        [GHES, "{}", r#"{"repositories": ["octo/hello"], "access": "write", "graphql": "write"}"#],
    ),
    bound(
        "gitlab::gitlab-default",
        "token",
        Read,
        ["{}", "{}", r#"{"projects": ["group/app"], "projectIds": [42], "lfs": true}"#],
    ),
    bound(
        "gitlab::gitlab-default",
        "oauth",
        Write,
        [
            "{}",
            "{}",
            r#"{"projects": ["group/app"], "projectIds": [42], "access": "write", "lfs": true}"#,
        ],
    ),
    bound(
        "gitlab::gitlab-default",
        "oauth",
        Write,
        ["{}", "{}", r#"{"projects": ["group/app"], "mcp": "listed", "mcpTools": ["get_*"]}"#],
    ),
    bound("gitlab::gitlab-default", "oauth", Write, ["{}", "{}", r#"{"mcp": "all"}"#]),
    bound(
        "gitea::gitea-default",
        "token",
        Read,
        [GITEA, "{}", r#"{"repositories": ["octo/hello"], "lfs": true}"#],
    ),
    bound(
        "gitea::gitea-default",
        "oauth",
        Write,
        [GITEA, "{}", r#"{"repositories": ["octo/hello"], "access": "write", "lfs": true}"#],
    ),
    bound("linear::linear-default", "api-key", Read, ["{}", "{}", r#"{"files": true}"#]),
    bound(
        "linear::linear-default",
        "oauth",
        Write,
        ["{}", "{}", r#"{"access": "write", "mcp": "listed", "mcpTools": ["list_issues"]}"#],
    ),
    bound(
        "linear::linear-default",
        "oauth",
        Write,
        ["{}", "{}", r#"{"access": "write", "allFields": true, "mcp": "all"}"#],
    ),
    bound(
        "atlassian::atlassian-default",
        "api-token",
        Read,
        [SITE, MAIL, r#"{"jira": "read", "confluence": "read"}"#],
    ),
    bound(
        "atlassian::atlassian-default",
        "api-token",
        Write,
        [
            SITE,
            MAIL,
            r#"{"jira": "write", "confluence": "write", "mcp": "listed", "mcpTools": ["search"]}"#,
        ],
    ),
    bound(
        "atlassian::atlassian-default",
        "oauth",
        Write,
        [SITE, CLOUD, r#"{"jira": "write", "confluence": "write", "mcp": "all"}"#],
    ),
    bound("plane::plane-default", "api-key", Read, ["{}", PLANE, r#"{"projects": ["42"]}"#]),
    bound(
        "plane::plane-default",
        "api-key",
        Write,
        [
            "{}",
            PLANE,
            r#"{"projects": ["42"], "access": "write", "mcp": "listed", "mcpTools": ["workitem"]}"#,
        ],
    ),
    bound("plane::plane-default", "api-key", Write, ["{}", PLANE, r#"{"mcp": "all"}"#]),
    bound(
        "n8n::n8n-default",
        "api-key",
        Read,
        [N8N, "{}", r#"{"access": "read", "workflows": ["wf1"]}"#],
    ),
    bound(
        "n8n::n8n-default",
        "api-key",
        Write,
        [N8N, "{}", r#"{"access": "write", "workflows": ["wf1"]}"#],
    ),
    bound(
        "n8n::n8n-default",
        "api-key",
        Read,
        [N8N, "{}", r#"{"access": "read", "allWorkflows": true}"#],
    ),
    bound(
        "n8n::n8n-default",
        "api-key",
        Write,
        [N8N, "{}", r#"{"access": "write", "allWorkflows": true}"#],
    ),
    bound(
        "n8n::n8n-default",
        "webhook-header",
        Write,
        [N8N, "{}", r#"{"webhooks": ["in/orders"]}"#],
    ),
    bound("n8n::n8n-default", "webhook-jwt", Write, [N8N, "{}", r#"{"webhooks": ["in/orders"]}"#]),
    bound("openclaw::openclaw-runtime", "token", Write, [GATEWAY, "{}", "{}"]),
    bound("clawledger::clawledger-default", "shared-secret", Read, ["{}", "{}", "{}"]),
    bound("warp::warp-setup", "token", Read, ["{}", "{}", "{}"]),
    bound(
        "slack::slack-default",
        "token",
        Read,
        ["{}", "{}", r#"{"readMethods": ["auth.test"], "files": true}"#],
    ),
    bound(
        "slack::slack-default",
        "oauth",
        Write,
        [
            "{}",
            "{}",
            r#"{"readMethods": ["auth.test"], "writeMethods": ["chat.postMessage"], "access": "write"}"#,
        ],
    ),
    bound("aws::aws-default", "session", Read, [S3, "{}", r#"{"buckets": ["my-bucket"]}"#]),
    bound(
        "aws::aws-default",
        "session",
        Write,
        [S3, "{}", r#"{"buckets": ["my-bucket"], "access": "write"}"#],
    ),
    bound("aws::aws-default", "session", Write, [S3, "{}", r#"{"allOperations": true}"#]),
    bound("generic::http-api", "value", Read, [r#"{"baseUrl": "https://api.test"}"#, "{}", "{}"]),
    bound("generic::oauth2-api", "oauth", Read, [OAUTH, "{}", "{}"]),
    bound("generic::mcp-server", "bearer", Write, [MCP, "{}", r#"{"mcpTools": ["read_*"]}"#]),
    bound("generic::mcp-server", "header", Write, [MCP, "{}", r#"{"mcp": "all"}"#]),
];
