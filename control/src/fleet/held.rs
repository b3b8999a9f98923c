//! The bodies in which proxies and control speak of held requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::approval::{Approval, Standing, State};

/// A request that a proxy holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "HeldRequest")]
pub struct AskBody {
    pub sandbox_id: String,
    /// The route that holds it.
    pub route: String,
    pub method: String,
    /// With its query.
    pub url: String,
    /// Of everything that the decision is about, 32 bytes in base64url.
    #[schemars(length(max = 64))]
    pub request_sha256: String,
}

/// How a held request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "HeldStanding")]
pub enum Ruling {
    /// It may pass until its time is over.
    Granted,
    /// It may pass once, when a claim says so too.
    GrantedOnce,
    Pending,
    Denied,
    /// Too many others of the sandbox wait.
    TooMany,
}

/// What stands about a held request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "HeldRuling")]
pub struct Ruled {
    pub ruling: Ruling,
    /// Absent where nothing was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<String>,
}

impl From<Standing> for Ruled {
    fn from(stands: Standing) -> Self {
        let (ruling, approval_id) = match stands {
            Standing::Granted { id, once: true } => (Ruling::GrantedOnce, Some(id)),
            Standing::Granted { id, once: false } => (Ruling::Granted, Some(id)),
            Standing::Pending(id) => (Ruling::Pending, Some(id)),
            Standing::Denied(id) => (Ruling::Denied, Some(id)),
            Standing::TooMany => (Ruling::TooMany, None),
        };
        Self { ruling, approval_id }
    }
}

impl Ruled {
    /// What was said; `None`: it means nothing.
    pub fn to_standing(&self) -> Option<Standing> {
        let id = self.approval_id.clone();
        Some(match self.ruling {
            Ruling::Granted => Standing::Granted { id: id?, once: false },
            Ruling::GrantedOnce => Standing::Granted { id: id?, once: true },
            Ruling::Pending => Standing::Pending(id?),
            Ruling::Denied => Standing::Denied(id?),
            Ruling::TooMany => Standing::TooMany,
        })
    }
}

/// A yes for one request, which has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ClaimApproval")]
pub struct ClaimBody {
    pub sandbox_id: String,
    pub approval_id: String,
}

/// Whether the request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClaimedApproval")]
pub struct Claimed {
    /// `false`: another request has it, or its time is over.
    pub claimed: bool,
}

/// An approval, as the sandbox that asked for it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ApprovalOfSandbox")]
pub struct ApprovalTold {
    pub id: String,
    pub sandbox_id: String,
    pub route: String,
    pub method: String,
    pub url: String,
    pub state: State,
    /// Seconds since 1970.
    pub asked_unix: i64,
    pub expires_unix: i64,
}

impl From<Approval> for ApprovalTold {
    fn from(it: Approval) -> Self {
        Self {
            id: it.id,
            sandbox_id: it.sandbox,
            route: it.route,
            method: it.method,
            url: it.url,
            state: it.state,
            asked_unix: it.asked_ms.div_euclid(1000),
            expires_unix: it.expires_ms.div_euclid(1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_goes_over_the_wire_and_comes_back() {
        let id = || "apr_1".to_owned();
        for stands in [
            Standing::Granted { id: id(), once: true },
            Standing::Granted { id: id(), once: false },
            Standing::Pending(id()),
            Standing::Denied(id()),
            Standing::TooMany,
        ] {
            assert_eq!(Ruled::from(stands.clone()).to_standing(), Some(stands));
        }
        for ruling in [Ruling::Granted, Ruling::GrantedOnce, Ruling::Pending, Ruling::Denied] {
            assert_eq!(Ruled { ruling, approval_id: None }.to_standing(), None, "{ruling:?}");
        }
    }
}
