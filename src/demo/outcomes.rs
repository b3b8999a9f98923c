//! Six requests that are really sent, and what the proxy's own record says became of them.

use std::path::Path;
use std::time::Duration;

use sallygate_proxy::record::Event;
use serde_json::Value;
use tokio::time::timeout;

use super::client::{Client, Way};
use super::{HOST, PROFILE};
use crate::client::{Admin, SessionSandbox, Tail};
use crate::exit::{Failure, failed};
use crate::running::Running;

const RECORD_WITHIN: Duration = Duration::from_secs(10);
const SESSION_SECONDS: u64 = 300;
const REPETITIONS: u32 = 40;
const WIDTH: usize = 80;

struct Wanted {
    scheme: &'static str,
    method: &'static str,
    host: &'static str,
    path: &'static str,
    times: u32,
}

const fn wanted(method: &'static str, host: &'static str, path: &'static str) -> Wanted {
    Wanted { scheme: "https", method, host, path, times: 1 }
}

const REQUESTS: [Wanted; 6] = [
    wanted("GET", HOST, "/get"),
    wanted("GET", HOST, "/headers"),
    wanted("POST", HOST, "/anything"),
    wanted("GET", "evil.test", "/"),
    Wanted { scheme: "http", ..wanted("GET", "169.254.169.254", "/latest/meta-data") },
    Wanted { times: REPETITIONS, ..wanted("GET", HOST, "/get") },
];

/// What became of one of the requests.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    allowed: bool,
    verb: &'static str,
    method: &'static str,
    target: String,
    outcome: String,
    micros: u64,
    pub(crate) decision: String,
}

impl Line {
    /// Whether the proxy let it through.
    pub(crate) fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// One line of at most 80 columns.
    pub(crate) fn text(&self, number: usize, colored: bool) -> String {
        let Self { verb, method, target, outcome, .. } = self;
        let mark = if self.allowed { '✓' } else { '✗' };
        let time = time(self.micros);
        let left = format!("{method:<5}{target:<32}  {outcome}");
        let room = WIDTH.saturating_sub("  1 ✓ inject  ".chars().count() + time.chars().count());
        let filler = room.saturating_sub(left.chars().count());
        let (on, off) = match (colored, self.allowed) {
            (false, _) => ("", ""),
            (true, true) => ("\x1b[32m", "\x1b[0m"),
            (true, false) => ("\x1b[31m", "\x1b[0m"),
        };
        format!("  {number} {on}{mark} {verb:<6}{off}  {left}{:filler$}{time}", "")
    }
}

fn time(micros: u64) -> String {
    match micros {
        0..1000 => format!(" {micros} µs"),
        _ => format!(" {}.{} ms", micros / 1000, micros % 1000 / 100),
    }
}

/// Sends the six requests as a sandbox of its own. `None` when the policy has no such profile.
pub(crate) async fn measure(
    running: &Running,
    admin: &Admin,
    dir: &Path,
) -> Result<Option<Vec<Line>>, Failure> {
    let sandbox = match admin.mint(PROFILE, SESSION_SECONDS).await {
        Ok(sandbox) => sandbox,
        Err(Failure::NotFound(_)) => return Ok(None),
        Err(other) => return Err(other),
    };
    let lines = send_all(running, admin, &sandbox, dir).await;
    admin.revoke(&sandbox.id).await?;
    lines.map(Some)
}

async fn send_all(
    running: &Running,
    admin: &Admin,
    sandbox: &SessionSandbox,
    dir: &Path,
) -> Result<Vec<Line>, Failure> {
    let proxy = running.entrance().ok_or_else(|| failed("the proxy has no TCP listener"))?;
    let ca = std::fs::read(dir.join("ca.pem"))?;
    let client = Client::new(proxy, sandbox.authorization(), &ca)?;
    let secret = std::fs::read_to_string(dir.join(super::files::TOKEN)).unwrap_or_default();
    let mut records = Records { tail: admin.tail().await?, sandbox: sandbox.id.clone() };
    let mut lines = Vec::with_capacity(REQUESTS.len());
    for wanted in &REQUESTS {
        lines.push(send(&client, wanted, &mut records, secret.trim()).await?);
    }
    Ok(lines)
}

async fn send(
    client: &Client,
    wanted: &Wanted,
    records: &mut Records,
    secret: &str,
) -> Result<Line, Failure> {
    let mut way: Way = match wanted.scheme {
        "https" => client.secure(wanted.host).await?,
        _ => client.plain(wanted.host).await?,
    };
    let (mut events, mut body) = (Vec::new(), Vec::new());
    for _ in 0..wanted.times {
        let (back, answer) = way.send(wanted.method, wanted.path).await?;
        (way, body) = (back, answer.body.to_vec());
        events.push(records.next().await?);
    }
    Ok(line(wanted, &events, presented(&body, secret)))
}

/// How the upstream saw the demo's credential; only its form, never the value.
fn presented(body: &[u8], secret: &str) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let value = answer.pointer("/headers/authorization")?.as_str()?;
    let scheme = value.strip_suffix(secret).filter(|_| !secret.is_empty())?;
    Some(format!("{scheme}••••(demo)"))
}

fn line(wanted: &Wanted, events: &[Event], presented: Option<String>) -> Line {
    let refused: Vec<&Event> = events.iter().filter(|e| e.verdict != "allow").collect();
    let event = refused.first().copied().or(events.first()).cloned().unwrap_or_default();
    let allowed = refused.is_empty();
    let many = wanted.times > 1;
    let (verb, outcome) = match event.code.as_str() {
        "ok" if !event.credential.is_empty() => {
            ("inject", presented.unwrap_or_else(|| "nothing injected".into()))
        }
        "ok" => ("allow", format!("rule {}", event.route.trim_start_matches("policy/"))),
        "denied" => ("deny", format!("denied: {}", event.detail)),
        "rate_limited" => ("limit", format!("rate_limited ×{}", refused.len())),
        code if event.verdict == "deny" => ("deny", code.to_owned()),
        code => ("error", code.to_owned()),
    };
    let times = if many { format!(" (×{})", wanted.times) } else { String::new() };
    let target = format!("{}{}{times}", wanted.host, wanted.path);
    Line {
        allowed,
        verb,
        method: wanted.method,
        target,
        outcome,
        micros: events.iter().map(|event| event.durations_us.total).sum(),
        decision: event.decision,
    }
}

/// Records of one sandbox.
struct Records {
    tail: Tail,
    sandbox: String,
}

impl Records {
    async fn next(&mut self) -> Result<Event, Failure> {
        let next = async {
            while let Some(line) = self.tail.next_line().await {
                let event: Event = serde_json::from_str(&line).unwrap_or_default();
                if event.sandbox == self.sandbox {
                    return Ok(event);
                }
            }
            Err(failed("the proxy went away"))
        };
        let recorded = timeout(RECORD_WITHIN, next).await;
        recorded.unwrap_or_else(|_| Err(failed("a request was not recorded in time")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_fits_80_columns() {
        let verdict = |verdict: &str, code: &str, route: &str| Event {
            verdict: verdict.into(),
            code: code.into(),
            route: route.into(),
            detail: "GET only".into(),
            durations_us: sallygate_proxy::record::Durations {
                total: 99_949,
                ..Default::default()
            },
            ..Event::default()
        };
        let [a, b, c, d, e, f] = &REQUESTS;
        let injected =
            Event { credential: "demo".into(), ..verdict("allow", "ok", "demo/headers") };
        let shown = presented(br#"{"headers":{"authorization":"Bearer x"}}"#, "x");
        let lines = [
            line(a, &[verdict("allow", "ok", "policy/demo-read")], None),
            line(b, &[injected], shown),
            line(c, &[verdict("deny", "denied", "policy/demo-read-only")], None),
            line(d, &[verdict("deny", "no_route", "")], None),
            line(e, &[verdict("deny", "address_refused", "")], None),
            line(f, &vec![verdict("deny", "rate_limited", ""); 11], None),
        ];
        for (number, line) in lines.iter().enumerate() {
            let text = line.text(number + 1, false);
            assert!(text.chars().count() <= WIDTH, "{text}");
        }
        assert_eq!(lines.iter().filter(|line| line.is_allowed()).count(), 2);
    }
}
