//! How a connection is made, and who resolves its credential.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One way to connect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[serde(deny_unknown_fields)]
pub enum ConnectionMethod {
    /// Secrets are typed into a form.
    Form {
        id: String,
        label: String,
        /// The key of a custom resolver; without one, the default resolver.
        #[serde(default)]
        resolver: Option<String>,
        fields: Vec<SecretField>,
    },
    Oauth2AuthorizationCode {
        id: String,
        label: String,
    },
    Oauth2ClientCredentials {
        id: String,
        label: String,
    },
    /// A redirect that is not OAuth, such as the installation of an app.
    Redirect {
        id: String,
        label: String,
        #[serde(default)]
        resolver: Option<String>,
    },
    DeviceAuthorization {
        id: String,
        label: String,
    },
}

impl ConnectionMethod {
    pub fn id(&self) -> &str {
        match self {
            Self::Form { id, .. }
            | Self::Oauth2AuthorizationCode { id, .. }
            | Self::Oauth2ClientCredentials { id, .. }
            | Self::Redirect { id, .. }
            | Self::DeviceAuthorization { id, .. } => id,
        }
    }

    /// The secret that is presented when nobody says which: the first that a form asks for, or
    /// the token that the method ends with.
    pub fn secret(&self) -> (SecretType, Option<&str>) {
        match self {
            Self::Form { fields, .. } => match fields.first() {
                Some(field) => (field.secret_type, field.slot_key.as_deref()),
                None => (SecretType::ApiKey, None),
            },
            Self::Oauth2AuthorizationCode { .. }
            | Self::Oauth2ClientCredentials { .. }
            | Self::Redirect { .. }
            | Self::DeviceAuthorization { .. } => (SecretType::Oauth2AccessToken, None),
        }
    }

    /// The key of the custom resolver of this method.
    pub fn resolver(&self) -> Option<&str> {
        match self {
            Self::Form { resolver, .. } | Self::Redirect { resolver, .. } => resolver.as_deref(),
            Self::Oauth2AuthorizationCode { .. }
            | Self::Oauth2ClientCredentials { .. }
            | Self::DeviceAuthorization { .. } => None,
        }
    }
}

/// A secret that a form asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretField {
    pub name: String,
    pub label: String,
    #[serde(default)]
    pub input_type: InputType,
    pub secret_type: SecretType,
    /// Tells secrets of one type apart.
    #[serde(default)]
    pub slot_key: Option<String>,
    #[serde(default)]
    pub optional: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum InputType {
    #[default]
    Password,
    Text,
    Textarea,
}

/// What a secret is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SecretType {
    ApiKey,
    Username,
    Password,
    #[serde(rename = "oauth2_access_token")]
    Oauth2AccessToken,
    #[serde(rename = "oauth2_client_secret")]
    Oauth2ClientSecret,
    #[serde(rename = "oauth2_refresh_token")]
    Oauth2RefreshToken,
    GithubAppInstallationToken,
    AwsSession,
    WebhookSecret,
    ClientCertificate,
}

impl SecretType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Username => "username",
            Self::Password => "password",
            Self::Oauth2AccessToken => "oauth2_access_token",
            Self::Oauth2ClientSecret => "oauth2_client_secret",
            Self::Oauth2RefreshToken => "oauth2_refresh_token",
            Self::GithubAppInstallationToken => "github_app_installation_token",
            Self::AwsSession => "aws_session",
            Self::WebhookSecret => "webhook_secret",
            Self::ClientCertificate => "client_certificate",
        }
    }
}

/// Who turns a credential reference into a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
pub enum CredentialResolver {
    /// The stored secret, or the managed OAuth 2.0 token.
    Default {},
    /// Code that the control service has under this key.
    Custom { key: String },
}
