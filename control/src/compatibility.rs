//! What goes with what: versions of the control service, proxies, plans, stores and providers'
//! APIs. `/fabric-compatibilityz` and `COMPATIBILITY_MATRIX.md` are made from this.

use std::fmt::Write;

use sallygate_compiler::plan;
use sallygate_definitions::Registry;
use serde_json::{Value as Json, json};

use crate::contracts::{self, SCHEMA_VERSION};
use crate::store::schema_version;

/// The version of this service.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The oldest PostgreSQL that the store's tests were run on.
pub const POSTGRES_VERSION_LEAST: u32 = 15;

/// The versions of a proxy that this service can be used with, as a requirement of semantic
/// versioning: before 1.0 the minor version is the one that breaks.
pub fn proxies() -> String {
    let mut parts = VERSION.split('.').map(|part| part.parse::<u64>().unwrap_or_default());
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if major == 0 {
        return format!(">=0.{minor}.0, <0.{}.0", minor + 1);
    }
    format!(">={major}.0.0, <{}.0.0", major + 1)
}

/// `/fabric-compatibilityz`.
pub fn document(database: &str) -> Json {
    let one = |version: i64| json!({ "min": version, "max": version });
    json!({
        "schemaVersion": SCHEMA_VERSION,
        "service": crate::SERVICE,
        "version": VERSION,
        "versions": {
            "control": VERSION,
            "planSchema": plan::SCHEMA_VERSION,
            "storeSchema": schema_version(),
            "contractSchema": SCHEMA_VERSION,
            "database": database,
        },
        "compatible": {
            "proxy": proxies(),
            "planSchema": one(i64::from(plan::SCHEMA_VERSION)),
            // An older store is brought to this version when the service starts.
            "storeSchema": { "min": 0, "max": schema_version() },
            "postgres": { "min": POSTGRES_VERSION_LEAST },
        },
    })
}

/// `COMPATIBILITY_MATRIX.md`.
pub fn page(registry: &Registry) -> String {
    let mut text = format!(
        "<!-- Made by `sallygate internal reference`; do not edit. -->\n\n# Compatibility\n\n\
         A running service says the same at `/fabric-compatibilityz`.\n\n\
         | control | proxy | plan schema | store schema | stores |\n\
         | --- | --- | --- | --- | --- |\n\
         | {VERSION} | {} | {} | {} (older ones are migrated) | SQLite (built in), \
         PostgreSQL {POSTGRES_VERSION_LEAST} or newer |\n\n\
         ## Providers\n\n\
         | definition | surface | versioning | stability |\n| --- | --- | --- | --- |\n",
        proxies(),
        plan::SCHEMA_VERSION,
        schema_version(),
    );
    for entry in contracts::of_definitions(registry) {
        let it = &entry.contract;
        let stability = serde_json::to_value(it.stability).unwrap_or_default();
        let cells =
            [&entry.source, &it.surface, &it.versioning].map(|cell| cell.replace('|', "\\|"));
        let stability = stability.as_str().unwrap_or_default();
        // Writing to a string cannot fail.
        let [definition, surface, versioning] = cells;
        let _ = writeln!(text, "| `{definition}` | `{surface}` | {versioning} | {stability} |");
    }
    text
}
