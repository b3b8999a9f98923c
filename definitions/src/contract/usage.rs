//! Where the answers of a provider of models say what ran.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is counted of the answers of routes that say `usage = true`, and of the routes that a
/// binding adds. Pointers are JSON pointers into an answer, or into the data of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsageRule {
    /// Methods of the requests that a model runs for. An upgrade is one whatever its method.
    pub methods: Vec<String>,
    /// Where the name of the model stands; the first that the answer has counts.
    pub model: Vec<String>,
    /// Each kind at most once.
    pub tokens: Vec<TokenRule>,
}

/// Where one number of tokens stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRule {
    pub kind: TokenKind,
    /// Places of the same number, of which the largest counts: a stream says it again.
    pub pointers: Vec<String>,
    /// The kind whose number these tokens are a part of.
    #[serde(default)]
    pub within: Option<TokenKind>,
}

/// What tokens were.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum TokenKind {
    Input,
    /// Read from the provider's cache.
    CachedInput,
    /// Written to the provider's cache.
    CacheWrite,
    Output,
}

/// An item of the target's `prices`: what a million tokens cost, in millionths of a currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelPrice {
    /// A name, or the beginning of names and a `*`.
    pub model: String,
    pub input_micros_per_million: u64,
    /// Left out: that of `input`.
    #[serde(default)]
    pub cached_input_micros_per_million: Option<u64>,
    /// Left out: that of `input`.
    #[serde(default)]
    pub cache_write_micros_per_million: Option<u64>,
    pub output_micros_per_million: u64,
}

/// What a binding may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub limit_micros: u64,
    pub per: BudgetPeriod,
    /// What a request counts until its answer has told what it cost.
    pub assumed_micros: u64,
}

/// When a budget begins anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BudgetPeriod {
    #[default]
    Total,
    Day,
}
