//! `policy.toml`: what is allowed, to which sandboxes.

use std::collections::BTreeMap;

use ipnet::IpNet;
use sallygate_definitions::Kind;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::assertion::{AssertionSource, read_assertion};
use super::config::parsed;
use super::limits::limits;
use super::profile::{Binding, BoundRoute, Profile, RouteName};
use super::route::{Within, read_route};
use super::target::nothing;
use super::token::MoreTokens;
use super::{Places, bad_id, is_id, required_id};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::plan::Unmatched;
use crate::read::{Document, Table, TextOrTable};
use crate::source::SourceFile;

/// The content of `policy.toml`.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub profiles: BTreeMap<String, Profile>,
    pub sandboxes: Vec<Sandbox>,
}

/// A sandbox, and where it is written.
#[derive(Clone, Debug)]
pub struct Sandbox {
    pub spec: SandboxSpec,
    pub place: Place,
}

/// A sandbox that the policy file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxSpec {
    pub id: String,
    pub profile: String,
    pub token_sha256: Option<[u8; 32]>,
    pub sources: Vec<IpNet>,
    pub expires_unix: Option<i64>,
    /// What a control service takes besides; a file says nothing of it.
    pub more: MoreTokens,
}

/// Reads `policy.toml`; every problem in it is added to `diagnostics`.
pub fn read_policy(file: &SourceFile, diagnostics: &mut Diagnostics) -> Policy {
    let document = match Document::parse(file) {
        Ok(document) => document,
        Err(found) => {
            diagnostics.append(found);
            return Policy::default();
        }
    };
    let mut root = document.root();
    root.integer("version", 1..=1);
    let mut policy = Policy::default();
    if let Some(mut profiles) = root.table("profiles") {
        for (id, table) in profiles.entries() {
            let problems = table.problems();
            if !is_id(&id.value) {
                let place = table.place();
                table.report(Diagnostic::error("BAD_VALUE", bad_id(&id.value)).at(place));
            }
            let mut profile = profile(table);
            profile.id.clone_from(&id.value);
            profile.broken = document.problems() != problems;
            policy.profiles.insert(id.value, profile);
        }
    }
    policy.sandboxes.extend(root.tables("sandboxes").into_iter().filter_map(sandbox));
    root.finish();
    diagnostics.append(document.into_diagnostics());
    policy
}

fn profile(mut table: Table<'_>) -> Profile {
    let choices = [("deny", Unmatched::Deny), ("passthrough", Unmatched::Passthrough)];
    let unmatched = table.choice("unmatched", &choices).unwrap_or_default();
    let bindings = table.tables("bindings").into_iter().filter_map(binding).collect();
    let routes = table.tables("routes").into_iter();
    let routes = routes.filter_map(|route| read_route(route, Within::Profile)).collect();
    let mut assertions: Vec<AssertionSource> =
        table.tables("assertions").into_iter().filter_map(read_assertion).collect();
    // The order in which they are written changes nothing.
    assertions.sort_by_cached_key(|a| serde_json::to_string(&a.assertion).unwrap_or_default());
    let limits = table.table("limits").map(|mut inner| {
        let read = limits(&mut inner);
        inner.finish();
        read
    });
    table.finish();
    Profile {
        id: String::new(),
        version: 1,
        unmatched,
        bindings,
        routes,
        assertions,
        limits: limits.unwrap_or_default(),
        image: None,
        broken: false,
    }
}

fn binding(mut table: Table<'_>) -> Option<Binding> {
    let id = required_id(&mut table, "id");
    if id.as_deref() == Some(crate::compile::POLICY_BINDING) {
        let message = "the id `policy` is that of the profile's own routes";
        table.refuse("id", "BAD_VALUE", message);
    }
    let connection = table.required_string("connection");
    let kinds = [Kind::Agent, Kind::Connector, Kind::Git].map(|kind| (kind.as_str(), kind));
    let kind = table.choice("kind", &kinds);
    let config = table.value("config");
    let mut places = Places::default();
    places.add("", table.place());
    for key in ["connection", "kind", "routes"] {
        places.add(key, table.place_of(key));
    }
    let config = match config {
        Some(config) => {
            places.add_below("bindingConfig", config.places);
            config.value
        }
        None => nothing(),
    };
    let routes = bound_routes(&mut table);
    table.finish();
    let connection = connection?.value;
    Some(Binding { id: id?, connection, kind, config, routes, places })
}

fn bound_routes(table: &mut Table<'_>) -> Option<Vec<BoundRoute>> {
    let items = table.strings_or_tables("routes")?;
    let mut routes = Vec::with_capacity(items.len());
    for item in items {
        match item {
            TextOrTable::Text(name) => {
                let place = Some(table.place_at("routes", name.span));
                routes.push(BoundRoute::Named(RouteName { name: name.value, place }));
            }
            TextOrTable::Table(inner) => {
                let route = read_route(inner, Within::Binding);
                routes.extend(route.map(|route| BoundRoute::Inline(Box::new(route))));
            }
        }
    }
    Some(routes)
}

fn sandbox(mut table: Table<'_>) -> Option<Sandbox> {
    let place = table.place();
    let id = required_id(&mut table, "id");
    let profile = table.required_string("profile").map(|profile| profile.value);
    let token = table.string("token_sha256");
    let token_sha256 = token.as_ref().and_then(|text| digest(&text.value));
    if token.is_some() && token_sha256.is_none() {
        // The value is not repeated: people put the token itself here by mistake.
        let message = "`token_sha256` is 64 hex digits: the SHA-256 of the token";
        table.refuse("token_sha256", "BAD_VALUE", message);
    }
    let sources = parsed(&mut table, "sources", "an address range, such as `127.0.0.1/32`");
    let expires = table.string_or_datetime("expires");
    let expires_unix = expires.as_ref().and_then(|text| {
        OffsetDateTime::parse(&text.value, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
    });
    if expires.is_some() && expires_unix.is_none() {
        let message = "`expires` is a date and time such as `2027-01-01T00:00:00Z`";
        table.refuse("expires", "BAD_VALUE", message);
    }
    table.finish();
    let more = MoreTokens::default();
    let spec =
        SandboxSpec { id: id?, profile: profile?, token_sha256, sources, expires_unix, more };
    Some(Sandbox { spec, place })
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let mut digest = [0; 32];
    for (out, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *out = crate::canonical::hex(high)? << 4 | crate::canonical::hex(low)?;
    }
    Some(digest)
}
