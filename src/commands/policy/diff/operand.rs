//! What is compared: a plan in a file, the profiles of a configuration, or what is in force.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::Method;
use sallygate_compiler::plan::Plan;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::place::Place;
use crate::{client, configuration, runtime};

/// The word for what a proxy has in force.
pub(super) const RUNNING: &str = "running";

/// One side of a comparison.
#[derive(Debug)]
pub(super) enum Operand {
    /// A plan that is of no profile in particular.
    Plan(Box<Plan>),
    Profiles(BTreeMap<String, Plan>),
}

/// A profile's plans before and after.
pub(super) type Matched = (String, Plan, Plan);

pub(super) fn read(text: &str, place: &Place) -> Result<Operand, Failure> {
    if text == RUNNING {
        return in_force(&place.data_dir());
    }
    let path = Path::new(text);
    if path.is_dir() {
        return of_configuration(&path.join("config.toml"));
    }
    if !path.exists() {
        return Err(Failure::NotFound(format!("`{text}` does not exist")));
    }
    if path.extension().is_some_and(|extension| extension == "toml") {
        return of_configuration(path);
    }
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::Failed(format!("`{text}` cannot be read: {error}")))?;
    Ok(Operand::Plan(Box::new(Plan::from_json(text, &bytes)?)))
}

pub(super) fn of_configuration(path: &Path) -> Result<Operand, Failure> {
    Ok(Operand::Profiles(configuration::load(path)?.input.plans))
}

/// Asks the proxy that runs from the data directory.
fn in_force(data_dir: &Path) -> Result<Operand, Failure> {
    let (_, admin) = client::connect(data_dir)?;
    runtime::block_on(async {
        let status = admin.call(Method::GET, "/v1/status", None).await?;
        let name = |plan: &Value| plan.get("profile").and_then(Value::as_str).map(str::to_owned);
        let plans = status.get("plans").and_then(Value::as_array);
        let names: Vec<String> = plans.into_iter().flatten().filter_map(name).collect();
        let mut profiles = BTreeMap::new();
        for name in names {
            let plan = admin.call(Method::GET, &format!("/v1/plans/{name}"), None).await?;
            let plan = Plan::from_json(&format!("plan of `{name}`"), plan.to_string().as_bytes())?;
            profiles.insert(name, plan);
        }
        Ok(Operand::Profiles(profiles))
    })
}

/// Puts what is to be compared beside each other, in order of profiles.
pub(super) fn matched(
    old: Operand,
    new: Operand,
    profile: Option<&str>,
) -> Result<Vec<Matched>, Failure> {
    let named = |fallback: &str| profile.unwrap_or(fallback).to_owned();
    match (old, new) {
        (Operand::Plan(old), Operand::Plan(new)) => {
            Ok(vec![(named(&new.sandbox_profile_id), *old, *new)])
        }
        (Operand::Plan(old), Operand::Profiles(new)) => {
            let (name, new) = single(new, profile, &old)?;
            Ok(vec![(name, *old, new)])
        }
        (Operand::Profiles(old), Operand::Plan(new)) => {
            let (name, old) = single(old, profile, &new)?;
            Ok(vec![(name, old, *new)])
        }
        (Operand::Profiles(old), Operand::Profiles(new)) => profiles(old, new, profile),
    }
}

/// The profile that a plan stands against: the one that is asked for, the one that it was compiled
/// from, or the only one.
fn single(
    mut profiles: BTreeMap<String, Plan>,
    wanted: Option<&str>,
    plan: &Plan,
) -> Result<(String, Plan), Failure> {
    let own = Some(plan.sandbox_profile_id.as_str()).filter(|own| profiles.contains_key(*own));
    let only = profiles.keys().next().map(String::as_str).filter(|_| profiles.len() == 1);
    let Some(name) = wanted.or(own).or(only).map(str::to_owned) else {
        let names: Vec<&str> = profiles.keys().map(String::as_str).collect();
        let names = names.join(", ");
        return Err(Failure::Usage(format!("which profile? `--profile` takes one of {names}")));
    };
    let plan = profiles.remove(&name).ok_or_else(|| unknown(&name))?;
    Ok((name, plan))
}

/// A profile that only one side has lets nothing out on the other.
fn profiles(
    mut old: BTreeMap<String, Plan>,
    mut new: BTreeMap<String, Plan>,
    wanted: Option<&str>,
) -> Result<Vec<Matched>, Failure> {
    let names: BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
    let names: Vec<String> =
        names.into_iter().filter(|name| wanted.is_none_or(|wanted| wanted == name)).collect();
    if let (Some(wanted), true) = (wanted, names.is_empty()) {
        return Err(unknown(wanted));
    }
    let matched = names.into_iter().map(|name| {
        let side = |side: &mut BTreeMap<String, Plan>| match side.remove(&name) {
            Some(plan) => Ok(plan),
            None => nothing(&name),
        };
        let (old, new) = (side(&mut old)?, side(&mut new)?);
        Ok((name, old, new))
    });
    matched.collect()
}

fn unknown(profile: &str) -> Failure {
    Failure::NotFound(format!("neither side has a profile `{profile}`"))
}

/// The plan of a profile that does not exist.
fn nothing(profile: &str) -> Result<Plan, Failure> {
    let plan = json!({
        "schemaVersion": sallygate_compiler::plan::SCHEMA_VERSION, "organizationId": "",
        "sandboxProfileId": profile, "version": 1, "egressRoutes": [],
    });
    Ok(Plan::from_json("no plan", plan.to_string().as_bytes())?)
}
