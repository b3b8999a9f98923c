//! Every key of `config.toml` and `policy.toml`, for the reference. A test compares them with what
//! the readers accept.

/// One table of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [Key],
}

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) default: &'static str,
    pub(crate) meaning: &'static str,
}

const fn key(
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, kind, default, meaning }
}

pub(crate) const CONFIGURATION: &[Section] = &[
    Section {
        title: "(top)",
        about: "Keys before the first table. Each of the tables below is optional.",
        keys: &[
            key("data_dir", "path", "`.`", "Where keys, tokens and the record are"),
            key("policy", "path", "`policy.toml`", "What is allowed"),
            key(
                "definitions_dir",
                "path",
                "`integrations.d`",
                "Every `*.toml` in it is a [definition](../concepts/definitions.md) besides the builtin ones; the default directory need not be there",
            ),
            key(
                "plans",
                "table",
                "",
                "`profile = \"plan.json\"`: ready plans instead of compiling the policy; its sandboxes still come from `policy`",
            ),
            key("proxy", "table", "", "The listener for sandboxes"),
            key("admin", "table", "", "The listener for the operator"),
            key("control", "table", "", "The control service, when it runs in this process"),
            key("oidc", "table", "", "How people sign in at the control service"),
            key("webhooks", "table", "", "What the control service may deliver to"),
            key("tls", "table", "", "The interception authority"),
            key("limits", "table", "", "See [limits](limits.md)"),
            key("audit", "table", "", "The record"),
            key("log", "table", "", "What this process says about itself"),
            key("dns", "table", "", "How names are resolved"),
            key("targets", "table", "", "Deployments of definitions, by id"),
            key("connections", "table", "", "Credentials for targets, by id"),
        ],
    },
    Section {
        title: "[proxy]",
        about: "Where sandboxes connect.",
        keys: &[
            key(
                "listen",
                "array of addresses",
                "`[\"127.0.0.1:8089\"]`",
                "TCP listeners; port 0 lets the system choose",
            ),
            key(
                "unix",
                "array of tables",
                "`[]`",
                "Unix sockets, each with the keys of `[[proxy.unix]]`",
            ),
            key("egress_prefix", "string", "`egress`", "First path segment of the base-URL mode"),
            key(
                "deny_in_tunnel",
                "boolean",
                "`true`",
                "Answer a denied CONNECT inside the tunnel, where clients show the reason",
            ),
            key(
                "drain_seconds",
                "0 to 3600",
                "`30`",
                "How long requests in flight may go on after SIGTERM",
            ),
        ],
    },
    Section {
        title: "[[proxy.unix]]",
        about: "A socket whose callers are one sandbox.",
        keys: &[
            key("path", "path", "required", "The socket; one left behind is replaced"),
            key("sandbox", "string", "required", "Id of the sandbox"),
        ],
    },
    Section {
        title: "[admin]",
        about: "Health and metrics for everybody, `/v1` for the operator's token.",
        keys: &[key("listen", "address", "`127.0.0.1:8090`", "TCP listener")],
    },
    Section {
        title: "[control]",
        about: "The control service's API. Without this table none runs beside the proxy. Its database is `control.db` in `data_dir`, or what `DATABASE_URL` says.",
        keys: &[
            key("listen", "address", "required", "TCP listener"),
            key(
                "trusted_proxies",
                "list",
                "`[]`",
                "Address ranges of proxies in front of it: what they say in `X-Forwarded-For` counts",
            ),
        ],
    },
    Section {
        title: "[oidc]",
        about: "People sign in at an OpenID provider (authorization code with PKCE) at `/api/v1/auth/oidc/login` of the control service. Somebody whom no rule of `[[oidc.roles]]` names is not let in.",
        keys: &[
            key("issuer", "URL", "required", "The provider, exactly as it names itself"),
            key("client_id", "string", "required", "Who we are there"),
            key(
                "client_secret_file",
                "path",
                "",
                "The file with the client's secret; a public client has none",
            ),
            key(
                "redirect_uri",
                "URL",
                "required",
                "`/api/v1/auth/oidc/callback` of the control service, as browsers reach it",
            ),
            key("scopes", "list", "`[]`", "Asked for besides `openid`, such as `email`, `groups`"),
            key(
                "ca_file",
                "path",
                "",
                "An authority that is trusted for the provider besides the system's",
            ),
            key(
                "allow_ranges",
                "list",
                "`[]`",
                "Address ranges that are not public, where the provider may be",
            ),
            key("roles", "tables", "", "Who may do what"),
        ],
    },
    Section {
        title: "[[oidc.roles]]",
        about: "The first rule that applies decides.",
        keys: &[
            key(
                "claim",
                "string",
                "required",
                "Of the ID token or the user info, such as `groups`, `sub`; `email` counts only when the provider has verified it",
            ),
            key("value", "string", "required", "The claim's value, or one of its values"),
            key(
                "role",
                "`read_only`, `approver`, `member`, `operator`",
                "required",
                "What such people may do",
            ),
            key("organisation", "id", "", "Where; needed for every role but `operator`"),
        ],
    },
    Section {
        title: "[webhooks]",
        about: "Where the control service's deliveries may go besides public addresses. Certificates are always verified, and redirects never followed.",
        keys: &[
            key(
                "ca_file",
                "path",
                "",
                "Authorities that are trusted for endpoints besides the system's, PEM",
            ),
            key(
                "allow_ranges",
                "list",
                "`[]`",
                "Address ranges that are not public, where endpoints may be",
            ),
        ],
    },
    Section {
        title: "[tls]",
        about: "The authority that intercepted hosts get their certificates from.",
        keys: &[
            key("ca_cert", "path", "`ca.pem` in `data_dir`", "Certificate, PEM"),
            key("ca_key", "path", "`ca-key.pem` in `data_dir`", "Private key, PEM"),
        ],
    },
    Section {
        title: "[audit]",
        about: "One line of JSON for each exchange, chained by hashes.",
        keys: &[
            key("path", "path", "`audit.jsonl` in `data_dir`", "The file"),
            key("raw_path", "boolean", "`false`", "Record the path as well; never the query"),
        ],
    },
    Section {
        title: "[log]",
        about: "Standard error. `SALLYGATE_LOG` overrides the level.",
        keys: &[
            key("format", "`human`, `json`", "`human`", "Form of the lines"),
            key(
                "level",
                "`error`, `warn`, `info`, `debug`, `trace`",
                "`info`",
                "The least that is said",
            ),
        ],
    },
    Section {
        title: "[dns]",
        about: "The proxy resolves names itself and connects to what it has checked.",
        keys: &[key("servers", "array of addresses", "the system's", "Name servers")],
    },
    Section {
        title: "[targets.ID]",
        about: "A deployment of a definition.",
        keys: &[
            key("definition", "string", "required", "Such as `generic::http-api`"),
            key("enabled", "boolean", "`true`", "Whether bindings may use it"),
            key("config", "table", "`{}`", "What the definition's `targetConfigSchema` asks for"),
            key("base_url", "URL", "the definition's", "The same as `config.baseUrl`"),
            key(
                "inject",
                "`none`, `bearer`, `basic`, `header`, `query`, `cookie`, `path`, `placeholder`, `client_certificate`",
                "the definition's",
                "How the credential is presented",
            ),
            key("header", "string", "", "With `header`: which one"),
            key(
                "template",
                "string",
                "`{value}`",
                "With `header`: what it says, with `{value}` once",
            ),
            key("parameter", "string", "", "With `query`: which parameter"),
            key("cookie", "string", "", "With `cookie`: its name"),
            key(
                "placeholder_in",
                "array of strings",
                "`[\"header\", \"query\", \"body\"]`",
                "With `placeholder`: where the sandbox may put it",
            ),
            key(
                "placeholder",
                "string",
                "what the definition says",
                "What sandboxes are given for the credential looks like this, such as \
                 `ghp_{alphanumeric:36}`",
            ),
            key(
                "placeholder_env",
                "array of strings",
                "what the definition says",
                "The variables that they find it in",
            ),
            key(
                "username",
                "string",
                "",
                "With `basic`: the user name, the value being the password; without it the value is `user:password`",
            ),
            key(
                "clear_headers",
                "array of strings",
                "`[]`",
                "Further headers that the provider takes credentials from: removed from what the sandbox sent",
            ),
            key("clear_query", "array of strings", "`[]`", "The same for query parameters"),
            key("clear_cookies", "array of strings", "`[]`", "The same for cookies"),
            key(
                "ca_file",
                "path",
                "the system's roots",
                "PEM: what the target's certificate must chain to",
            ),
            key(
                "addresses",
                "array of addresses",
                "`[]`",
                "Connect here instead of resolving the name",
            ),
            key(
                "allow_ranges",
                "array of address ranges",
                "`[]`",
                "Ranges that are refused otherwise",
            ),
            key("allow_cleartext", "boolean", "`false`", "Send the credential over http"),
        ],
    },
    Section {
        title: "[connections.ID]",
        about: "Where a credential comes from: exactly one of the three values, or `credentials` with one of the three for each.",
        keys: &[
            key("target", "string", "required", "Id of the target"),
            key(
                "method",
                "string",
                "the definition's only one",
                "How the connection was made: an id of the definition's `connectionMethods`",
            ),
            key(
                "status",
                "`active`, `error`, `revoked`",
                "`active`",
                "Bindings use active connections only",
            ),
            key(
                "config",
                "table",
                "`{}`",
                "What the definition's `connectionConfigSchema` asks for",
            ),
            key(
                "credentials",
                "table of tables",
                "",
                "Secrets of the method's form by name, each with one of the values below",
            ),
            key("value_env", "string", "", "An environment variable of the proxy"),
            key("value_file", "path", "", "A file"),
            key(
                "value_command",
                "array of strings",
                "",
                "A program and its arguments; what it prints",
            ),
            key("refresh_seconds", "1 to 31536000", "never", "Take it again this often"),
        ],
    },
];

pub(crate) const POLICY: &[Section] = &[
    Section {
        title: "(top)",
        about: "A request that nothing allows is refused.",
        keys: &[
            key("version", "1", "`1`", "Version of this format"),
            key("profiles", "table", "", "What may be done, by id"),
            key("sandboxes", "array of tables", "`[]`", "Who may do it"),
        ],
    },
    Section {
        title: "[profiles.ID]",
        about: "A named set of bindings and routes.",
        keys: &[
            key(
                "unmatched",
                "`deny`, `passthrough`",
                "`deny`",
                "What becomes of hosts that no route names; hosts with a credential are never passed through",
            ),
            key("bindings", "array of tables", "`[]`", "Routes with a credential"),
            key("routes", "array of tables", "`[]`", "Routes without one"),
            key(
                "limits",
                "table",
                "",
                "Limits of every route that lets requests out and says nothing itself",
            ),
            key(
                "assertions",
                "array of tables",
                "`[]`",
                "What must be true of every request, proved when the profile is compiled",
            ),
        ],
    },
    Section {
        title: "[[profiles.ID.assertions]]",
        about: "What must be true of every request. One of the three; a request that breaks it is shown.",
        keys: &[
            key(
                "never",
                "table",
                "-",
                "Requests of which none may be allowed: hosts, paths, methods and conditions, as in a route; every port where none is listed",
            ),
            key("only", "table", "-", "Requests outside of which nothing may be allowed"),
            key(
                "credential_only",
                "table",
                "-",
                "`credential` (a connection) and the only `hosts` that it may go to",
            ),
        ],
    },
    Section {
        title: "[[profiles.ID.bindings]]",
        about: "A profile's use of a connection.",
        keys: &[
            key("id", "string", "required", "First part of its routes' ids"),
            key("connection", "string", "required", "Id of the connection in `config.toml`"),
            key(
                "kind",
                "`agent`, `git`, `connector`",
                "the definition's",
                "Must be the definition's",
            ),
            key("config", "table", "`{}`", "What the definition's `bindingConfigSchema` asks for"),
            key(
                "routes",
                "array of strings or tables",
                "all of the definition's",
                "Routes of the definition by name, or routes as below without `hosts`, `scheme`, `ports` and `target`, but with `origin` where the definition has several; their paths are relative to the origin's base URL",
            ),
        ],
    },
    Section {
        title: "[[profiles.ID.routes]]",
        about: "A set of requests and what is done with them. A deny beats every allow; of several \
                allows the most specific one decides.",
        keys: &[
            key("name", "string", "required", "Last part of its id"),
            key(
                "action",
                "`allow`, `deny`, `tunnel`",
                "`allow`",
                "`tunnel`: CONNECT without interception; the requests are not seen",
            ),
            key("scheme", "`https`, `http`", "`https`", ""),
            key("hosts", "array of strings", "required", "Names, or `*.` and a name"),
            key("ports", "array of integers", "the scheme's", ""),
            key(
                "paths",
                "array of patterns",
                "`[\"/**\"]`",
                "`{name}` is one segment, `**` at the end the rest",
            ),
            key("path_prefixes", "array of paths", "", "Short for `prefix/**`"),
            key("methods", "array of strings", "any", ""),
            key(
                "headers",
                "array of conditions",
                "`[]`",
                "`{ name, equals }` or `{ name, present }`",
            ),
            key("query", "array of conditions", "`[]`", "The same for query parameters"),
            key("allow_encoded_slash", "boolean", "`false`", "Match paths with `%2F`"),
            key("allow_empty_segments", "boolean", "`false`", "Match paths with `//`"),
            key(
                "git",
                "table",
                "",
                "`{ service, refs, update }`: `upload-pack` or `receive-pack`; references of a fetch or a push; `create`, `update`, `delete`, `force` of a push",
            ),
            key(
                "graphql",
                "table",
                "",
                "`{ operation, fields }`: `query`, `mutation`, `subscription`; top-level fields",
            ),
            key(
                "mcp",
                "table",
                "",
                "`{ method, tools }`: JSON-RPC methods and names of tools, with an optional final `*`",
            ),
            key("grpc", "table", "", "`{ service, method }`: names of a gRPC call"),
            key("reason", "string", "", "What a deny says"),
            key(
                "target",
                "string",
                "",
                "Take CAs, addresses and ranges of this target; never its credential",
            ),
            key("requests_per_minute", "integer", "no limit", "`requests` with 60 seconds"),
            key("requests", "table", "no limit", "`{ count, seconds }`, for each sandbox"),
            key("concurrency", "integer", "no limit", "Requests of a sandbox at one time"),
            key(
                "bytes_out",
                "table",
                "no limit",
                "`{ bytes, seconds }`: body bytes that a sandbox sends",
            ),
            key(
                "uses",
                "table",
                "no limit",
                "`{ limit, per }`: a budget of requests, `per = \"total\"` or `\"day\"`",
            ),
            key(
                "spend",
                "table",
                "no limit",
                "`{ limit_micros, per, assumed_micros, prices = [{ pointer, micros }] }`: a budget \
                 of what answers say that they cost",
            ),
            key("max_request_bytes", "integer", "no limit", "Size of the body"),
            key("connect_ms", "integer", "`5000`", "To connect, with TLS"),
            key("first_byte_ms", "integer", "no limit", "From the request to the answer"),
            key("idle_ms", "integer", "`300000`", "Silence within an exchange"),
            key(
                "approval_ms",
                "integer",
                "answer at once",
                "How long a held request waits for its decision",
            ),
        ],
    },
    Section {
        title: "[[sandboxes]]",
        about: "Who may use a profile: by token, by address, or by both.",
        keys: &[
            key("id", "string", "required", ""),
            key("profile", "string", "required", "Id of the profile"),
            key("token_sha256", "64 hex digits", "", "SHA-256 of the token"),
            key("sources", "array of address ranges", "`[]`", "Where it connects from"),
            key("expires", "RFC 3339", "never", "When it ends"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The keys that the readers know in the table `title`: an unknown one makes them list the rest.
    fn accepted(title: &str, file: &str) -> BTreeSet<String> {
        let dir = tempfile::tempdir().unwrap();
        let table = title.replace("ID", "x");
        let header = if table == "(top)" { String::new() } else { format!("{table}\n") };
        let text = format!("{header}zzzzzzzzzzzz = 1\n");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("config.toml", "");
        write("policy.toml", "");
        write(file, &text);
        let found = crate::configuration::load(&dir.path().join("config.toml")).unwrap_err();
        let help = found.iter().find(|d| d.code == "UNKNOWN_FIELD").unwrap().help.clone().unwrap();
        let known = help.strip_prefix("known fields: ").unwrap();
        known.split(", ").map(str::to_owned).collect()
    }

    #[test]
    fn the_reference_names_exactly_the_keys_that_are_read() {
        let files = [("config.toml", CONFIGURATION), ("policy.toml", POLICY)];
        for (file, sections) in files {
            for section in sections {
                let named: BTreeSet<String> =
                    section.keys.iter().map(|key| key.name.to_owned()).collect();
                assert_eq!(named, accepted(section.title, file), "{file} {}", section.title);
            }
        }
    }
}
