//! How much, how often and how long.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one sandbox may do through one route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    #[serde(default)]
    pub max_request_bytes: Option<u64>,
    /// A spelling of `requests` with 60 seconds.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// Requests per time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Rate>,
    /// Body bytes that the sandbox sends, per time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<Rate>,
    /// Requests in total, or in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<Uses>,
    /// What the answers say that they cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend: Option<Spend>,
}

/// So many in so many seconds; both are at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    pub count: u64,
    pub seconds: u32,
}

/// When a budget begins anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Period {
    /// Never.
    #[default]
    Total,
    /// At midnight, UTC.
    Day,
}

/// A number of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Uses {
    pub limit: u64,
    #[serde(default)]
    pub per: Period,
}

/// An amount, in millionths of whatever the prices are in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spend {
    pub limit_micros: u64,
    #[serde(default)]
    pub per: Period,
    /// What a request counts until its answer has said what it cost, and for good if none does:
    /// who breaks off before the usage is told has not got it for nothing.
    pub assumed_micros: u64,
    /// Prices of this route's own. Empty: those of its `usage`, and one budget for all routes of
    /// the binding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<Price>,
}

/// Where an answer says a number of units, and what one of them costs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Price {
    /// JSON pointer (RFC 6901) into the answer, or into an event's data.
    pub pointer: String,
    pub micros: u64,
}

/// Prices that one budget may have.
const PRICES_MAX: usize = 16;
/// Segments that a pointer may have.
const POINTER_SEGMENTS_MAX: usize = 16;
/// Bytes that a segment of a pointer may have.
const POINTER_SEGMENT_BYTES_MAX: usize = 64;
/// A price or an assumption above this is a mistake, and keeps sums within an integer.
pub(super) const MICROS_MAX: u64 = 1_000_000_000_000;

impl Limits {
    /// Requests per time, whichever way it is written.
    pub fn request_rate(&self) -> Option<Rate> {
        let minute = |count: u32| Rate { count: count.into(), seconds: 60 };
        self.requests.or(self.requests_per_minute.map(minute))
    }

    /// These limits, and where they say nothing those of `default`.
    #[must_use]
    pub fn or(self, default: &Limits) -> Limits {
        // Both are spellings of one limit: a route that has one keeps it alone.
        let has_rate = self.request_rate().is_some();
        let (per_minute, requests) = match has_rate {
            true => (self.requests_per_minute, self.requests),
            false => (default.requests_per_minute, default.requests),
        };
        Limits {
            max_request_bytes: self.max_request_bytes.or(default.max_request_bytes),
            requests_per_minute: per_minute,
            concurrency: self.concurrency.or(default.concurrency),
            requests,
            bytes_out: self.bytes_out.or(default.bytes_out),
            uses: self.uses.or(default.uses),
            spend: self.spend.or_else(|| default.spend.clone()),
        }
    }

    /// What cannot be meant, in words.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.requests.is_some() && self.requests_per_minute.is_some() {
            problems.push("`requests` and `requests_per_minute` say the same: write one".into());
        }
        let zeros = [
            self.requests_per_minute == Some(0),
            self.concurrency == Some(0),
            self.requests.is_some_and(|rate| rate.count == 0),
            self.bytes_out.is_some_and(|rate| rate.count == 0),
            self.uses.is_some_and(|uses| uses.limit == 0),
            self.spend.as_ref().is_some_and(|spend| spend.limit_micros == 0),
        ];
        if zeros.contains(&true) {
            problems.push("a limit of 0 allows nothing: write a deny".into());
        }
        let rates = [self.requests, self.bytes_out];
        if rates.into_iter().flatten().any(|rate| !(1..=86_400).contains(&rate.seconds)) {
            problems.push("`seconds` of a rate is within 1 and 86400".into());
        }
        if let Some(spend) = &self.spend {
            spend.problems(&mut problems);
        }
        problems
    }
}

impl Spend {
    fn problems(&self, problems: &mut Vec<String>) {
        if self.prices.len() > PRICES_MAX {
            problems.push(format!("`prices` lists at most {PRICES_MAX} prices"));
        }
        if !(1..=MICROS_MAX).contains(&self.assumed_micros) {
            problems.push(format!("`assumed_micros` is within 1 and {MICROS_MAX}"));
        }
        for price in &self.prices {
            if price.micros > MICROS_MAX {
                problems.push(format!("`micros` is at most {MICROS_MAX}"));
            }
            if price.segments().is_none() {
                problems
                    .push(format!("`{}` is not a JSON pointer that can be read", price.pointer));
            }
        }
    }
}

impl Price {
    /// The segments of the pointer, unescaped; `None` when it is not one, or too long.
    pub fn segments(&self) -> Option<Vec<String>> {
        segments(&self.pointer)
    }
}

/// The segments of a JSON pointer, unescaped; `None` when it is not one, or too long.
pub fn segments(pointer: &str) -> Option<Vec<String>> {
    let segments: Option<Vec<String>> =
        pointer.strip_prefix('/')?.split('/').map(unescaped).collect();
    segments.filter(|segments| segments.len() <= POINTER_SEGMENTS_MAX)
}

/// RFC 6901 §4: `~1` is a slash, `~0` a tilde, and a tilde means nothing else.
fn unescaped(segment: &str) -> Option<String> {
    if segment.is_empty() || segment.len() > POINTER_SEGMENT_BYTES_MAX {
        return None;
    }
    let mut rest = segment.split('~');
    let mut out = rest.next().unwrap_or_default().to_owned();
    for part in rest {
        let (sign, tail) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(tail), _) => ('~', tail),
            (None, Some(tail)) => ('/', tail),
            (None, None) => return None,
        };
        out.push(sign);
        out.push_str(tail);
    }
    Some(out)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timeouts {
    pub connect_ms: u64,
    pub first_byte_ms: Option<u64>,
    pub idle_ms: u64,
    /// How long a held request waits for its decision before it is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_ms: Option<u64>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect_ms: 5_000, first_byte_ms: None, idle_ms: 300_000, approval_ms: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_read_as_rfc_6901_says() {
        let segments = |pointer: &str| Price { pointer: pointer.into(), micros: 1 }.segments();
        assert_eq!(segments("/usage/total_tokens").unwrap(), ["usage", "total_tokens"]);
        assert_eq!(segments("/a~1b/m~0n").unwrap(), ["a/b", "m~n"]);
        for bad in ["", "usage", "/", "//a", "/a~2", "/a~", &format!("/{}", "x".repeat(65))] {
            assert_eq!(segments(bad), None, "{bad}");
        }
        assert_eq!(segments(&"/a".repeat(17)), None);
    }
}
