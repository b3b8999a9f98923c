//! The provider's keys, asked for again when a token names one that is not known: providers rotate
//! them without telling anybody.

use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use tokio::sync::Mutex;

use crate::oauth::OAuthError;
use crate::outbound::Outbound;

/// Made-up key names must not make us ask the provider all the time.
const ASK_AGAIN_MS: i64 = 10_000;
/// Keys that were taken back go at the latest after this.
const LIFE_MS: i64 = 3_600_000;

/// The keys of one provider.
#[derive(Debug, Default)]
pub struct Keys {
    known: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    asked_ms: i64,
    set: JwkSet,
}

impl Keys {
    /// The set that has the key, or the newest one when none has it.
    pub async fn with(
        &self,
        key_id: Option<&str>,
        (url, outbound): (&str, &Outbound),
        now_ms: i64,
    ) -> Result<JwkSet, OAuthError> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known {
            let age = now_ms - known.asked_ms;
            let has = key_id.is_none_or(|id| known.set.find(id).is_some());
            if (0..LIFE_MS).contains(&age) && (has || age < ASK_AGAIN_MS) {
                return Ok(known.set.clone());
            }
        }
        let set = fetch(url, outbound).await?;
        *known = Some(Known { asked_ms: now_ms, set: set.clone() });
        Ok(set)
    }
}

async fn fetch(url: &str, outbound: &Outbound) -> Result<JwkSet, OAuthError> {
    let answer = outbound.get(url, None).await?;
    if !answer.status.is_success() {
        return Err(OAuthError::Unavailable { retry_after: answer.retry_after });
    }
    let mut set: JwkSet = serde_json::from_slice(&answer.body)
        .map_err(|_| OAuthError::Malformed("not a set of keys"))?;
    // A symmetric key in a public place is nobody's secret.
    set.keys.retain(|key| !matches!(key.algorithm, AlgorithmParameters::OctetKey(_)));
    Ok(set)
}
