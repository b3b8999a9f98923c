//! What answers tell about the models that ran, and what their tokens cost.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::{MICROS_MAX, segments};

/// Where the answers of a route say which model ran, and how many tokens that took.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Usage {
    /// The connection that tokens are counted for.
    pub connection_id: String,
    /// Methods of the requests that a model runs for. An upgrade is one whatever its method.
    pub methods: Vec<String>,
    /// JSON pointers to the name of the model; the first that the answer has counts.
    pub model: Vec<String>,
    /// Each kind at most once.
    pub tokens: Vec<Tokens>,
    /// What tokens cost; empty: nobody has said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<ModelPrice>,
}

/// Where one number of tokens stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tokens {
    pub kind: TokenKind,
    /// JSON pointers to the same number, of which the largest counts: a stream says it again.
    pub pointers: Vec<String>,
    /// The kind whose number these tokens are a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<TokenKind>,
}

/// What tokens were.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
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

/// What a million tokens of a model cost, in millionths of whatever the budget is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelPrice {
    /// A name, or the beginning of names and a `*`.
    pub model: String,
    pub input_micros_per_million: u64,
    pub cached_input_micros_per_million: u64,
    pub cache_write_micros_per_million: u64,
    pub output_micros_per_million: u64,
}

/// Models that one table may price.
const MODELS_MAX: usize = 200;
/// Bytes that the name of a model may have.
pub const MODEL_BYTES_MAX: usize = 128;
/// Pointers to one value.
const POINTERS_MAX: usize = 8;
/// Methods that may be listed.
const METHODS_MAX: usize = 8;

impl TokenKind {
    /// In the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Input, Self::CachedInput, Self::CacheWrite, Self::Output];

    /// As metrics call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CachedInput => "cached_input",
            Self::CacheWrite => "cache_write",
            Self::Output => "output",
        }
    }
}

impl ModelPrice {
    pub fn of(&self, kind: TokenKind) -> u64 {
        match kind {
            TokenKind::Input => self.input_micros_per_million,
            TokenKind::CachedInput => self.cached_input_micros_per_million,
            TokenKind::CacheWrite => self.cache_write_micros_per_million,
            TokenKind::Output => self.output_micros_per_million,
        }
    }
}

impl Usage {
    /// What cannot be meant, in words.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.methods.is_empty() || self.methods.len() > METHODS_MAX {
            problems.push(format!("`usage.methods` lists 1 to {METHODS_MAX} methods"));
        }
        pointers("model", &self.model, &mut problems);
        let kinds: BTreeSet<TokenKind> = self.tokens.iter().map(|tokens| tokens.kind).collect();
        if kinds.is_empty() || kinds.len() != self.tokens.len() {
            problems.push("`usage.tokens` has at least one kind, and each once".into());
        }
        for tokens in &self.tokens {
            pointers(tokens.kind.as_str(), &tokens.pointers, &mut problems);
            // One level only: what is taken out of a number must not have been reduced itself.
            let nested = |of: TokenKind| {
                of == tokens.kind
                    || !self.tokens.iter().any(|outer| outer.kind == of && outer.within.is_none())
            };
            if tokens.within.is_some_and(nested) {
                let kind = tokens.kind.as_str();
                problems.push(format!("`usage.tokens`: `{kind}` is within no other kind"));
            }
        }
        self.price_problems(&mut problems);
        problems
    }

    fn price_problems(&self, problems: &mut Vec<String>) {
        if self.prices.len() > MODELS_MAX {
            problems.push(format!("`prices` lists at most {MODELS_MAX} models"));
        }
        let mut names = BTreeSet::new();
        for price in &self.prices {
            let name = price.model.strip_suffix('*').unwrap_or(&price.model);
            if price.model.is_empty() || price.model.len() > MODEL_BYTES_MAX || name.contains('*') {
                problems.push(format!(
                    "`{}` is not a model of at most {MODEL_BYTES_MAX} bytes, with a `*` only at its end",
                    price.model.escape_debug()
                ));
            }
            if !names.insert(price.model.as_str()) {
                problems.push(format!("`{}` has two prices", price.model.escape_debug()));
            }
            if TokenKind::ALL.into_iter().any(|kind| price.of(kind) > MICROS_MAX) {
                problems.push(format!("a price of a million tokens is at most {MICROS_MAX}"));
            }
        }
    }
}

fn pointers(name: &str, list: &[String], problems: &mut Vec<String>) {
    if list.is_empty() || list.len() > POINTERS_MAX {
        problems.push(format!("`usage`: `{name}` has 1 to {POINTERS_MAX} pointers"));
    }
    for pointer in list.iter().filter(|pointer| segments(pointer).is_none()) {
        problems.push(format!("`{pointer}` is not a JSON pointer that can be read"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn usage(change: impl FnOnce(&mut Value)) -> Result<Usage, serde_json::Error> {
        let price = json!({"model": "m", "inputMicrosPerMillion": 1, "cachedInputMicrosPerMillion": 1,
            "cacheWriteMicrosPerMillion": 1, "outputMicrosPerMillion": 1});
        let mut value = json!({"connectionId": "c", "methods": ["POST"], "model": ["/model"],
            "tokens": [{"kind": "input", "pointers": ["/usage/in"]},
                {"kind": "cachedInput", "pointers": ["/usage/cached"], "within": "input"}],
            "prices": [price]});
        change(&mut value);
        serde_json::from_value(value)
    }

    #[test]
    fn what_can_be_meant_has_no_problems_and_what_cannot_has_one() {
        assert_eq!(usage(|_| {}).unwrap().problems(), [""; 0]);
        assert_eq!(usage(|u| u["prices"] = json!([])).unwrap().problems(), [""; 0]);
        assert_eq!(usage(|u| u["prices"][0]["model"] = json!("*")).unwrap().problems(), [""; 0]);
        let bad: [(&str, Value); 14] = [
            ("/methods", json!([])),
            ("/methods", json!(vec!["M"; 9])),
            ("/model", json!([])),
            ("/model", json!(["model"])),
            ("/model", json!(vec!["/m"; 9])),
            ("/tokens", json!([])),
            ("/tokens/1/kind", json!("input")),
            ("/tokens/1/within", json!("cachedInput")),
            ("/tokens/1/within", json!("output")),
            ("/tokens/0/within", json!("cachedInput")),
            ("/tokens/0/pointers", json!(["/a/~2"])),
            ("/prices/0/model", json!("")),
            ("/prices/0/model", json!("a*b")),
            ("/prices/0/outputMicrosPerMillion", json!(MICROS_MAX + 1)),
        ];
        for (place, value) in bad {
            let usage = usage(|u| {
                let (outer, name) = place.rsplit_once('/').unwrap();
                u.pointer_mut(outer).unwrap()[name] = value.clone();
            });
            assert!(!usage.unwrap().problems().is_empty(), "{place} {value}");
        }
        let twice = |u: &mut Value| {
            let first = u["prices"][0].clone();
            u["prices"].as_array_mut().unwrap().push(first);
        };
        assert!(!usage(twice).unwrap().problems().is_empty());
        let many: Vec<Value> = (0..201)
            .map(|at| {
                let mut price = serde_json::to_value(usage(|_| {}).unwrap().prices).unwrap();
                price[0]["model"] = json!(format!("m{at}"));
                price[0].clone()
            })
            .collect();
        assert!(!usage(|u| u["prices"] = json!(many)).unwrap().problems().is_empty());
    }

    #[test]
    fn a_field_that_nobody_reads_is_refused() {
        for place in ["", "/tokens/0", "/prices/0"] {
            let more = usage(|u| {
                let object = u.pointer_mut(place).unwrap().as_object_mut().unwrap();
                object.insert("currency".into(), json!("EUR"));
            });
            assert!(more.is_err(), "{place}");
        }
    }
}
