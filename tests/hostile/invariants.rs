//! What must hold behind every case, whatever it was: I1–I6 of the list of attacks, and I7 at the end
//! of a file.

use serde_json::Value;

use super::client::Client;
use super::corpus::{Case, Finish};
use super::run::Played;
use super::shown;
use super::stage::{HOST, OTHERS, Stage};
use super::upstream::{Request, Seen};

/// What the stage had seen before a case.
pub(crate) struct Before {
    /// Requests, bytes and connections by upstream.
    seen: Vec<(usize, usize, usize)>,
    audit: usize,
    stdout: usize,
    stderr: usize,
    asked: usize,
}

/// Descriptors may differ by what the runtime keeps open for itself.
const FILES_SPARE: usize = 6;
const GROWTH_KIB_MAX: u64 = 64 * 1024;

impl Before {
    pub(crate) fn of(stage: &Stage) -> Self {
        let count = |seen: &Seen| (seen.requests.len(), seen.bytes.len(), seen.connections);
        Self {
            seen: stage.upstreams.iter().map(|(_, upstream)| upstream.seen(count)).collect(),
            audit: stage.arena.tail.count(),
            stdout: stage.arena.process.stdout().len(),
            stderr: stage.arena.process.stderr().len(),
            asked: stage.dns.asked().len(),
        }
    }
}

/// What one upstream saw during a case.
struct Fresh {
    name: &'static str,
    requests: Vec<Request>,
    bytes: Vec<u8>,
    connections: usize,
}

/// Compares the world behind a case with what may have become of it.
pub(crate) fn check(
    stage: &Stage,
    case: &Case,
    before: &Before,
    played: &mut Played,
    appended: usize,
) {
    let complete = case.requests_upstream() + appended;
    let lines = record(stage, case, before, played, complete);
    let fresh = fresh(stage, before);
    parity(&fresh, &lines, played);
    counts(case, complete, &fresh, played);
    let found = [
        own_only(stage, &fresh),
        well_formed(stage, &fresh),
        contents(stage, case, &fresh, played),
        no_secret(stage, before, played),
        not_resolved(stage, case, before),
        nothing_for_others(stage),
    ];
    played.problems.extend(found.into_iter().flatten());
    if !played.problems.is_empty() {
        let about = |line: &Value| {
            format!("{} {} {} {}", line["verdict"], line["code"], line["status"], line["detail"])
        };
        played.problems.extend(lines.iter().map(|line| format!("on record: {}", about(line))));
    }
}

fn fresh(stage: &Stage, before: &Before) -> Vec<Fresh> {
    let both = stage.upstreams.iter().zip(&before.seen);
    let since = both.map(|((name, upstream), (requests, bytes, connections))| Fresh {
        name,
        connections: upstream.seen(|seen| seen.connections - connections),
        requests: upstream.seen(|seen| seen.requests[*requests..].to_vec()),
        bytes: upstream.seen(|seen| seen.bytes[*bytes..].to_vec()),
    });
    since.collect()
}

/// The audit lines of this case: at least one for each answer, and for each request upstream.
fn record(
    stage: &Stage,
    case: &Case,
    before: &Before,
    played: &mut Played,
    complete: usize,
) -> Vec<Value> {
    let codes = played.codes.clone();
    let begun: usize = fresh(stage, before).iter().map(|fresh| fresh.requests.len()).sum();
    let complete = complete.max(begun);
    let left = usize::from(case.begun > 0 && case.finish != Finish::Wait);
    let enough = |lines: &[Value]| {
        let with = |code: &str| lines.iter().filter(|line| line["code"] == code).count();
        let wanted = |code: &str| codes.iter().filter(|wanted| *wanted == code).count();
        // What a client left in the middle is on record too.
        lines.len() >= left
            && codes.iter().all(|code| with(code) >= wanted(code))
            && lines.iter().filter(|line| sent(line)).count() >= complete
    };
    let lines = stage.arena.tail.since(before.audit, enough);
    if !enough(&lines) {
        let wanted = format!("{codes:?} and {complete} requests sent");
        played.problems.push(format!("I3: the audit log has not {wanted}: {lines:?}"));
    }
    lines
}

/// Whether a line is of a request that went upstream.
fn sent(line: &Value) -> bool {
    line["upstreamAddress"] != "" && line["method"] != "CONNECT"
}

/// I3: upstreams saw what the audit log says was sent, and all that it says was allowed.
fn parity(fresh: &[Fresh], lines: &[Value], played: &mut Played) {
    let of_line = |line: &Value| {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (text("method"), text("host"), text("path"))
    };
    let mut logged: Vec<_> = lines.iter().filter(|line| sent(line)).collect();
    for request in fresh.iter().flat_map(|fresh| &fresh.requests) {
        let host = request.headers("host").concat();
        let host = host.split(':').next().unwrap_or_default().to_owned();
        let seen = (request.method(), host, request.path());
        let Some(index) = logged.iter().position(|line| of_line(line) == seen) else {
            played.problems.push(format!("I3: an upstream saw {seen:?}, unrecorded"));
            continue;
        };
        let line = logged.remove(index);
        if !request.complete && line["verdict"] == "allow" {
            played.problems.push(format!("I3: on record as allowed, and broken off: {line}"));
        }
    }
    for line in logged.iter().filter(|line| line["verdict"] == "allow") {
        played.problems.push(format!("I3: on record as allowed, and not sent: {line}"));
    }
}

fn counts(case: &Case, complete: usize, fresh: &[Fresh], played: &mut Played) {
    let requests = || fresh.iter().flat_map(|fresh| &fresh.requests);
    let whole = requests().filter(|request| request.complete).count();
    let begun = requests().count() - whole;
    let connected: usize = fresh.iter().map(|fresh| fresh.connections).sum();
    if complete + case.begun == 0 && connected > 0 && !case.connects {
        played.problems.push(format!("I6: {connected} connections for a request that is refused"));
    }
    if whole != complete || begun > case.begun {
        let seen: Vec<_> = requests().map(|request| shown(&request.head)).collect();
        played.problems.push(format!(
            "I6: upstreams saw {whole} requests, not {complete}, and {begun} broken ones: {seen:?}"
        ));
    }
}

/// I1 and I2: no upstream saw a credential of another, or a sandbox's token.
fn own_only(stage: &Stage, fresh: &[Fresh]) -> Vec<String> {
    let mut problems = Vec::new();
    for Fresh { name, bytes, .. } in fresh {
        for target in stage.arena.targets.iter().filter(|target| target.name != *name) {
            let trace = target.secret.as_ref().and_then(|secret| secret.trace_in(bytes));
            problems.extend(
                trace.map(|form| {
                    format!("I1: {name} saw the credential of {} ({form})", target.name)
                }),
            );
        }
        for token in &stage.arena.tokens {
            let trace = token.secret.trace_in(bytes);
            problems.extend(
                trace.map(|form| format!("I2: {name} saw the token of {} ({form})", token.sandbox)),
            );
        }
    }
    let decoyed = stage.decoy.seen(|seen| seen.connections);
    if decoyed > 0 {
        problems.push(format!("I1: {decoyed} connections led to the listener that is nobody's"));
    }
    problems
}

/// What went upstream can be read in one way only, and carries the credential once.
fn well_formed(stage: &Stage, fresh: &[Fresh]) -> Vec<String> {
    let mut problems = Vec::new();
    for Fresh { name, requests, .. } in fresh {
        let secret = stage.arena.targets.iter().find(|target| target.name == *name);
        let is_placed = |target: &&super::arena::Target| target.placeholder.is_none();
        let secret = secret.filter(is_placed).and_then(|target| target.secret.as_ref());
        for request in requests {
            let mut wrong = |what: &str| {
                problems.push(format!("{name} saw {what}: {}", shown(&request.head)));
            };
            let count = |header: &str| request.headers(header).len();
            if count("content-length") + count("transfer-encoding") > 1 {
                wrong("ambiguous framing");
            }
            if count("host") != 1 {
                wrong("not one Host");
            }
            if !request.target().starts_with('/') {
                wrong("a target that is not origin-form");
            }
            if String::from_utf8_lossy(&request.head).to_lowercase().contains("\nproxy-") {
                wrong("I2: a Proxy-* field");
            }
            if request.head.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r') {
                wrong("a bare line feed");
            }
            let due: Vec<_> =
                secret.iter().map(|secret| format!("Bearer {}", secret.value())).collect();
            if !due.is_empty() && request.headers("authorization") != due {
                wrong("not exactly the credential");
            }
        }
    }
    problems
}

fn contents(stage: &Stage, case: &Case, fresh: &[Fresh], played: &Played) -> Vec<String> {
    let text = |text: &String| super::corpus::bytes(text, &|name| stage.placeholder(name));
    let upstream: Vec<u8> = fresh.iter().flat_map(|fresh| fresh.bytes.clone()).collect();
    let has = |bytes: &[u8], needle: &String| {
        let lower = |bytes: &[u8]| bytes.to_ascii_lowercase();
        super::find(&lower(bytes), &lower(&text(needle)), 0).is_some()
    };
    let sides = [
        ("the upstream", &upstream, &case.upstream_has, &case.upstream_lacks),
        ("the client", &played.received, &case.answer_has, &case.answer_lacks),
    ];
    let mut problems = Vec::new();
    for (who, bytes, wanted, unwanted) in sides {
        let missing = wanted.iter().filter(|needle| !has(bytes, needle));
        problems.extend(
            missing.map(|needle| format!("{who} did not see `{needle}`: {}", shown(bytes))),
        );
        let there = unwanted.iter().filter(|needle| has(bytes, needle));
        problems.extend(there.map(|needle| format!("{who} saw `{needle}`: {}", shown(bytes))));
    }
    problems
}

/// I4: no secret in what the client got, in the logs, the audit log or the metrics.
fn no_secret(stage: &Stage, before: &Before, played: &Played) -> Vec<String> {
    /// A secret that was cut in two by the last look is still found.
    const OVERLAP_BYTES: usize = 256;
    let since = |bytes: Vec<u8>, at: usize| bytes[at.saturating_sub(OVERLAP_BYTES)..].to_vec();
    let arena = &stage.arena;
    let lines = arena.tail.since(before.audit, |_| true);
    let places = [
        ("the answer", played.received.clone()),
        ("stdout", since(arena.process.stdout(), before.stdout)),
        ("stderr", since(arena.process.stderr(), before.stderr)),
        ("the audit log", format!("{lines:?}").into_bytes()),
        ("the metrics", arena.metrics()),
    ];
    let secrets =
        arena.targets.iter().filter_map(|target| Some((target.name, target.secret.as_ref()?)));
    let tokens = arena.tokens.iter().map(|token| (token.sandbox, &token.secret));
    let secrets: Vec<_> = secrets.chain(tokens).collect();
    let mut problems = Vec::new();
    for (place, bytes) in &places {
        for (whose, secret) in &secrets {
            let trace = secret.trace_in(bytes);
            problems.extend(
                trace.map(|form| format!("I4: the secret of {whose} is in {place} ({form})")),
            );
        }
    }
    problems
}

/// C11: what is refused by policy is not even looked up.
fn not_resolved(stage: &Stage, case: &Case, before: &Before) -> Vec<String> {
    let asked = stage.dns.asked().split_off(before.asked);
    let asked = |name: &&String| asked.iter().any(|(asked, _)| asked.contains(name.as_str()));
    let names = case.never_resolved.iter().filter(asked);
    names.map(|name| format!("C11: the name server was asked for `{name}`")).collect()
}

/// I5: another sandbox that asks now gets its own answer, and nothing of what was said here.
fn nothing_for_others(stage: &Stage) -> Vec<String> {
    const OTHER: &str = "sbx_b";
    let arena = &stage.arena;
    let from = arena.tail.count();
    let mut client = Client::connect(arena.process.proxy);
    let opened = client.open_tunnel(&format!("{HOST}:443"), &arena.auth(OTHER));
    let client = opened.ok().and_then(|()| client.into_tls(&arena.tls(HOST, &["http/1.1"])).ok());
    let Some(mut client) = client else { return vec![format!("I5: no tunnel for {OTHER}")] };
    client.send(format!("GET {OTHERS} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes());
    let answer = client.answer(false).unwrap_or_default();
    // Its record belongs to no case.
    let is_on_record = |line: &Value| line["sandbox"] == OTHER && sent(line);
    arena.tail.since(from, |lines| lines.iter().any(is_on_record));
    let own = (answer.status, answer.header("x-upstream"), &answer.body[..]);
    match own == (200, Some("yes"), b"ok\n") && client.buffered().is_empty() {
        true => Vec::new(),
        false => vec![format!("I5: {OTHER} got {:?} {}", answer.head, shown(&answer.body))],
    }
}

/// I7: the process lives, and gives back what the cases took.
pub(crate) fn settles(stage: &mut Stage) -> Vec<String> {
    let mut problems = Vec::new();
    if !stage.arena.process.is_alive() {
        return vec!["I7: the proxy died".to_owned()];
    }
    stage.upstreams.iter().for_each(|(_, upstream)| upstream.hang_up());
    let allowed = stage.arena.open_files + FILES_SPARE;
    let mut open = stage.arena.process.open_files();
    // Each look goes through the admin listener and waits for its answer: no sleeping.
    for _ in 0..2000 {
        if open <= allowed {
            break;
        }
        stage.arena.metrics();
        open = stage.arena.process.open_files();
    }
    if open > allowed {
        problems.push(format!(
            "I7: {open} descriptors are open, {} at the start",
            stage.arena.open_files
        ));
    }
    let grown = stage.arena.process.memory_kib().saturating_sub(stage.arena.memory_kib);
    if grown > GROWTH_KIB_MAX {
        problems.push(format!("I7: resident memory grew by {grown} KiB"));
    }
    problems
}

/// The files that were written hold what the tail said, and no secret.
pub(crate) fn files(stage: &Stage) -> Vec<String> {
    let mut problems = Vec::new();
    for file in ["audit.jsonl", "config.toml", "policy.toml"] {
        let bytes = std::fs::read(stage.arena.file(file)).unwrap_or_default();
        for target in &stage.arena.targets {
            let trace = target.secret.as_ref().and_then(|secret| secret.trace_in(&bytes));
            problems.extend(trace.map(|form| format!("I4: {file} has a credential ({form})")));
        }
    }
    problems
}
