//! `sallygate explain dec_…`: one decision, found in the record.

use sallygate_compiler::explain::Outcome as PolicyOutcome;
use sallygate_proxy::record::Event;
use serde_json::json;

use super::{Options, advice, request};
use crate::audit_log::{self, Recorded};
use crate::commands::tail::destination;
use crate::configuration::{self, Configuration};
use crate::exit::{Failure, Outcome};
use crate::print;
use crate::print::Format;

const CANDIDATES_SHOWN: usize = 3;

/// A decision, and how often the same was decided.
struct Seen {
    recorded: Recorded,
    count: usize,
    first: String,
    last: String,
}

pub(super) fn run(options: &Options, decision: &str) -> Outcome {
    let config = options.place.config();
    let path = match config.exists() {
        true => configuration::audit_path(&config),
        false => options.place.data_dir().join("audit.jsonl"),
    };
    let recorded = find(&path, decision)?;
    let seen = count(&path, recorded)?;
    // The policy may be wrong by now; the record is not.
    let configuration = configuration::load(&config).ok();
    match options.output {
        Format::Json => {
            let event: serde_json::Value =
                serde_json::from_str(&seen.recorded.line).unwrap_or_default();
            print::data(json!({
                "record": event, "count": seen.count, "first": seen.first, "last": seen.last,
            }));
        }
        Format::Human => print_human(&seen, configuration.as_ref()),
    }
    Ok(())
}

/// The one record that the text means.
fn find(path: &std::path::Path, text: &str) -> Result<Recorded, Failure> {
    let wanted = text.strip_prefix("dec_").unwrap_or(text).to_ascii_uppercase();
    if wanted.is_empty() {
        return Err(Failure::Usage("a decision has some characters behind `dec_`".into()));
    }
    let mut found: Option<Recorded> = None;
    let means = |r: &Recorded| r.event.request_id.starts_with(&wanted);
    for recorded in audit_log::records(path)?.filter(means) {
        if let Some(other) = &found
            && other.event.request_id != recorded.event.request_id
        {
            return Err(Failure::Usage(format!(
                "`{text}` means several decisions: {}, {}, …",
                other.event.decision, recorded.event.decision
            )));
        }
        found = Some(recorded);
    }
    found.ok_or_else(|| Failure::NotFound(format!("no decision `{text}` in `{}`", path.display())))
}

fn count(path: &std::path::Path, recorded: Recorded) -> Result<Seen, Failure> {
    let kind = |e: &Event| {
        (
            e.profile.clone(),
            e.method.clone(),
            e.host.clone(),
            e.port,
            e.route.clone(),
            e.code.clone(),
        )
    };
    let wanted = kind(&recorded.event);
    let (mut count, mut first, mut last) = (0, String::new(), String::new());
    for same in audit_log::records(path)?.filter(|other| kind(&other.event) == wanted) {
        if count == 0 {
            first.clone_from(&same.event.time);
        }
        count += 1;
        last = same.event.time;
    }
    Ok(Seen { recorded, count, first, last })
}

fn print_human(seen: &Seen, configuration: Option<&Configuration>) {
    let event = &seen.recorded.event;
    let shown = event.path.as_deref().unwrap_or(&event.template);
    print::data(format_args!("{} {}{shown}", event.method, destination(event)));
    let row = |name: &str, value: &str| {
        if !value.is_empty() {
            print::data(format_args!("  {name:<10} {value}"));
        }
    };
    row("decision", &event.decision);
    row("time", &event.time);
    row("sandbox", &format!("{} (profile {})", event.sandbox, event.profile));
    let code = if event.code == "ok" { String::new() } else { format!(" {}", event.code) };
    row("outcome", &format!("{}{code}, status {}", event.verdict, event.status));
    row("reason", &event.detail);
    row("route", &event.route);
    row("credential", &event.credential);
    row("upstream", &event.upstream_address);
    let often = match seen.count {
        1 => "once".to_owned(),
        n => format!("{n} times, {} to {}", seen.first, seen.last),
    };
    row("seen", &often);
    print::raw(advice::of_code(&event.code));
    if event.verdict != "allow"
        && let Some(configuration) = configuration
    {
        print_policy(event, configuration);
    }
}

/// What the policy says about the same request now.
fn print_policy(event: &Event, configuration: &Configuration) {
    let url = url(event);
    let Some(explanation) = request::again(configuration, &event.profile, &event.method, &url)
    else {
        return;
    };
    let of_policy = matches!(event.code.as_str(), "no_route" | "denied");
    if of_policy && explanation.outcome == PolicyOutcome::Allow {
        print::data("  now        allow: the policy has changed since");
    }
    for candidate in explanation.candidates.iter().take(CANDIDATES_SHOWN) {
        print::data(format_args!("  nearest    {} ({})", candidate.route, candidate.why));
    }
    // Without its path a request cannot be allowed by name.
    if event.code == "no_route" && event.path.is_some() {
        let advice = advice::of_explanation(&explanation, &event.profile, &event.method, &url);
        print::raw(advice);
    }
}

/// The URL without query, as far as the record has it.
fn url(event: &Event) -> String {
    let scheme = audit_log::scheme(event);
    let port = match event.port {
        0 => String::new(),
        port if port == scheme.default_port() => String::new(),
        port => format!(":{port}"),
    };
    format!("{scheme}://{}{port}{}", event.host, event.path.as_deref().unwrap_or("/"))
}
