//! What is told, line by line: JSON with a `type`. What is said of a profile or sandbox is all that
//! there is to say of it, so that a line that comes twice does no harm.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use sallygate_compiler::plan::Plan;
use sallygate_definitions::placeholder::PlaceholderKey;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

/// A line of the feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Message {
    /// What follows up to `commit` is everything.
    Reset,
    /// Let go of the credentials of these connections, at once.
    Forget {
        connections: Vec<String>,
    },
    /// These sandboxes have ended: at once, ahead of what follows.
    End {
        sandboxes: Vec<String>,
    },
    Profile(ProfileTold),
    Sandbox(SandboxTold),
    /// Put all of it in force, and acknowledge. `resume` goes on from here, later.
    Commit {
        resume: String,
        /// What the placeholders of the sandboxes are made with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        placeholder_key: Option<PlaceholderKey>,
    },
    /// Somebody is there.
    Beat,
    /// The proxy that listens is let in no more: it forgets everything.
    Revoked,
}

/// What the sandboxes of a profile run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileTold {
    pub id: String,
    /// `None`: no version is in force.
    pub plan: Option<PlanTold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryTold>,
    /// By connection of these plans: the key of its target.
    pub targets: BTreeMap<String, String>,
}

/// A plan that some of the sandboxes run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryTold {
    pub percent: u8,
    pub plan: PlanTold,
}

/// A sandbox that may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxTold {
    pub id: String,
    pub profile: String,
    pub token_sha256: [u8; 32],
    /// The token before, while both are good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<FormerTold>,
    /// Whose signed tokens are good as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerTold>,
    pub sources: Vec<IpNet>,
    /// Seconds since 1970.
    pub expires_unix: Option<i64>,
}

/// A token that was replaced, and until when it is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormerTold {
    pub token_sha256: [u8; 32],
    pub until_unix: i64,
}

/// Whose signatures are believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignerTold {
    /// Ed25519.
    pub public_key: [u8; 32],
    /// Of the tokens that are good.
    pub generation: i64,
    /// Until when those of the generation before are good as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_until_unix: Option<i64>,
}

/// A plan that was read, and therefore checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanTold(pub Arc<Plan>);

impl Serialize for PlanTold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PlanTold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Json::deserialize(deserializer)?;
        let plan = Plan::from_json("the plan that was told", value.to_string().as_bytes());
        plan.map(|plan| Self(Arc::new(plan))).map_err(|_| D::Error::custom("a malformed plan"))
    }
}

/// Messages as they are sent: one line each.
pub fn lines(messages: &[Message]) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::new();
    for message in messages {
        serde_json::to_writer(&mut bytes, message)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}
