//! `sallygate tail`: records as they were written, or as they are.

use sallygate_proxy::record::Event;

use crate::audit_log::{self, Recorded};
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::print::Format;
use crate::{client, configuration, environment, print, runtime};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Go on with what happens from now
    #[arg(short, long)]
    follow: bool,
    /// How many of the last records to show; with `--follow` none
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: usize,
    /// Only of this sandbox
    #[arg(long, value_name = "ID")]
    sandbox: Option<String>,
    /// Only what was not allowed
    #[arg(long)]
    denied: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Options {
    fn wants(&self, event: &Event) -> bool {
        self.sandbox.as_ref().is_none_or(|id| *id == event.sandbox)
            && !(self.denied && event.verdict == "allow")
    }

    fn show(&self, recorded: &Recorded) {
        if !self.wants(&recorded.event) {
            return;
        }
        match self.output {
            Format::Json => print::raw(format_args!("{}\n", recorded.line)),
            Format::Human => print::raw(line(&recorded.event, environment::wants_color()) + "\n"),
        }
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    if options.follow {
        return runtime::block_on(follow(options));
    }
    let path = path(options)?;
    let records = audit_log::last_records(&path)?;
    let wanted: Vec<Recorded> = records.filter(|record| options.wants(&record.event)).collect();
    let before = wanted.len().saturating_sub(options.lines);
    wanted.iter().skip(before).for_each(|record| options.show(record));
    Ok(())
}

/// Where the configuration says that the log is; without one, where it is by default.
fn path(options: &Options) -> Result<std::path::PathBuf, Failure> {
    let config = options.place.config();
    if !config.exists() {
        return Ok(options.place.data_dir().join("audit.jsonl"));
    }
    Ok(configuration::audit_path(&config))
}

async fn follow(options: &Options) -> Outcome {
    let (_, admin) = client::connect(&options.place.data_dir())?;
    let mut tail = admin.tail().await?;
    while let Some(line) = tail.next_line().await {
        if let Some(recorded) = Recorded::read(line) {
            options.show(&recorded);
        }
    }
    Err(Failure::Unavailable("the proxy went away".into()))
}

/// One record for people.
pub(crate) fn line(event: &Event, colored: bool) -> String {
    let (mark, color) = match event.verdict.as_str() {
        "allow" => ('✓', "\x1b[32m"),
        "deny" => ('✗', "\x1b[31m"),
        _ => ('!', "\x1b[33m"),
    };
    let (on, off) = if colored { (color, "\x1b[0m") } else { ("", "") };
    let Event { time, verdict, method, code, route, sandbox, .. } = event;
    let clock = time.split('T').nth(1).unwrap_or(time).trim_end_matches('Z');
    let path = event.path.as_deref().unwrap_or(&event.template);
    let why = match code.as_str() {
        "ok" => route.clone(),
        code => format!("{code} {}", event.decision),
    };
    let micros = event.durations_us.total;
    let (ms, tenth) = (micros / 1000, micros % 1000 / 100);
    let target = format!("{}{path}", destination(event));
    format!(
        "{clock:<12} {on}{mark} {verdict:<5}{off} {method:<7} {target:<40} {:>3} {:>8} {why}  {sandbox}",
        event.status,
        format!("{ms}.{tenth} ms"),
    )
}

/// Host, and port where it is none of the usual ones.
pub(crate) fn destination(event: &Event) -> String {
    match event.port {
        0 | 80 | 443 => event.host.clone(),
        port => format!("{}:{port}", event.host),
    }
}
