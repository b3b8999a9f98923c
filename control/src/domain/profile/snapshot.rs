//! What a version of a profile is compiled from: the store, as of one transaction.

use std::collections::{BTreeMap, BTreeSet};

use sallygate_compiler::compile as compile_snapshot;
use sallygate_compiler::diagnostic::{Diagnostic, Severity};
use sallygate_compiler::plan::Plan;
use sallygate_compiler::snapshot::{Connection, ConnectionStatus, Profile, Snapshot, Target};
use sallygate_definitions::Registry;
use serde_json::{Map, Value as Json, json};

use crate::domain::connection::{self, Of, Status};
use crate::domain::{DomainError, Fault, Issue, Page, target};
use crate::store::Transaction;

/// Bindings of one version, and routes of a policy.
const BINDINGS_MAX: usize = 200;
/// Targets of one installation that a compilation looks at.
const TARGETS_MAX: i64 = 1_000;

/// A version before it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// `unmatched`, `routes`, `assertions`, `limits`, `image`: as in a snapshot.
    pub policy: Map<String, Json>,
    pub bindings: Vec<DraftBinding>,
}

/// A use of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct DraftBinding {
    /// Unique within the version; routes are named after it.
    pub id: String,
    pub connection: String,
    /// Must be that of the definition.
    pub kind: Option<String>,
    pub config: Json,
    /// Which of the definition's routes, or routes of its own; `None`: all that it gives.
    pub routes: Option<Json>,
}

/// What came of a draft.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// `None` when something is wrong.
    pub plan: Option<Plan>,
    pub errors: Vec<Issue>,
    pub warnings: Vec<Issue>,
}

/// Whose version is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'w> {
    pub organisation: &'w str,
    pub profile: &'w str,
    pub version: i64,
}

/// Compiles a draft with what the store holds now. A draft that has not the form of one is an
/// error; one that does not compile says so in what comes back.
pub async fn compile(
    transaction: &mut dyn Transaction,
    registry: &Registry,
    whose: Whose<'_>,
    draft: &Draft,
) -> Result<Compiled, DomainError> {
    let profile = profile(whose, draft)?;
    let snapshot = Snapshot {
        organization_id: whose.organisation.to_owned(),
        targets: targets(transaction).await?,
        connections: connections(transaction, whose.organisation, draft).await?,
        profile,
        ..Snapshot::default()
    };
    let compiled = compile_snapshot(&snapshot, registry);
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for diagnostic in compiled.diagnostics.iter() {
        match diagnostic.severity {
            Severity::Error => errors.push(issue(diagnostic)),
            Severity::Warning => warnings.push(issue(diagnostic)),
        }
    }
    Ok(Compiled { plan: compiled.plan, errors, warnings })
}

/// The profile as the compiler reads it: strictly, so that nothing unknown is dropped.
fn profile(whose: Whose<'_>, draft: &Draft) -> Result<Profile, DomainError> {
    if draft.bindings.len() > BINDINGS_MAX {
        let message = format!("a version has at most {BINDINGS_MAX} bindings");
        return Err(DomainError::new(Fault::Invalid, "limit_exceeded", message));
    }
    let known = ["unmatched", "routes", "assertions", "limits", "image"];
    if let Some(unknown) = draft.policy.keys().find(|key| !known.contains(&key.as_str())) {
        let message = format!("a policy has no `{unknown}`");
        let issue = Issue::new("UNKNOWN_FIELD", format!("policy.{unknown}"), message);
        return Err(DomainError::invalid(vec![issue]));
    }
    refuse_borrowed(draft)?;
    let binding = |binding: &DraftBinding| {
        json!({
            "id": binding.id,
            "connection": binding.connection,
            "kind": binding.kind,
            "config": binding.config,
            "routes": binding.routes.as_ref().map(with_hosts),
        })
    };
    let mut all = draft.policy.clone();
    all.insert("id".to_owned(), json!(whose.profile));
    all.insert("version".to_owned(), json!(whose.version));
    let bindings = draft.bindings.iter().map(binding).collect();
    all.insert("bindings".to_owned(), Json::Array(bindings));
    serde_path_to_error::deserialize(Json::Object(all)).map_err(|error| {
        let (field, message) = (error.path().to_string(), error.inner().to_string());
        let field = if field.starts_with("bindings") { field } else { format!("policy.{field}") };
        DomainError::invalid(vec![Issue::new("MALFORMED", field, message)])
    })
}

/// Routes of a binding are at their origin: they need not say that they name no hosts.
fn with_hosts(routes: &Json) -> Json {
    let mut routes = routes.clone();
    for route in routes.as_array_mut().into_iter().flatten() {
        if let Some(matching) = route.get_mut("match").and_then(Json::as_object_mut) {
            matching.entry("hosts").or_insert_with(|| json!([]));
        }
    }
    routes
}

/// A route of a policy says its hosts itself. With the settings of a target it would reach, under
/// any name, the internal addresses that the operator opened for that target alone.
fn refuse_borrowed(draft: &Draft) -> Result<(), DomainError> {
    let routes = draft.policy.get("routes").and_then(Json::as_array).into_iter().flatten();
    let borrowed = routes.enumerate().filter(|(_, route)| route.get("target").is_some());
    let issues: Vec<Issue> = borrowed
        .map(|(at, _)| {
            let message = "a route takes a target's settings by binding a connection to it";
            Issue::new("FORBIDDEN_FIELD", format!("policy.routes[{at}].target"), message)
        })
        .collect();
    if issues.is_empty() { Ok(()) } else { Err(DomainError::invalid(issues)) }
}

async fn targets(
    transaction: &mut dyn Transaction,
) -> Result<BTreeMap<String, Target>, DomainError> {
    let all = Page { after: String::new(), most: TARGETS_MAX };
    let stored = target::list(transaction, &all).await?.items;
    let target = |stored: target::Target| Ok((stored.key.clone(), stored.to_compile()?));
    stored.into_iter().map(target).collect()
}

/// The bound connections that there are, and are this organisation's: others are as unknown as
/// those that never were.
async fn connections(
    transaction: &mut dyn Transaction,
    organisation: &str,
    draft: &Draft,
) -> Result<BTreeMap<String, Connection>, DomainError> {
    let ids: BTreeSet<&str> = draft.bindings.iter().map(|b| b.connection.as_str()).collect();
    let mut connections = BTreeMap::new();
    for id in ids {
        let stored = match connection::find(transaction, Of { organisation, id }).await {
            Ok(stored) => stored,
            Err(error) if error.fault == Fault::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut made = Connection::new(stored.target_key, Some(stored.method));
        made.status = match stored.status {
            Status::Active => ConnectionStatus::Active,
            Status::Error => ConnectionStatus::Error,
            Status::Revoked => ConnectionStatus::Revoked,
        };
        made.config = stored.config;
        connections.insert(id.to_owned(), made);
    }
    Ok(connections)
}

/// A diagnostic as the API says it: by binding and field, without places in files.
fn issue(diagnostic: &Diagnostic) -> Issue {
    let field = match &diagnostic.subject {
        Some(subject) if subject.field.is_empty() => format!("bindings[{}]", subject.binding),
        Some(subject) => format!("bindings[{}].{}", subject.binding, subject.field),
        None => String::new(),
    };
    let message = match &diagnostic.help {
        Some(help) => format!("{}; {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    Issue::new(diagnostic.code.to_string(), field, message)
}
