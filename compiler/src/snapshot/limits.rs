//! The limits of a route as an author writes them.

use crate::diagnostic::Diagnostic;
use crate::plan::{Limits, Period, Price, Rate, Spend, Uses};
use crate::read::Table;

use super::route::INTEGER_MAX;

/// Reads what a route says about how much and how often.
pub(super) fn limits(table: &mut Table<'_>) -> Limits {
    let small = |table: &mut Table<'_>, key: &str| {
        u32::try_from(table.integer(key, 1..=i64::from(u32::MAX))?.value).ok()
    };
    let bytes = table.integer("max_request_bytes", 0..=INTEGER_MAX);
    let limits = Limits {
        max_request_bytes: bytes.and_then(|bytes| u64::try_from(bytes.value).ok()),
        requests_per_minute: small(table, "requests_per_minute"),
        concurrency: small(table, "concurrency"),
        requests: table.table("requests").and_then(|inner| rate(inner, "count")),
        bytes_out: table.table("bytes_out").and_then(|inner| rate(inner, "bytes")),
        uses: table.table("uses").and_then(uses),
        spend: table.table("spend").and_then(spend),
    };
    for problem in limits.problems() {
        table.report(Diagnostic::error("BAD_VALUE", problem).at(table.place()));
    }
    limits
}

fn rate(mut table: Table<'_>, key: &str) -> Option<Rate> {
    let count = required(&mut table, key);
    let seconds = required(&mut table, "seconds");
    table.finish();
    Some(Rate { count: count?, seconds: u32::try_from(seconds?).ok()? })
}

fn uses(mut table: Table<'_>) -> Option<Uses> {
    let (limit, per) = (required(&mut table, "limit"), period(&mut table));
    table.finish();
    Some(Uses { limit: limit?, per })
}

fn spend(mut table: Table<'_>) -> Option<Spend> {
    let limit_micros = required(&mut table, "limit_micros");
    let assumed_micros = required(&mut table, "assumed_micros");
    let per = period(&mut table);
    let mut prices = Vec::new();
    for mut inner in table.tables("prices") {
        let pointer = inner.required_string("pointer").map(|pointer| pointer.value);
        let micros = required(&mut inner, "micros");
        inner.finish();
        prices.extend(pointer.zip(micros).map(|(pointer, micros)| Price { pointer, micros }));
    }
    if prices.is_empty() {
        table.missing("prices");
    }
    table.finish();
    Some(Spend { limit_micros: limit_micros?, per, assumed_micros: assumed_micros?, prices })
}

fn period(table: &mut Table<'_>) -> Period {
    let choices = [("total", Period::Total), ("day", Period::Day)];
    table.choice("per", &choices).unwrap_or_default()
}

/// A positive integer that must be there.
fn required(table: &mut Table<'_>, key: &str) -> Option<u64> {
    if !table.contains(key) {
        table.missing(key);
    }
    u64::try_from(table.integer(key, 1..=INTEGER_MAX)?.value).ok()
}
