//! `--replay`: which recorded decisions two policies would have made differently, by sandbox.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sallygate_compiler::analysis::{By, Change, How, Recorded, Side, replay};
use sallygate_compiler::canonical::{self, Scheme};
use sallygate_proxy::record::Event;
use serde_json::{Value, json};

use super::{Options, Pair, SHOWN};
use crate::audit_log;
use crate::commands::tail::destination;
use crate::exit::{Failure, Outcome};
use crate::print;
use crate::print::Format;

/// Requests of which the same is on record.
#[derive(Debug)]
struct Group {
    event: Event,
    recorded: Recorded,
    count: usize,
    change: Change,
}

/// A sandbox and its profile.
type Who = (String, String);

/// Everything on record that the compared profiles are about.
#[derive(Debug, Default)]
struct Log {
    groups: BTreeMap<Who, Vec<Group>>,
    /// Refused before any route was asked: no policy changes that.
    unasked: usize,
    /// Recorded under a plan that is neither of the two.
    by_others: usize,
}

pub(super) fn run(options: &Options, pairs: &[Pair], file: &Path) -> Outcome {
    let mut log = read(pairs, file)?;
    for pair in pairs {
        decide(&mut log, pair);
    }
    match options.format {
        Format::Json => print::data(as_json(&log)),
        Format::Human => print_lines(&log, options.all),
    }
    let differs = |group: &Group| group.change != Change::Same;
    if log.groups.values().flatten().any(differs) { Err(Failure::Told(2)) } else { Ok(()) }
}

fn read(pairs: &[Pair], file: &Path) -> Result<Log, Failure> {
    let mut log = Log::default();
    let mut places: BTreeMap<(Who, Line), usize> = BTreeMap::new();
    for event in audit_log::records(file)?.map(|recorded| recorded.event) {
        let Some(pair) = pairs.iter().find(|pair| pair.profile == event.profile) else { continue };
        let Some(recorded) = recorded(pair, &event) else {
            log.unasked += 1;
            continue;
        };
        log.by_others += usize::from(recorded.decided.is_none());
        let who = (event.sandbox.clone(), event.profile.clone());
        let groups = log.groups.entry(who.clone()).or_default();
        let at = *places.entry((who, line(&event))).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.count += 1,
            None => groups.push(Group { event, recorded, count: 1, change: Change::Undecided }),
        }
    }
    Ok(log)
}

/// What makes two records the same.
type Line = (String, String, String, u16, Option<String>, String, String, String);

fn line(event: &Event) -> Line {
    let Event { mode, method, host, port, path, route, code, plan, .. } = event.clone();
    (mode, method, host, port, path, route, code, plan)
}

/// `None` when no route was asked.
fn recorded(pair: &Pair, event: &Event) -> Option<Recorded> {
    let how = match (event.route.as_str(), event.code.as_str()) {
        ("", "no_route") => How::NoRoute,
        ("", "ok") => How::Passthrough,
        ("", _) => return None,
        (route, _) => How::Route(route.to_owned()),
    };
    let by = |plan: &sallygate_compiler::table::RouteTable| plan.plan().digest == event.plan;
    let by = match (by(&pair.old), by(&pair.new)) {
        (true, _) => Some(By::Old),
        (false, true) => Some(By::New),
        (false, false) => None,
    };
    let connect = event.method == "CONNECT" || event.mode == "tunnel";
    Some(Recorded {
        scheme: if connect { Scheme::Https } else { audit_log::scheme(event) },
        host: host(&event.host)?,
        port: event.port,
        method: (!connect).then(|| event.method.clone()),
        path: event.path.clone().filter(|_| !connect),
        decided: by.map(|by| (by, how)),
    })
}

/// An IPv6 address stands without its brackets on record.
fn host(text: &str) -> Option<canonical::Host> {
    let bracketed = format!("[{text}]");
    let text = if text.contains(':') && !text.starts_with('[') { &bracketed } else { text };
    canonical::host(text.as_bytes()).ok()
}

fn decide(log: &mut Log, pair: &Pair) {
    let of_pair = log.groups.iter_mut().filter(|((_, profile), _)| *profile == pair.profile);
    let mut groups: Vec<&mut Group> = of_pair.flat_map(|(_, groups)| groups).collect();
    let requests: Vec<Recorded> = groups.iter().map(|group| group.recorded.clone()).collect();
    let changes = replay(&pair.old, &pair.new, &requests);
    for (group, change) in groups.iter_mut().zip(changes) {
        group.change = change;
    }
}

impl Group {
    fn sign(&self) -> char {
        match &self.change {
            Change::Same => '=',
            Change::Differs { old, new } => {
                match (old.outcome.lets_out(), new.outcome.lets_out()) {
                    (false, true) => '+',
                    (true, false) => '-',
                    (true, true) | (false, false) => '~',
                }
            }
            Change::Unknown { .. } | Change::Undecided => '?',
        }
    }

    fn text(&self) -> String {
        let Self { event, count, change, .. } = self;
        let shown = event.path.as_deref().unwrap_or(&event.template);
        let what = match change {
            Change::Same => String::new(),
            Change::Differs { old, new } => sides(old, new),
            Change::Unknown { old, new } => format!("{}, or not: {}", sides(old, new), self.why()),
            Change::Undecided => "not decided: too many conditions meet, or the plan that is \
                                  named on record cannot have decided this"
                .to_owned(),
        };
        let (sign, method, decision) = (self.sign(), &event.method, &event.decision);
        format!("  {sign} {count}× {method} {}{shown}  {what}  ({decision})", destination(event))
    }

    /// What would have to be known.
    fn why(&self) -> &'static str {
        if self.recorded.method.is_none() {
            "it depends on what was asked for inside"
        } else if self.recorded.path.is_none() {
            "its path is not on record"
        } else {
            "headers, query and content are not on record"
        }
    }
}

fn sides(old: &Side, new: &Side) -> String {
    let (before, after) = (old.outcome.as_str(), new.outcome.as_str());
    if before == after {
        let route = |side: &Side| side.route.clone().unwrap_or_default();
        return format!("{before}: {} -> {}", route(old), route(new));
    }
    format!("{before} -> {after}")
}

fn counted(groups: &[Group], wanted: impl Fn(&Change) -> bool) -> usize {
    groups.iter().filter(|group| wanted(&group.change)).map(|group| group.count).sum()
}

fn changed(change: &Change) -> bool {
    matches!(change, Change::Differs { .. })
}

fn untold(change: &Change) -> bool {
    matches!(change, Change::Unknown { .. } | Change::Undecided)
}

fn as_json(log: &Log) -> Value {
    let request = |group: &Group| {
        let Event { method, host, port, path, template, decision, .. } = &group.event;
        json!({
            "method": method, "host": host, "port": port, "path": path, "template": template,
            "decision": decision, "count": group.count, "result": group.change,
        })
    };
    let sandbox = |((sandbox, profile), groups): (&Who, &Vec<Group>)| {
        json!({
            "sandbox": sandbox, "profile": profile, "decisions": counted(groups, |_| true),
            "changed": counted(groups, changed), "untold": counted(groups, untold),
            "requests": groups.iter().map(request).collect::<Vec<_>>(),
        })
    };
    json!({
        "sandboxes": log.groups.iter().map(sandbox).collect::<Vec<_>>(),
        "unasked": log.unasked, "byOtherPlans": log.by_others,
    })
}

fn print_lines(log: &Log, all: bool) {
    for ((sandbox, profile), groups) in &log.groups {
        let decisions = counted(groups, |_| true);
        let (changed, untold) = (counted(groups, changed), counted(groups, untold));
        print::data(format_args!(
            "sandbox {sandbox} (profile {profile}): {decisions} decisions, {changed} would \
             change, {untold} cannot be told"
        ));
        let differ: Vec<&Group> = groups.iter().filter(|g| g.change != Change::Same).collect();
        let shown = if all { differ.len() } else { SHOWN };
        differ.iter().take(shown).for_each(|group| print::data(group.text()));
        if let Some(more) = differ.len().checked_sub(shown).filter(|more| *more > 0) {
            print::data(format_args!("  and {more} more: `--all` lists them"));
        }
    }
    tell(log);
}

fn tell(log: &Log) {
    if log.groups.is_empty() {
        print::talk("no decision of these profiles is on record");
    }
    if log.unasked > 0 {
        let unasked = log.unasked;
        print::talk(format_args!("{unasked} records are of refusals before any route was asked"));
    }
    if log.by_others > 0 {
        print::talk(format_args!(
            "{} records were made under other plans: what they decided does not narrow down what \
             was asked for",
            log.by_others
        ));
    }
    let groups: Vec<&Group> = log.groups.values().flatten().collect();
    let codes: BTreeSet<bool> =
        groups.iter().filter(|g| untold(&g.change)).map(|g| g.recorded.path.is_none()).collect();
    if codes.contains(&true) {
        print::talk(
            "paths are on record only with `raw_path = true` under `[audit]` in config.toml",
        );
    }
}
