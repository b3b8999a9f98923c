//! The definition contract: every field that a definition file may have, as types.
//!
//! The types are the format: the loader reads what they say and nothing else, and the JSON Schema
//! for editors is made from them. What needs more than one field to judge is in `check`.

pub mod binding;
pub mod form;
pub mod injection;
pub mod mcp;
pub mod method;
pub mod oauth;
pub mod placeholder;
pub mod resource;
pub mod route;
pub mod rule;
pub mod runtime;
pub mod surface;
pub mod usage;
pub mod webhook;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::ConfigSchema;

use binding::CompileBinding;
use form::Form;
use injection::Presentation;
use mcp::{McpConfig, McpServer};
use method::{ConnectionMethod, CredentialResolver};
use oauth::{AuthorizationCode, ClientCredentials, DeviceAuthorization, RedirectHandler};
use placeholder::PlaceholderRule;
use resource::ResourceDefinition;
use route::{RouteTemplate, Templated};
use rule::Rule;
use surface::Contract;
use usage::UsageRule;
use webhook::{WebhookEvent, WebhookHandler, WebhookSource};

/// What an integration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Agent,
    Git,
    Connector,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Git => "git",
            Self::Connector => "connector",
        }
    }
}

/// What an integration looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Definition {
    /// Stable across the variants of a provider; `a-z`, `0-9` and `-`.
    pub family_id: String,
    /// Tells the variants of a family apart; `a-z`, `0-9` and `-`.
    pub variant_id: String,
    pub kind: Kind,
    pub display_name: String,
    pub description: String,
    pub logo_key: String,

    /// What an operator says about a deployment of the provider.
    #[serde(default)]
    pub target_config_schema: ConfigSchema,
    /// Which secrets belong to a deployment, such as the key of an app.
    #[serde(default)]
    pub target_secret_schema: ConfigSchema,
    /// What is said when a connection is bound to a profile.
    #[serde(default)]
    pub binding_config_schema: ConfigSchema,
    /// What is known about one connection, without its secrets.
    #[serde(default)]
    pub connection_config_schema: ConfigSchema,
    #[serde(default)]
    pub target_config_form: Form,
    #[serde(default)]
    pub target_secret_form: Form,
    #[serde(default)]
    pub binding_config_form: Form,
    #[serde(default)]
    pub connection_config_form: Form,

    /// How a connection to the provider is made.
    #[serde(default)]
    pub connection_methods: Vec<ConnectionMethod>,
    /// Who turns a credential reference into a value.
    #[serde(default)]
    pub credential_resolvers: Vec<CredentialResolver>,
    #[serde(default)]
    pub oauth2_authorization_code: Option<AuthorizationCode>,
    #[serde(default)]
    pub oauth2_client_credentials: Option<ClientCredentials>,
    #[serde(default)]
    pub redirect_handler: Option<RedirectHandler>,
    #[serde(default)]
    pub device_authorization: Option<DeviceAuthorization>,
    /// What sandboxes are given for secrets, for clients that insist on one.
    #[serde(default)]
    pub placeholders: Vec<PlaceholderRule>,

    /// Where answers say which model ran and how many tokens it took.
    #[serde(default)]
    pub usage: Option<UsageRule>,

    #[serde(default)]
    pub webhook_source: Option<WebhookSource>,
    #[serde(default)]
    pub webhook_handler: Option<WebhookHandler>,
    #[serde(default)]
    pub supported_webhook_events: Vec<WebhookEvent>,

    /// What a connection gives access to, for pickers and for checking bindings.
    #[serde(default)]
    pub resource_definitions: Vec<ResourceDefinition>,
    /// The MCP servers that a binding exposes.
    #[serde(default)]
    pub mcp: Vec<Templated<McpServer>>,
    /// Where an agent keeps its map of MCP servers.
    #[serde(default)]
    pub mcp_config: Option<McpConfig>,
    /// Rules about more than one field or object.
    #[serde(default)]
    pub validate_binding_write_context: Vec<Rule>,
    /// What a binding becomes.
    #[serde(default)]
    pub compile_binding: CompileBinding,
    /// The surfaces of the provider that are used.
    #[serde(default)]
    pub contracts: Vec<Contract>,
}

impl Definition {
    /// `family::variant`
    pub fn key(&self) -> String {
        format!("{}::{}", self.family_id, self.variant_id)
    }

    pub fn method(&self, id: &str) -> Option<&ConnectionMethod> {
        self.connection_methods.iter().find(|method| method.id() == id)
    }

    /// The default of the target's base URL.
    pub fn default_base_url(&self) -> Option<&str> {
        self.target_config_schema.properties.get("baseUrl")?.default.as_ref()?.as_str()
    }

    /// Routes that every binding gets, whatever its configuration is.
    pub fn fixed_routes(&self) -> impl Iterator<Item = &RouteTemplate> {
        let fixed = |route: &&RouteTemplate| {
            let is_text = |path: &String| !path.contains("{{");
            route.when.is_empty() && route.for_each.is_none() && route.paths.iter().all(is_text)
        };
        self.compile_binding.routes.iter().filter(fixed)
    }

    /// How the credential is presented when there is one way for all methods.
    pub fn fixed_presentation(&self) -> Option<&Presentation> {
        let rule = self.compile_binding.origins.first()?.inject.first()?;
        rule.connection_methods.is_empty().then_some(&rule.present)
    }
}
