//! `sallygate policy effective`: the routes of a profile in order of precedence, each with where it
//! comes from.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sallygate_compiler::diagnostic::Place;
use sallygate_compiler::pattern::{HostPattern, PathPattern, Segment};
use sallygate_compiler::plan::{Action, Plan, Route};
use sallygate_compiler::snapshot::{Binding, BoundRoute};
use serde_json::{Value, json};

use crate::configuration::{self, Configuration};
use crate::exit::{Failure, Outcome};
use crate::place;
use crate::print;
use crate::print::Format;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: place::Place,
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
    /// Of the binding that gives it; empty for a route of the profile's own.
    definition: String,
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
    let origins = origins(loaded, profile);
    let row = |route: &Route| {
        let origin = origins.get(&route.route_id).or_else(|| origins.get(&route.binding_id));
        let written = origin.and_then(|origin| origin.place.as_ref());
        Row {
            action: route.action.as_str(),
            methods: route.r#match.methods.as_ref().map_or_else(|| "*".into(), |m| m.join(",")),
            pattern: pattern(route),
            credential: credential(plan, route),
            route: route.route_id.clone(),
            definition: origin.map_or_else(String::new, |origin| origin.definition.clone()),
            origin: written
                .map_or_else(|| "plan file".into(), |p| format!("{}:{}", p.file, p.line)),
        }
    };
    let mut routes: Vec<&Route> = plan.egress_routes.iter().collect();
    routes.sort_by_cached_key(|route| precedence(route));
    routes.into_iter().map(row).collect()
}

/// Lower comes first, where both match: the order of the table, for the best of a route's patterns.
/// Hosts that have nothing in common stand in order of their names.
type Precedence = (
    bool,
    Option<(u8, Reverse<usize>, String)>,
    bool,
    Vec<(u8, String)>,
    bool,
    Reverse<usize>,
    String,
);

fn precedence(route: &Route) -> Precedence {
    let wanted = &route.r#match;
    let host = |text: &String| match HostPattern::parse(text).unwrap_or(HostPattern::Any) {
        HostPattern::Exact(name) => (0, Reverse(0), name),
        HostPattern::Single(suffix) => (1, Reverse(suffix.len()), suffix),
        HostPattern::Multi(suffix) => (2, Reverse(suffix.len()), suffix),
        HostPattern::Any => (3, Reverse(0), String::new()),
    };
    let path = |text: &String| {
        let pattern = PathPattern::parse(text).ok()?;
        let segment = |segment: &Segment| match segment {
            Segment::Literal(text) => (1, text.clone()),
            Segment::Parameter(_) => (2, String::new()),
        };
        let end = (if pattern.has_tail() { 3 } else { 0 }, String::new());
        Some(pattern.segments().iter().map(segment).chain([end]).collect::<Vec<_>>())
    };
    let block = usize::from(wanted.block.is_some());
    (
        route.action != Action::Deny,
        wanted.hosts.iter().map(host).min(),
        wanted.ports.is_none(),
        wanted.paths.iter().filter_map(path).min().unwrap_or_default(),
        wanted.methods.is_none(),
        Reverse(wanted.headers.len() + wanted.query.len() + block),
        route.route_id.clone(),
    )
}

/// Where a route comes from.
#[derive(Default)]
struct Origin {
    definition: String,
    place: Option<Place>,
}

/// Where each route of a profile is written, by its id; by a binding's id where that is written
/// alone, and gives all that its definition has.
fn origins(loaded: &Configuration, profile: &str) -> BTreeMap<String, Origin> {
    let Some(profile) = loaded.policy.profiles.get(profile) else { return BTreeMap::new() };
    let free = profile.routes.iter().map(|route| {
        let place = route.place().cloned();
        (format!("policy/{}", route.name), Origin { definition: String::new(), place })
    });
    let mut origins: BTreeMap<String, Origin> = free.collect();
    for binding in &profile.bindings {
        let definition = definition(loaded, binding);
        let at = |place: Option<&Place>| Origin {
            definition: definition.clone(),
            place: place.or_else(|| binding.place()).cloned(),
        };
        origins.insert(binding.id.clone(), at(None));
        for route in binding.routes.iter().flatten() {
            let (name, place) = match route {
                BoundRoute::Named(named) => (&named.name, named.place.as_ref()),
                BoundRoute::Inline(source) => (&source.name, source.place()),
            };
            origins.insert(format!("{}/{name}", binding.id), at(place));
        }
    }
    origins
}

fn definition(loaded: &Configuration, binding: &Binding) -> String {
    let connection = loaded.targets.connections.get(&binding.connection);
    let target = connection.and_then(|c| loaded.targets.targets.get(&c.target));
    target.map_or_else(String::new, |target| target.definition.clone())
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
            "credential": row.credential, "route": row.route, "definition": row.definition,
            "origin": row.origin,
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
    let definition = width(|row| &row.definition);
    for row in rows {
        print::data(format_args!(
            "  {:<6}  {:<methods$}  {:<pattern$}  {:<credential$}  {:<route$}  {:<definition$}  {}",
            row.action,
            row.methods,
            row.pattern,
            row.credential,
            row.route,
            row.definition,
            row.origin
        ));
    }
}
