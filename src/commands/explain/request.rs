//! `sallygate explain METHOD URL`: the table that enforces, asked by a person.

use std::sync::Arc;

use sallygate_compiler::explain::{ExplainError, Explanation, explain_url};
use sallygate_compiler::table::RouteTable;
use serde_json::json;

use super::{Options, advice};
use crate::configuration::{self, Configuration};
use crate::exit::{Failure, Outcome};
use crate::print;
use crate::print::Format;

pub(super) fn run(options: &Options, method: &str, url: &str) -> Outcome {
    let configuration = configuration::load(&options.place.config())?;
    let profile = profile(options, &configuration)?;
    let table = table(&configuration, &profile)?;
    let headers = headers(options)?;
    let explanation = match explain_url(&table, method, url, &headers) {
        Ok(explanation) => explanation,
        Err(ExplainError::Scheme) => return Err(Failure::Usage(ExplainError::Scheme.to_string())),
        Err(error) => return refused_before_matching(options, method, url, error),
    };
    match options.output {
        Format::Json => {
            print::data(json!({ "profile": profile, "explanation": explanation }));
        }
        Format::Human => {
            print::raw(&explanation);
            print::data(format_args!("  profile    {profile}"));
            print::raw(advice::of_explanation(&explanation, &profile, method, url));
        }
    }
    Ok(())
}

/// The proxy answers such a request before it asks any route.
fn refused_before_matching(
    options: &Options,
    method: &str,
    url: &str,
    error: ExplainError,
) -> Outcome {
    let code = error.code();
    match options.output {
        Format::Json => {
            let reason = error.to_string();
            print::data(
                json!({ "request": format!("{method} {url}"), "outcome": code, "reason": reason }),
            );
        }
        Format::Human => {
            print::data(format_args!("{method} {url}\n  outcome    {code}\n  reason     {error}"));
            print::raw(advice::of_code(code));
        }
    }
    Ok(())
}

/// The one that is asked for, the one of the sandbox, or the only one that makes sense.
fn profile(options: &Options, configuration: &Configuration) -> Result<String, Failure> {
    let plans = &configuration.input.plans;
    if let Some(id) = &options.sandbox {
        let mut sandboxes = configuration.input.sandboxes.iter();
        let found = sandboxes.find(|sandbox| sandbox.id == *id);
        return found
            .map(|sandbox| sandbox.profile.clone())
            .ok_or_else(|| Failure::NotFound(format!("the policy has no sandbox `{id}`")));
    }
    if let Some(profile) = &options.profile {
        return Ok(profile.clone());
    }
    let default = plans.keys().find(|name| *name == crate::demo::PROFILE || plans.len() == 1);
    default.cloned().ok_or_else(|| {
        let names: Vec<&str> = plans.keys().map(String::as_str).collect();
        Failure::Usage(format!("which profile? `--profile` takes one of {}", names.join(", ")))
    })
}

/// The profile's table, indexed as the proxy does it.
pub(super) fn table(configuration: &Configuration, profile: &str) -> Result<RouteTable, Failure> {
    let plan = configuration.input.plans.get(profile);
    let plan =
        plan.ok_or_else(|| Failure::NotFound(format!("the policy has no profile `{profile}`")))?;
    Ok(RouteTable::build(Arc::new(plan.clone()))?)
}

fn headers(options: &Options) -> Result<http::HeaderMap, Failure> {
    let mut headers = http::HeaderMap::new();
    for text in &options.headers {
        let parsed = text.split_once(':').and_then(|(name, value)| {
            let name = http::HeaderName::try_from(name.trim()).ok()?;
            Some((name, http::HeaderValue::try_from(value.trim()).ok()?))
        });
        let (name, value) = parsed
            .ok_or_else(|| Failure::Usage(format!("`{text}` is not a header: `name: value`")))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// The nearest routes to a request that was made, for a decision.
pub(super) fn again(
    configuration: &Configuration,
    profile: &str,
    method: &str,
    url: &str,
) -> Option<Explanation> {
    let table = table(configuration, profile).ok()?;
    explain_url(&table, method, url, &http::HeaderMap::new()).ok()
}
