//! A route as an author writes it, in a binding or on its own.

use serde::{Deserialize, Serialize};

use crate::canonical::Scheme;
use crate::diagnostic::{Diagnostic, Place};
use crate::pattern::{HostPattern, PathPattern};
use crate::plan::{Action, Condition, Limits, Match, Timeouts};
use crate::read::Table;
use crate::table::is_token;

use super::block::{BLOCKS, read_block};
use super::limits::limits;
use super::{Places, required_id};

/// The largest integer that every JSON reader keeps exactly.
pub(super) const INTEGER_MAX: i64 = (1 << 53) - 1;
const TIMEOUT_MS_MAX: i64 = 86_400_000;
const APPROVAL_MS_MAX: i64 = 600_000;

/// A route as its author wrote it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteSource {
    pub name: String,
    #[serde(default)]
    pub action: Action,
    /// Shown to the sandbox by a `deny`.
    #[serde(default)]
    pub reason: Option<String>,
    /// Without hosts in a binding: they are those of the origin.
    pub r#match: Match,
    /// The target whose upstream settings to take: for a route of the profile's own.
    #[serde(default)]
    pub target: Option<String>,
    /// The definition's origin that it is at: for a route of a binding, where there are several.
    #[serde(default)]
    pub origin: Option<String>,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub timeouts: Timeouts,
    #[serde(skip)]
    pub places: Places,
    /// Something was wrong with it, and was reported: it stands here to be known by its name.
    #[serde(skip)]
    pub broken: bool,
}

impl RouteSource {
    /// Where it is written, when it was read from a file.
    pub fn place(&self) -> Option<&Place> {
        self.places.find("")
    }
}

/// Where a route is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    Binding,
    Profile,
}

/// Reads one route; `None` when it has no usable name, which was reported.
pub(super) fn read_route(mut table: Table<'_>, within: Within) -> Option<RouteSource> {
    let (place, problems) = (table.place(), table.problems());
    let name = required_id(&mut table, "name");
    let action = action(&mut table, within);
    let (target, origin) = match within {
        Within::Binding => {
            let origin = table.string("origin").map(|origin| origin.value);
            (forbidden(&mut table, "target"), origin)
        }
        Within::Profile => (table.string("target").map(|target| target.value), None),
    };
    let read = read_patterns(&mut table, within);
    let wanted = Match { block: read_block(&mut table, action), ..read.to_match() };
    let mut places = Places::default();
    places.add("", place);
    places.add("target", table.place_of("target"));
    places.add("origin", table.place_of("origin"));
    let mut route = RouteSource {
        name: name.clone().unwrap_or_default(),
        action,
        reason: table.string("reason").map(|reason| reason.value),
        r#match: Match {
            allow_encoded_slash: flag(&mut table, "allow_encoded_slash"),
            allow_empty_segments: flag(&mut table, "allow_empty_segments"),
            ..wanted
        },
        target,
        origin,
        limits: limits(&mut table),
        timeouts: timeouts(&mut table),
        places,
        broken: false,
    };
    check(&route, &read.paths, &table);
    let document = table.finish();
    route.broken = document.problems() != problems;
    name.map(|_| route)
}

/// What a match says of the request line and the header.
struct Patterns {
    scheme: Scheme,
    hosts: Vec<HostPattern>,
    ports: Option<Vec<u16>>,
    paths: Vec<PathPattern>,
    methods: Option<Vec<String>>,
    headers: Vec<Condition>,
    query: Vec<Condition>,
}

fn read_patterns(table: &mut Table<'_>, within: Within) -> Patterns {
    let (scheme, hosts, ports) = origin(table, within);
    let headers = conditions(table, "headers");
    for condition in headers.iter().filter(|condition| !is_token(&condition.name)) {
        let message = format!("`{}` is not a header name", condition.name);
        table.refuse("headers", "BAD_VALUE", message);
    }
    Patterns {
        scheme,
        hosts,
        ports,
        paths: paths(table),
        methods: methods(table),
        headers: headers.into_iter().map(lower_name).collect(),
        query: conditions(table, "query"),
    }
}

impl Patterns {
    fn to_match(&self) -> Match {
        Match {
            scheme: self.scheme,
            hosts: self.hosts.iter().map(ToString::to_string).collect(),
            ports: self.ports.clone(),
            paths: self.paths.iter().map(ToString::to_string).collect(),
            methods: self.methods.clone(),
            headers: self.headers.clone(),
            query: self.query.clone(),
            ..Match::default()
        }
    }
}

/// The set of an assertion: a match as in a profile's route, with nothing else.
pub(super) fn read_match(mut table: Table<'_>, action: Action) -> Match {
    let read = read_patterns(&mut table, Within::Profile);
    let wanted = Match { block: read_block(&mut table, action), ..read.to_match() };
    table.finish();
    wanted
}

fn action(table: &mut Table<'_>, within: Within) -> Action {
    let choices = [
        ("allow", Action::Allow),
        ("deny", Action::Deny),
        ("tunnel", Action::Tunnel),
        ("hold", Action::Hold),
    ];
    let action = table.choice("action", &choices).unwrap_or_default();
    match (action, within) {
        (Action::Tunnel, Within::Binding) => {
            let message = "a tunnel carries no credential: write it under the profile's `routes`";
            table.refuse("action", "BAD_VALUE", message);
        }
        (Action::Allow | Action::Deny | Action::Tunnel | Action::Hold, _) => {}
    }
    action
}

/// Scheme, hosts and ports; in a binding they are the target's.
fn origin(table: &mut Table<'_>, within: Within) -> (Scheme, Vec<HostPattern>, Option<Vec<u16>>) {
    if within == Within::Binding {
        for key in ["scheme", "hosts", "ports"] {
            forbidden(table, key);
        }
        return (Scheme::default(), Vec::new(), None);
    }
    let schemes = [("https", Scheme::Https), ("http", Scheme::Http)];
    let scheme = table.choice("scheme", &schemes).unwrap_or_default();
    let mut hosts = Vec::new();
    match table.strings("hosts") {
        None if !table.contains("hosts") => table.missing("hosts"),
        None => {}
        Some(texts) if texts.is_empty() => {
            table.refuse("hosts", "BAD_VALUE", "`hosts` lists at least one host");
        }
        Some(texts) => {
            for text in texts {
                match HostPattern::parse(&text.value) {
                    Ok(host) => hosts.push(host),
                    Err(error) => {
                        let message = format!("host `{}`: {error}", text.value);
                        table.refuse_at("hosts", text.span, "HOST_NOT_CANONICAL", message);
                    }
                }
            }
        }
    }
    let ports = table.integers("ports", 1..=65535).map(|ports| {
        let ports = ports.into_iter().filter_map(|port| u16::try_from(port.value).ok());
        sorted(ports.collect::<Vec<u16>>())
    });
    if ports.as_ref().is_some_and(Vec::is_empty) {
        table.refuse("ports", "BAD_VALUE", "`ports` lists at least one port");
    }
    (scheme, sorted(hosts), ports)
}

fn forbidden(table: &mut Table<'_>, key: &str) -> Option<String> {
    table.skip(key);
    if table.contains(key) {
        let message = format!("`{key}` of a binding's route comes from its target");
        table.refuse(key, "BAD_VALUE", message);
    }
    None
}

/// `paths` and `path_prefixes`; everything when neither is given.
fn paths(table: &mut Table<'_>) -> Vec<PathPattern> {
    let mut paths = Vec::new();
    let given = table.contains("paths") || table.contains("path_prefixes");
    for key in ["paths", "path_prefixes"] {
        let texts = table.strings(key);
        if texts.as_ref().is_some_and(Vec::is_empty) {
            table.refuse(key, "BAD_VALUE", format!("`{key}` lists at least one path"));
        }
        for text in texts.unwrap_or_default() {
            let pattern = match key {
                "paths" => PathPattern::parse(&text.value),
                _ => PathPattern::parse(&format!("{}/**", text.value.trim_end_matches('/'))),
            };
            match pattern {
                Ok(pattern) => paths.push(pattern),
                Err(error) => {
                    let message = format!("path `{}`: {error}", text.value);
                    table.refuse_at(key, text.span, "PATH_NOT_CANONICAL", message);
                }
            }
        }
    }
    if !given {
        paths.extend(PathPattern::parse("/**"));
    }
    paths.sort_by_cached_key(ToString::to_string);
    paths.dedup();
    paths
}

fn methods(table: &mut Table<'_>) -> Option<Vec<String>> {
    let listed = table.strings("methods")?;
    if listed.is_empty() {
        let message = "`methods` lists at least one method; leave it out for any";
        table.refuse("methods", "EMPTY_METHODS", message);
    }
    for method in &listed {
        if !is_token(&method.value) {
            let message = format!("`{}` is not a method", method.value);
            table.refuse_at("methods", method.span.clone(), "BAD_VALUE", message);
        }
        let upper = method.value.to_ascii_uppercase();
        if upper != method.value && STANDARD_METHODS.contains(&upper.as_str()) {
            let message = format!("method `{}`: methods are case-sensitive", method.value);
            let place = table.place_at("methods", method.span.clone());
            let diagnostic = Diagnostic::error("BAD_VALUE", message).at(place);
            table.report(diagnostic.help(format!("did you mean `{upper}`?")));
        }
    }
    Some(sorted(listed.into_iter().map(|method| method.value).collect()))
}

const STANDARD_METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

fn conditions(table: &mut Table<'_>, key: &str) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for mut inner in table.tables(key) {
        let name = inner.required_string("name").map(|name| name.value);
        let equals = inner.string("equals").map(|text| text.value);
        let present = inner.boolean("present").map(|flag| flag.value);
        if inner.contains("equals") == inner.contains("present") {
            let message = "a condition has either `equals` or `present`";
            inner.report(Diagnostic::error("BAD_VALUE", message).at(inner.place()));
        }
        inner.finish();
        conditions.extend(name.map(|name| Condition { name, equals, present }));
    }
    sorted(conditions)
}

fn lower_name(condition: Condition) -> Condition {
    Condition { name: condition.name.to_ascii_lowercase(), ..condition }
}

fn flag(table: &mut Table<'_>, key: &str) -> bool {
    table.boolean(key).is_some_and(|flag| flag.value)
}

fn timeouts(table: &mut Table<'_>) -> Timeouts {
    let mut timeout = |key| {
        let value = table.integer(key, 1..=TIMEOUT_MS_MAX)?;
        u64::try_from(value.value).ok()
    };
    let default = Timeouts::default();
    Timeouts {
        connect_ms: timeout("connect_ms").unwrap_or(default.connect_ms),
        first_byte_ms: timeout("first_byte_ms"),
        idle_ms: timeout("idle_ms").unwrap_or(default.idle_ms),
        approval_ms: table
            .integer("approval_ms", 1..=APPROVAL_MS_MAX)
            .and_then(|ms| u64::try_from(ms.value).ok()),
    }
}

/// What depends on more than one field.
fn check(route: &RouteSource, paths: &[PathPattern], table: &Table<'_>) {
    if route.action != Action::Hold && table.contains("approval_ms") {
        table.refuse("approval_ms", "BAD_VALUE", "`approval_ms` is about a route that holds");
    }
    if route.action == Action::Tunnel {
        let narrow = ["paths", "path_prefixes", "methods", "headers", "query", "scheme"];
        let narrow = narrow.into_iter().chain(BLOCKS);
        for key in narrow.filter(|key| table.contains(key)) {
            let message =
                format!("`{key}` means nothing in a tunnel: what goes through is not seen");
            table.refuse(key, "BAD_VALUE", message);
        }
    }
    if route.action == Action::Deny {
        return;
    }
    for path in paths {
        if path.needs_encoded_slash() && !route.r#match.allow_encoded_slash {
            let message = format!("path `{path}` never matches without `allow_encoded_slash`");
            table.refuse("paths", "BAD_VALUE", message);
        }
        if path.needs_empty_segment() && !route.r#match.allow_empty_segments {
            let message = format!("path `{path}` never matches without `allow_empty_segments`");
            table.refuse("paths", "BAD_VALUE", message);
        }
    }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}
