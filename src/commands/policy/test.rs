//! `sallygate policy test`: cases written beside the policy, asked of the table that enforces.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sallygate_compiler::diagnostic::Diagnostics;
use sallygate_compiler::explain::{Explanation, explain_url};
use sallygate_compiler::read::{Document, Table};
use sallygate_compiler::source::SourceFile;
use sallygate_compiler::table::RouteTable;
use serde_json::json;

use crate::configuration::{self, Configuration};
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::print::Format;
use crate::{diagnostics, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Cases [default: policy.test.toml beside the configuration]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Fail when a route is exercised by no case
    #[arg(long)]
    all_routes: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A request, and what must become of it.
struct Case {
    name: String,
    place: String,
    profile: String,
    method: String,
    url: String,
    headers: http::HeaderMap,
    expect: &'static str,
    route: Option<String>,
    /// A connection, or `none`.
    credential: Option<String>,
}

/// What became of a case.
struct Verdict<'c> {
    case: &'c Case,
    /// Empty when everything is as it must be.
    problems: Vec<String>,
    explanation: Option<Explanation>,
}

/// Outcomes that a case may expect, and the code of requests that are refused before matching.
const OUTCOMES: [&str; 7] = [
    "allow",
    "deny",
    "hold",
    "no_route",
    "passthrough",
    "path_not_canonical",
    "host_not_canonical",
];

pub(crate) fn run(options: &Options) -> Outcome {
    let config = options.place.config();
    let loaded = configuration::load(&config)?;
    let beside = || config.with_file_name("policy.test.toml");
    let path = options.file.clone().unwrap_or_else(beside);
    let cases = read(&path, &loaded)?;
    let tables = tables(&loaded)?;
    let verdicts: Vec<Verdict<'_>> =
        cases.iter().map(|case| judge(case, find_table(&tables, &case.profile))).collect();
    let unexercised = unexercised(&tables, &verdicts);
    let failed = verdicts.iter().filter(|verdict| !verdict.problems.is_empty()).count();
    match options.output {
        Format::Json => print::data(as_json(&verdicts, &unexercised)),
        Format::Human => print_human(&verdicts, &unexercised),
    }
    if failed > 0 || options.all_routes && !unexercised.is_empty() {
        return Err(Failure::Told(1));
    }
    Ok(())
}

type Tables = Vec<(String, RouteTable)>;

fn tables(loaded: &Configuration) -> Result<Tables, Failure> {
    let mut tables = Vec::new();
    for (profile, plan) in &loaded.input.plans {
        tables.push((profile.clone(), RouteTable::build(Arc::new(plan.clone()))?));
    }
    Ok(tables)
}

fn find_table<'t>(tables: &'t Tables, profile: &str) -> Option<&'t RouteTable> {
    tables.iter().find(|(name, _)| name == profile).map(|(_, table)| table)
}

fn read(path: &Path, loaded: &Configuration) -> Result<Vec<Case>, Failure> {
    if !path.exists() {
        return Err(Failure::NotFound(format!("there is no `{}`", path.display())));
    }
    let file = configuration::source(path)?;
    let document = Document::parse(&file)?;
    let mut root = document.root();
    let profiles: Vec<&str> = loaded.input.plans.keys().map(String::as_str).collect();
    let cases: Vec<Case> = root
        .tables("tests")
        .into_iter()
        .filter_map(|table| case(table, &profiles, &file))
        .collect();
    if cases.is_empty() && !root.contains("tests") {
        root.missing("tests");
    }
    root.finish();
    let found: Diagnostics = document.into_diagnostics();
    if found.has_errors() { Err(found.sorted().into()) } else { Ok(cases) }
}

fn case(mut table: Table<'_>, profiles: &[&str], file: &SourceFile) -> Option<Case> {
    let place = table.place();
    let name = table.string("name").map(|name| name.value);
    let profile = profile(&mut table, profiles);
    let request = table.required_string("request").map(|request| request.value);
    let parts = request.as_ref().and_then(|request| request.split_once(' '));
    if request.is_some() && parts.is_none() {
        let message = "a request is `METHOD https://host/path`";
        table.refuse("request", "BAD_VALUE", message);
    }
    let choices = OUTCOMES.map(|outcome| (outcome, outcome));
    if !table.contains("expect") {
        table.missing("expect");
    }
    let expect = table.choice("expect", &choices);
    let headers = headers(&mut table);
    let route = table.string("route").map(|route| route.value);
    let credential = table.string("credential").map(|credential| credential.value);
    table.finish();
    let (method, url) = parts?;
    let name = name.unwrap_or_else(|| format!("{method} {url}"));
    let (method, url) = (method.to_owned(), url.trim().to_owned());
    let place = format!("{}:{}", file.name, place.line);
    Some(Case {
        name,
        place,
        profile: profile?,
        method,
        url,
        headers,
        expect: expect?,
        route,
        credential,
    })
}

/// The one that the case names, or the only one.
fn profile(table: &mut Table<'_>, profiles: &[&str]) -> Option<String> {
    match (table.string("profile"), profiles) {
        (Some(named), _) if profiles.contains(&named.value.as_str()) => Some(named.value),
        (Some(named), _) => {
            let message = format!("the policy has no profile `{}`", named.value);
            table.refuse_at("profile", named.span, "UNKNOWN_PROFILE", message);
            None
        }
        (None, [only]) => Some((*only).to_owned()),
        (None, _) => {
            table.missing("profile");
            None
        }
    }
}

fn headers(table: &mut Table<'_>) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    for text in table.strings("headers").unwrap_or_default() {
        let parsed = text.value.split_once(':').and_then(|(name, value)| {
            let name = http::HeaderName::try_from(name.trim()).ok()?;
            Some((name, http::HeaderValue::try_from(value.trim()).ok()?))
        });
        match parsed {
            Some((name, value)) => drop(headers.append(name, value)),
            None => {
                let message = "a header is `name: value`";
                table.refuse_at("headers", text.span, "BAD_VALUE", message);
            }
        }
    }
    headers
}

fn judge<'c>(case: &'c Case, table: Option<&RouteTable>) -> Verdict<'c> {
    let Some(table) = table else {
        // `read` lets no unknown profile through.
        return Verdict { case, problems: vec!["no such profile".to_owned()], explanation: None };
    };
    let explained = explain_url(table, &case.method, &case.url, &case.headers);
    let mut problems = Vec::new();
    let mut differs = |what: &str, wanted: &str, is: &str| {
        if wanted != is {
            problems.push(format!("{what} is `{is}`, `{wanted}` was expected"));
        }
    };
    let explanation = match explained {
        Err(refused) => {
            differs("outcome", case.expect, refused.code());
            None
        }
        Ok(explanation) => {
            differs("outcome", case.expect, explanation.outcome.as_str());
            if let Some(wanted) = &case.route {
                differs("route", wanted, explanation.route.as_deref().unwrap_or("none"));
            }
            if let Some(wanted) = &case.credential {
                let first = explanation.injections.first();
                differs("credential", wanted, first.map_or("none", |note| &note.connection));
            }
            Some(explanation)
        }
    };
    Verdict { case, problems, explanation }
}

/// `profile route` of every route that decided no case.
fn unexercised(tables: &Tables, verdicts: &[Verdict<'_>]) -> Vec<(String, String)> {
    let decided = |verdict: &Verdict<'_>| {
        let route = verdict.explanation.as_ref()?.route.clone()?;
        Some((verdict.case.profile.clone(), route))
    };
    let decided: BTreeSet<(String, String)> = verdicts.iter().filter_map(decided).collect();
    let routes = tables.iter().flat_map(|(profile, table)| {
        let ids = table.plan().egress_routes.iter().map(|route| route.route_id.clone());
        ids.map(|id| (profile.clone(), id))
    });
    routes.filter(|route| !decided.contains(route)).collect()
}

fn print_human(verdicts: &[Verdict<'_>], unexercised: &[(String, String)]) {
    let mut failed = 0;
    for Verdict { case, problems, explanation } in verdicts {
        if problems.is_empty() {
            continue;
        }
        failed += 1;
        print::data(format_args!("FAILED {} ({})", case.name, case.place));
        problems.iter().for_each(|problem| print::data(format_args!("  {problem}")));
        if let Some(explanation) = explanation {
            print::raw(explanation);
        }
    }
    for (profile, route) in unexercised {
        print::data(format_args!("no case is decided by {route} (profile {profile})"));
    }
    let passed = verdicts.len() - failed;
    let unexercised = diagnostics::counted(unexercised.len(), "route");
    print::data(format_args!("{passed} passed, {failed} failed; {unexercised} without a case"));
}

fn as_json(verdicts: &[Verdict<'_>], unexercised: &[(String, String)]) -> serde_json::Value {
    let verdict = |verdict: &Verdict<'_>| {
        json!({
            "name": verdict.case.name, "place": verdict.case.place,
            "passed": verdict.problems.is_empty(), "problems": verdict.problems,
            "explanation": verdict.explanation,
        })
    };
    let route = |(profile, route): &(String, String)| json!({ "profile": profile, "route": route });
    json!({
        "tests": verdicts.iter().map(verdict).collect::<Vec<_>>(),
        "unexercised": unexercised.iter().map(route).collect::<Vec<_>>(),
    })
}
