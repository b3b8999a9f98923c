//! How a credential is presented.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::method::SecretType;

/// Which secret is presented how, for some methods of connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InjectionRule {
    /// Ids of connection methods; empty: all.
    #[serde(default)]
    pub connection_methods: Vec<String>,
    pub secret_type: SecretType,
    #[serde(default)]
    pub slot_key: Option<String>,
    /// What narrows the secret to the binding, for its resolver. Texts are templates; one that is
    /// a reference and nothing else is the value itself, also a list.
    #[serde(default)]
    pub scope: Map<String, Value>,
    pub present: Presentation,
}

/// A secret of the same connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretReference {
    pub secret_type: SecretType,
    #[serde(default)]
    pub slot_key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
#[serde(deny_unknown_fields)]
pub enum Presentation {
    /// `Authorization: Bearer …`
    Bearer {},
    /// `Authorization: Basic …`, with a fixed user name, with one that is a secret too, or with a
    /// value that holds both.
    Basic {
        #[serde(default)]
        username: Option<String>,
        #[serde(default)]
        username_from: Option<SecretReference>,
    },
    /// A header of its own, with a template such as `token {value}`.
    Header {
        header: String,
        #[serde(default)]
        template: Option<String>,
    },
    Query {
        parameter: String,
    },
    Cookie {
        name: String,
    },
    /// Replaces the segment `{credential}` of the path.
    Path {},
    /// Replaces the sandbox's placeholder wherever it stands.
    Placeholder {
        /// Where it may stand; empty: anywhere.
        #[serde(default, rename = "in")]
        places: Vec<PlaceholderPlace>,
    },
    /// Signature Version 4 of AWS, made anew for every request.
    AwsSigv4 {
        service: String,
        region: String,
        /// What becomes of URLs that are signed already: `refuse` (the default), or `resign`.
        #[serde(default)]
        presigned: Option<String>,
    },
    ClientCertificate {},
}

/// A part of a request that a placeholder may stand in.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PlaceholderPlace {
    /// Header fields, cookies and basic authentication among them.
    Header,
    Query,
    Body,
}

/// Names of what is removed from a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Clear {
    /// Lower-case.
    #[serde(default)]
    pub headers: Vec<String>,
    #[serde(default)]
    pub query: Vec<String>,
    #[serde(default)]
    pub cookies: Vec<String>,
}
