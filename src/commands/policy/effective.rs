//! `sallygate policy effective`: the routes of a profile, each with where it comes from.

use std::collections::BTreeMap;

use sallygate_compiler::diagnostic::Place as Origin;
use sallygate_compiler::plan::{Plan, Route};
use sallygate_compiler::snapshot::{BoundRoute, Policy};
use serde_json::{Value, json};

use crate::configuration::{self, Configuration};
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::print;
use crate::print::Format;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Profile [default: all]
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// One row of the table.
struct Row {
    action: &'static str,
    methods: String,
    pattern: String,
    credential: String,
    route: String,
    origin: String,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let loaded = configuration::load(&options.place.config())?;
    let wanted = |name: &str| options.profile.as_ref().is_none_or(|profile| profile == name);
    let plans: Vec<_> = loaded.input.plans.iter().filter(|(name, _)| wanted(name)).collect();
    if let (Some(profile), true) = (&options.profile, plans.is_empty()) {
        return Err(Failure::NotFound(format!("the policy has no profile `{profile}`")));
    }
    let profiles = plans.iter().map(|(name, plan)| (name.as_str(), rows(&loaded, name, plan)));
    match options.output {
        Format::Json => print::data(json!(
            profiles.map(|(name, rows)| (name, json_rows(&rows))).collect::<BTreeMap<_, _>>()
        )),
        Format::Human => profiles.for_each(|(name, rows)| print_rows(name, &rows)),
    }
    Ok(())
}

fn rows(loaded: &Configuration, profile: &str, plan: &Plan) -> Vec<Row> {
    let origins = origins(&loaded.policy, profile);
    let row = |route: &Route| {
        let origin = origins.get(&route.route_id);
        Row {
            action: route.action.as_str(),
            methods: route.r#match.methods.as_ref().map_or_else(|| "*".into(), |m| m.join(",")),
            pattern: pattern(route),
            credential: credential(plan, route),
            route: route.route_id.clone(),
            origin: origin.map_or_else(|| "plan file".into(), |o| format!("{}:{}", o.file, o.line)),
        }
    };
    plan.egress_routes.iter().map(row).collect()
}

/// Where each route of a profile is written, by its id.
fn origins(policy: &Policy, profile: &str) -> BTreeMap<String, Origin> {
    let Some(profile) = policy.profiles.get(profile) else { return BTreeMap::new() };
    let free = profile.routes.iter();
    let free = free.map(|route| (format!("policy/{}", route.name), route.place()));
    let mut origins: BTreeMap<String, Origin> =
        free.filter_map(|(id, place)| Some((id, place?.clone()))).collect();
    for binding in &profile.bindings {
        for route in binding.routes.iter().flatten() {
            let (name, place) = match route {
                BoundRoute::Named(named) => (&named.name, named.place.as_ref()),
                BoundRoute::Inline(source) => (&source.name, source.place()),
            };
            origins.extend(place.map(|p| (format!("{}/{name}", binding.id), p.clone())));
        }
    }
    origins
}

fn pattern(route: &Route) -> String {
    let wanted = &route.r#match;
    let hosts = wanted.hosts.join(",");
    let ports = wanted.ports.as_ref().map_or_else(String::new, |ports| {
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        format!(":{}", ports.join(","))
    });
    format!("{}://{hosts}{ports}{}", wanted.scheme.as_str(), wanted.paths.join(","))
}

/// How the credential is put on, and of which connection it is.
fn credential(plan: &Plan, route: &Route) -> String {
    let note = |injection: &sallygate_compiler::plan::Injection| {
        let connection = plan.credentials.get(injection.credential);
        let connection = connection.map_or("?", |reference| reference.connection_id.as_str());
        format!("{} {connection}", injection.kind.as_str())
    };
    let notes: Vec<String> = route.inject.iter().map(note).collect();
    if notes.is_empty() { "-".to_owned() } else { notes.join(", ") }
}

fn json_rows(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "action": row.action, "methods": row.methods, "pattern": row.pattern,
            "credential": row.credential, "route": row.route, "origin": row.origin,
        })
    };
    rows.iter().map(row).collect()
}

fn print_rows(profile: &str, rows: &[Row]) {
    print::data(format_args!("profile {profile}"));
    let width =
        |of: fn(&Row) -> &str| rows.iter().map(|r| of(r).chars().count()).max().unwrap_or(0);
    let methods = width(|row| &row.methods);
    let pattern = width(|row| &row.pattern);
    let credential = width(|row| &row.credential);
    let route = width(|row| &row.route);
    for row in rows {
        print::data(format_args!(
            "  {:<6}  {:<methods$}  {:<pattern$}  {:<credential$}  {:<route$}  {}",
            row.action, row.methods, row.pattern, row.credential, row.route, row.origin
        ));
    }
}
