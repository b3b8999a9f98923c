//! `sallygate policy diff`: the requests that two policies decide differently.

mod operand;
mod replay;

use std::path::PathBuf;
use std::sync::Arc;

use sallygate_compiler::analysis::{Diff, Region, diff};
use sallygate_compiler::plan::Plan;
use sallygate_compiler::table::RouteTable;
use serde_json::{Value, json};

use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::print;
use crate::print::Format;

/// More differences are counted, not listed.
const SHOWN: usize = 12;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Before: a plan (.json), a configuration (.toml), its directory, or `running` for what a
    /// proxy has in force
    #[arg(value_name = "A", default_value = operand::RUNNING)]
    old: String,
    /// After: the same [default: the configuration]
    #[arg(value_name = "B")]
    new: Option<String>,
    /// Only this profile; what a plan is compared as when it stands against a configuration
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Instead of all requests, those of an audit log: which decisions would have changed
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// List every difference, each with a request that shows it
    #[arg(long)]
    all: bool,
    /// Output format
    #[arg(long, visible_alias = "output", short_alias = 'o', value_enum, default_value_t)]
    format: Format,
}

/// A profile on both sides.
#[derive(Debug)]
struct Pair {
    profile: String,
    old: RouteTable,
    new: RouteTable,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let pairs = pairs(options)?;
    if let Some(log) = &options.replay {
        return replay::run(options, &pairs, log);
    }
    let found: Vec<(&Pair, Diff)> =
        pairs.iter().map(|pair| (pair, diff(&pair.old, &pair.new))).collect();
    match options.format {
        Format::Json => print::data(as_json(&found)),
        Format::Human => print_lines(&found, options.all),
    }
    let differs = found.iter().any(|(_, diff)| !diff.regions.is_empty() || !diff.complete);
    // The differences stand on the output already.
    if differs { Err(Failure::Told(2)) } else { Ok(()) }
}

fn pairs(options: &Options) -> Result<Vec<Pair>, Failure> {
    let configured = options.place.config();
    let old = operand::read(&options.old, &options.place)?;
    let new = match &options.new {
        Some(new) => operand::read(new, &options.place)?,
        None => operand::of_configuration(&configured)?,
    };
    let matched = operand::matched(old, new, options.profile.as_deref())?;
    let table = |plan: Plan| RouteTable::build(Arc::new(plan));
    matched
        .into_iter()
        .map(|(profile, old, new)| Ok(Pair { profile, old: table(old)?, new: table(new)? }))
        .collect()
}

fn as_json(found: &[(&Pair, Diff)]) -> Value {
    let region = |region: &Region| {
        let mut value = json!(region);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("sign".to_owned(), json!(region.sign()));
        }
        value
    };
    let profile = |(pair, diff): &(&Pair, Diff)| {
        json!({
            "profile": pair.profile,
            "old": pair.old.plan().digest,
            "new": pair.new.plan().digest,
            "complete": diff.complete,
            "regions": diff.regions.iter().map(region).collect::<Vec<_>>(),
        })
    };
    json!({ "profiles": found.iter().map(profile).collect::<Vec<_>>() })
}

fn print_lines(found: &[(&Pair, Diff)], all: bool) {
    let regions = |(pair, diff): &'_ (&Pair, Diff)| {
        let profile = pair.profile.clone();
        diff.regions.clone().into_iter().map(move |region| (profile.clone(), region))
    };
    let mut lines: Vec<(String, Region)> = found.iter().flat_map(regions).collect();
    // What is let out in addition is what a reader must not miss.
    lines.sort_by_key(|(_, region)| match region.sign() {
        '+' => 0,
        '~' => 1,
        _ => 2,
    });
    let shown = if all { lines.len() } else { SHOWN };
    for (profile, region) in lines.iter().take(shown) {
        print::data(format_args!("{} {profile} {region}", region.sign()));
        if all {
            print::data(format_args!("    such as {}", region.witness));
        }
    }
    if let Some(more) = lines.len().checked_sub(shown).filter(|more| *more > 0) {
        print::data(format_args!("and {more} more: `--all` lists them"));
    }
    for (pair, diff) in found {
        let Pair { profile, old, new } = pair;
        if !diff.complete {
            print::talk(format_args!(
                "profile {profile}: too many conditions meet at one path; there may be more"
            ));
        } else if diff.regions.is_empty() && old.plan().digest != new.plan().digest {
            print::talk(format_args!(
                "profile {profile}: every request is decided alike; the plans differ in how that \
                 is written, or in what is not about requests"
            ));
        }
    }
}
