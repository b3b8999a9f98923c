//! Why a request has the outcome that it has: the same table, asked by a person.

use std::fmt;

use serde::Serialize;

use crate::canonical::{self, HostError, PathError, Scheme};
use crate::content::Content;
use crate::key::{Headers, MatchKey};
use crate::pattern::PathPattern;
use crate::plan::{Action, Route};
use crate::table::{HostClass, Miss, RouteIndex, RouteTable, Stop, Verdict, stopped_by};

/// How many candidates are shown to a person.
const SHOWN: usize = 12;

/// Everything that can be said about one decision. Holds no query, no header value and no
/// credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// As it was matched: `METHOD URL` without query.
    pub request: String,
    pub outcome: Outcome,
    /// The route that decided.
    pub route: Option<String>,
    pub binding: Option<String>,
    /// What a deny says, or how far the nearest candidate came.
    pub reason: Option<String>,
    /// Whether a route with a credential names the host.
    pub managed: bool,
    /// What would become of a CONNECT to the host.
    pub connect: &'static str,
    pub injections: Vec<InjectionNote>,
    /// What was changed before matching.
    pub canonicalisation: Vec<String>,
    /// Every route that names the host and port; those that came furthest first.
    pub candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Allow,
    Hold,
    Deny,
    NoRoute,
    Passthrough,
    /// It depends on content that is not known.
    Inspect,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny => "deny",
            Self::NoRoute => "no_route",
            Self::Passthrough => "passthrough",
            Self::Inspect => "inspect",
        }
    }
}

/// How a credential would be presented; never which value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InjectionNote {
    pub kind: &'static str,
    /// The header, parameter, cookie or segment.
    pub into: String,
    pub connection: String,
}

/// A route that was considered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    pub route: String,
    pub action: Action,
    pub progress: Progress,
    /// The first thing that stopped it, or how it lost.
    pub why: String,
}

/// How far a candidate came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Progress {
    Decides,
    Matches,
    Content,
    EmptySegment,
    EncodedSlash,
    Condition,
    Method,
    Path,
    Connect,
}

/// Why a request cannot be explained: it would be refused before any route is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    #[error("a URL begins with `https://` or `http://`")]
    Scheme,
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Path(#[from] PathError),
}

impl ExplainError {
    /// Stable: part of the interface.
    pub fn code(self) -> &'static str {
        match self {
            Self::Scheme => "scheme_not_supported",
            Self::Host(error) => error.code(),
            Self::Path(error) => error.code(),
        }
    }
}

/// Explains a request as a person writes it, with what canonicalising changed.
pub fn explain_url(
    table: &RouteTable,
    method: &str,
    url: &str,
    headers: &dyn Headers,
) -> Result<Explanation, ExplainError> {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
        _ => return Err(ExplainError::Scheme),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let authority = canonical::authority(host.as_bytes(), Some(scheme.default_port()))?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let target = canonical::target(path.as_bytes())?;
    let key = MatchKey {
        scheme,
        host: &authority.host,
        port: authority.port,
        method,
        target: &target,
        headers,
    };
    let mut explanation = explain(table, &key);
    let wire = authority.wire(scheme);
    if wire != host {
        explanation.canonicalisation.push(format!("host `{host}` is `{wire}`"));
    }
    let written = path.split('?').next().unwrap_or_default();
    if written != target.path() {
        let note = format!("path `{written}` is `{}`", target.path());
        explanation.canonicalisation.push(note);
    }
    Ok(explanation)
}

/// Explains the outcome of one request.
pub fn explain(table: &RouteTable, key: &MatchKey<'_>) -> Explanation {
    let verdict = table.find(key);
    let (outcome, winner) = match verdict {
        Verdict::Allow(route) => (Outcome::Allow, Some(route)),
        Verdict::Hold(route) => (Outcome::Hold, Some(route)),
        Verdict::Deny(route) => (Outcome::Deny, Some(route)),
        Verdict::NoRoute { .. } => (Outcome::NoRoute, None),
        Verdict::Passthrough => (Outcome::Passthrough, None),
        Verdict::Inspect(_) => (Outcome::Inspect, None),
    };
    let route = winner.and_then(|index| table.route(index));
    let managed = table.is_managed(key.host);
    let reason = match verdict {
        Verdict::NoRoute { reason, .. } => Some(miss(reason).to_owned()),
        Verdict::Inspect(kind) => Some(format!("depends on the content ({})", kind.as_str())),
        Verdict::Deny(_) => route.and_then(|route| route.reason.clone()),
        Verdict::Allow(_) | Verdict::Hold(_) | Verdict::Passthrough => None,
    };
    let connect = match table.host_class(key.host, key.port) {
        HostClass::Intercept => "intercept",
        HostClass::Tunnel(_) => "tunnel",
        HostClass::Unknown => "refuse",
        HostClass::Passthrough => "passthrough",
    };
    Explanation {
        request: format!("{key:?}"),
        outcome,
        route: route.map(|route| route.route_id.clone()),
        binding: route.map(|route| route.binding_id.clone()),
        reason,
        managed,
        connect,
        injections: route.map(|route| injections(table, route)).unwrap_or_default(),
        canonicalisation: Vec::new(),
        candidates: candidates(table, key, winner),
    }
}

fn miss(reason: Miss) -> &'static str {
    match reason {
        Miss::Host => "no route names this host and port",
        Miss::Path => "no route on this host names this path",
        Miss::Method => "no route at this path allows this method",
        Miss::Condition => "a header or query condition is not met",
        Miss::Content => "what the request asks for is outside of what is allowed",
        Miss::EncodedSlash => "the path has an encoded slash, which no matching route allows",
        Miss::EmptySegment => "the path has an empty segment, which no matching route allows",
    }
}

fn injections(table: &RouteTable, route: &Route) -> Vec<InjectionNote> {
    let note = |injection: &crate::plan::Injection| InjectionNote {
        kind: injection.kind.as_str(),
        into: injection.place(),
        connection: table
            .plan()
            .credentials
            .get(injection.credential)
            .map_or_else(String::new, |reference| reference.connection_id.clone()),
    };
    route.inject.iter().map(note).collect()
}

fn candidates(
    table: &RouteTable,
    key: &MatchKey<'_>,
    winner: Option<RouteIndex>,
) -> Vec<Candidate> {
    let candidate = |index: RouteIndex| {
        let route = table.route(index)?;
        let (progress, why) = progress(table, key, (index, route), winner);
        Some(Candidate { route: route.route_id.clone(), action: route.action, progress, why })
    };
    let mut candidates: Vec<Candidate> =
        table.candidates(key).into_iter().filter_map(candidate).collect();
    candidates.sort_by(|a, b| (a.progress, &a.route).cmp(&(b.progress, &b.route)));
    candidates
}

fn progress(
    table: &RouteTable,
    key: &MatchKey<'_>,
    (index, route): (RouteIndex, &Route),
    winner: Option<RouteIndex>,
) -> (Progress, String) {
    if winner == Some(index) {
        return (Progress::Decides, "decides".to_owned());
    }
    if route.action == Action::Tunnel {
        return (Progress::Connect, "is about CONNECT, not about requests".to_owned());
    }
    let wanted = &route.r#match;
    let path = key.target.path();
    let fits = |text: &String| PathPattern::parse(text).is_ok_and(|p| p.matches(path));
    if !wanted.paths.iter().any(fits) {
        return (Progress::Path, format!("path: {}", wanted.paths.join(", ")));
    }
    match stopped_by(route.action, wanted, (key, &Content::UNREAD)) {
        Some(Stop::Method) => {
            let methods = wanted.methods.as_deref().unwrap_or_default().join(", ");
            (Progress::Method, format!("method: {methods}"))
        }
        Some(Stop::Header(condition)) => {
            (Progress::Condition, format!("header condition on `{}`", condition.name))
        }
        Some(Stop::Query(condition)) => {
            (Progress::Condition, format!("query condition on `{}`", condition.name))
        }
        Some(Stop::Block(block)) => {
            (Progress::Content, format!("the request is not inside `{}`", block.as_str()))
        }
        Some(Stop::Unread(kind)) => {
            (Progress::Content, format!("depends on the content ({})", kind.as_str()))
        }
        Some(Stop::EncodedSlash) => (Progress::EncodedSlash, "encoded slash".to_owned()),
        Some(Stop::EmptySegment) => (Progress::EmptySegment, "empty segment".to_owned()),
        None => {
            let winner = winner.and_then(|winner| table.route(winner));
            let why = match winner {
                Some(winner) if winner.action == Action::Deny && route.action != Action::Deny => {
                    format!("matches, but `{}` denies", winner.route_id)
                }
                Some(winner) => format!("matches, less specific than `{}`", winner.route_id),
                None => "matches".to_owned(),
            };
            (Progress::Matches, why)
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.request)?;
        for note in &self.canonicalisation {
            writeln!(f, "  canonical  {note}")?;
        }
        let route = self.route.as_ref().map_or_else(String::new, |route| format!("  by {route}"));
        writeln!(f, "  outcome    {}{route}", self.outcome.as_str())?;
        if let Some(reason) = &self.reason {
            writeln!(f, "  reason     {reason}")?;
        }
        for injection in &self.injections {
            let InjectionNote { kind, into, connection } = injection;
            writeln!(f, "  inject     {kind} into {into} (connection {connection})")?;
        }
        writeln!(f, "  connect    {}", self.connect)?;
        for candidate in self.candidates.iter().take(SHOWN) {
            let Candidate { route, action, why, .. } = candidate;
            writeln!(f, "  considered {route} ({}): {why}", action.as_str())?;
        }
        let more = self.candidates.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(f, "  considered {more} more")?;
        }
        Ok(())
    }
}
