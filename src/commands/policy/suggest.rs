//! `sallygate policy suggest`: the least routes that would have allowed what was denied.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use sallygate_compiler::canonical::Scheme;
use sallygate_compiler::snapshot::{Target, Targets};
use sallygate_compiler::suggest::{Denied, Known, Suggestion, suggest};
use sallygate_definitions::Registry;
use sallygate_proxy::record::Event;
use serde_json::json;

use crate::audit_log;
use crate::configuration;
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::print;
use crate::print::Format;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Audit log [default: that of the configuration]
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Only what this profile was denied
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Only what this sandbox was denied
    #[arg(long, value_name = "ID")]
    sandbox: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What was denied to one profile.
#[derive(Default)]
struct Denials {
    requests: BTreeSet<Denied>,
    /// Recorded without its path: nothing can be suggested.
    without_path: usize,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let log =
        options.from.clone().unwrap_or_else(|| configuration::audit_path(&options.place.config()));
    let profiles = denials(options, &log)?;
    let without_path: usize = profiles.values().map(|denials| denials.without_path).sum();
    let known = known(options);
    let suggested = profiles.iter().map(|(profile, denials)| {
        let requests: Vec<Denied> = denials.requests.iter().cloned().collect();
        (profile.as_str(), suggest(&requests, &known))
    });
    let suggested: BTreeMap<&str, Vec<Suggestion>> =
        suggested.filter(|(_, routes)| !routes.is_empty()).collect();
    match options.output {
        Format::Json => print::data(as_json(&suggested, without_path)),
        Format::Human => print_lines(&suggested),
    }
    tell_of_missing_paths(without_path, suggested.is_empty())
}

/// What definitions say of paths, at the operator's targets and where providers are by default. A
/// log can be read where there is no configuration.
fn known(options: &Options) -> Vec<Known> {
    let (registry, targets) = match configuration::load(&options.place.config()) {
        Ok(configuration) => (configuration.registry, configuration.targets),
        Err(_) => (Registry::builtin(), Targets::default()),
    };
    let of_target = |target: &Target| {
        let definition = registry.find(&target.definition);
        definition.map(|definition| Known::of(definition, &target.config)).unwrap_or_default()
    };
    let defaults = registry.iter().flat_map(|definition| Known::of(definition, &json!({})));
    targets.targets.values().flat_map(of_target).chain(defaults).collect()
}

fn denials(options: &Options, log: &std::path::Path) -> Result<BTreeMap<String, Denials>, Failure> {
    let mut profiles: BTreeMap<String, Denials> = BTreeMap::new();
    let wanted = |event: &Event| {
        event.code == "no_route"
            && options.profile.as_ref().is_none_or(|profile| *profile == event.profile)
            && options.sandbox.as_ref().is_none_or(|sandbox| *sandbox == event.sandbox)
    };
    for recorded in audit_log::records(log)? {
        let event = recorded.event;
        // A CONNECT is decided by the requests inside; their records follow.
        if !wanted(&event) || event.method == "CONNECT" {
            continue;
        }
        let denials = profiles.entry(event.profile.clone()).or_default();
        match denied(event) {
            Some(request) => drop(denials.requests.insert(request)),
            None => denials.without_path += 1,
        }
    }
    Ok(profiles)
}

fn denied(event: Event) -> Option<Denied> {
    let scheme = audit_log::scheme(&event);
    let path = event.path?;
    let Event { host, port, method, .. } = event;
    Some(Denied { scheme, host, port, method, path })
}

fn tell_of_missing_paths(without_path: usize, nothing_else: bool) -> Outcome {
    if without_path == 0 {
        if nothing_else {
            print::talk("nothing was denied for want of a route");
        }
        return Ok(());
    }
    let message = format!(
        "{without_path} denied requests are recorded without their path: set `raw_path = true` \
         under `[audit]` in config.toml, and let them be tried again"
    );
    if nothing_else {
        return Err(Failure::Failed(message));
    }
    print::talk(message);
    Ok(())
}

fn print_lines(suggested: &BTreeMap<&str, Vec<Suggestion>>) {
    for (profile, routes) in suggested {
        for route in routes {
            print::data(lines(profile, route));
        }
    }
}

/// A route as `policy.toml` has it. INVARIANT: `suggest` names nothing that needs quoting.
fn lines(profile: &str, route: &Suggestion) -> String {
    let quoted = |texts: &[String]| {
        let texts: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
        format!("[{}]", texts.join(", "))
    };
    let times = if route.allows == 1 { "1 request" } else { &format!("{} requests", route.allows) };
    let mut lines = vec![
        format!("# would have allowed {times}"),
        format!("[[profiles.{profile}.routes]]"),
        format!("name = \"{}\"", route.name),
    ];
    if route.scheme == Scheme::Http {
        lines.push("scheme = \"http\"".to_owned());
    }
    lines.push(format!("hosts = [\"{}\"]", route.host));
    lines.extend(route.port.map(|port| format!("ports = [{port}]")));
    lines.push(format!("methods = {}", quoted(&route.methods)));
    lines.push(format!("paths = {}", quoted(&route.paths)));
    if route.allow_encoded_slash {
        lines.push("allow_encoded_slash = true".to_owned());
    }
    if route.allow_empty_segments {
        lines.push("allow_empty_segments = true".to_owned());
    }
    lines.join("\n") + "\n"
}

fn as_json(suggested: &BTreeMap<&str, Vec<Suggestion>>, without_path: usize) -> serde_json::Value {
    let route = |route: &Suggestion| {
        json!({
            "name": route.name, "scheme": route.scheme, "hosts": [route.host],
            "ports": route.port.map(|port| [port]), "methods": route.methods,
            "paths": route.paths, "allowEncodedSlash": route.allow_encoded_slash,
            "allowEmptySegments": route.allow_empty_segments, "requests": route.allows,
        })
    };
    let profiles: BTreeMap<&str, Vec<serde_json::Value>> = suggested
        .iter()
        .map(|(profile, routes)| (*profile, routes.iter().map(route).collect()))
        .collect();
    json!({ "profiles": profiles, "withoutPath": without_path })
}
