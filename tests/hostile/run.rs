//! Plays one case and says what is wrong with what came of it.

use super::answer::Answer;
use super::arena::SANDBOX;
use super::client::Client;
use super::corpus::{self, Case, Expect, Finish, To};
use super::h2::{H2, Reply};
use super::shown;
use super::stage::{HOST, Stage};
use super::stream::Filled;
use super::upstream::After;

/// A request that the proxy answered by itself, and must therefore have on record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Played {
    /// What was sent, for the report.
    pub(crate) sent: Vec<u8>,
    pub(crate) received: Vec<u8>,
    /// Answers of the proxy's own, by code.
    pub(crate) codes: Vec<String>,
    pub(crate) problems: Vec<String>,
}

impl Played {
    fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }
}

/// Sends a case and compares what comes back with what it expects.
pub(crate) fn play(stage: &Stage, case: &Case, appended: Option<&str>) -> Played {
    let text = |text: &str| corpus::bytes(text, &|name| stage.placeholder(name));
    if let Some(respond) = &case.respond {
        stage.script(&case.path(), text(respond), After::Close);
    }
    let mut played = Played::default();
    let opened = match open(stage, case, &text) {
        Ok(_) if case.handshake_fails => {
            played.problem("TLS inside the tunnel was accepted");
            return played;
        }
        Ok(client) => client,
        Err(problem) => {
            if !case.handshake_fails {
                played.problem(problem);
            }
            return played;
        }
    };
    if case.to == To::TunnelH2 {
        return play_h2(case, opened, played, &text);
    }
    played.sent = text(&case.text());
    played.sent.extend(appended.map(text).unwrap_or_default());
    play_h1(case, opened, played, appended.is_some())
}

fn open(stage: &Stage, case: &Case, text: &dyn Fn(&str) -> Vec<u8>) -> Result<Client, String> {
    let mut client = Client::connect(stage.arena.process.proxy);
    if case.to == To::Port {
        return Ok(client);
    }
    let plain = |value: &str| String::from_utf8_lossy(&text(value)).into_owned();
    let authority = case.connect.as_deref().map_or_else(|| format!("{HOST}:443"), plain);
    let opened = client.open_tunnel(&authority, &stage.arena.auth(SANDBOX));
    opened.map_err(|answer| format!("CONNECT {authority} was answered {:?}", answer.head))?;
    if case.to == To::TunnelRaw {
        return Ok(client);
    }
    let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_owned();
    let name = case.sni.as_deref().map_or(host, plain);
    let alpn = if case.to == To::TunnelH2 { "h2" } else { "http/1.1" };
    let tls = stage.arena.tls(&name, &[alpn]);
    client.into_tls(&tls).map_err(|error| format!("TLS inside the tunnel: {error}"))
}

fn play_h1(case: &Case, mut client: Client, mut played: Played, appended: bool) -> Played {
    client.send(&played.sent);
    match case.finish {
        Finish::Wait => {}
        Finish::HalfClose => client.stream.half_close(),
        Finish::Reset => {
            client.stream.reset();
            return played;
        }
    }
    let mut expected = case.expected();
    if appended && case.stays_open() {
        expected.push(Expect::Ok);
    }
    let without_body = played.sent.starts_with(b"HEAD ");
    for expect in &expected {
        if matches!(expect, Expect::Close | Expect::Nothing) {
            break;
        }
        let answer = next_final(&mut client, without_body);
        judge(case, *expect, answer, &mut played);
    }
    if !case.stays_open() {
        if client.read_to_end() == Filled::Silence {
            played.problem("the connection was left open");
        }
    } else {
        client.stream.half_close();
        if client.read_to_end() == Filled::Silence {
            played.problem("the proxy does not end a connection that the client has ended");
        }
    }
    // What follows a 101 is another protocol's.
    let is_switched = expected.last() == Some(&Expect::Switch);
    while let Some(surplus) = client.answer(without_body).filter(|_| !is_switched) {
        // A refusal, or bytes that are no HTTP: the alert of a TLS handshake that failed.
        let refusal = surplus.status >= 400 || surplus.status == 0;
        if !refusal || expected != [Expect::Close] {
            played.problem(format!("an answer too many: {:?}", surplus.head));
        }
    }
    played.received = std::mem::take(&mut client.received);
    played
}

fn next_final(client: &mut Client, without_body: bool) -> Option<Answer> {
    loop {
        let answer = client.answer(without_body)?;
        if answer.status >= 200 || answer.status == 101 || answer.status == 0 {
            return Some(answer);
        }
    }
}

fn judge(case: &Case, expect: Expect, answer: Option<Answer>, played: &mut Played) {
    let Some(answer) = answer else {
        return played.problem(format!("no answer where {expect:?} was due"));
    };
    let code = answer.code().map(str::to_owned);
    let shown = answer.head.lines().next().unwrap_or_default().to_owned();
    if let Some(code) = &code {
        played.codes.push(code.clone());
        if answer.header("x-sallygate-decision").is_none() {
            played.problem("a refusal without a decision id");
        }
        if answer.header("content-type") != Some("application/problem+json") {
            played.problem("a refusal that is no problem document");
        }
    }
    if expect == Expect::Auth && answer.header("proxy-authenticate").is_none() {
        played.problem("407 without a challenge");
    }
    if answer.complete == (expect == Expect::Abort) {
        played.problem(format!("{shown}: complete is {}", answer.complete));
    }
    check(case, expect, answer.status, code.as_deref(), &shown, played);
}

fn check(
    case: &Case,
    expect: Expect,
    status: u16,
    code: Option<&str>,
    shown: &str,
    played: &mut Played,
) {
    let fits = match expect {
        Expect::Bad => matches!(status, 400 | 421),
        Expect::Deny => status == 403,
        Expect::Auth => status == 407,
        Expect::Lim => matches!(status, 408 | 413 | 414 | 429 | 431),
        Expect::Ok | Expect::Abort => (200..400).contains(&status),
        Expect::Up => matches!(status, 502 | 504),
        Expect::Switch => status == 101,
        Expect::Close | Expect::Nothing => true,
    };
    if !fits {
        played.problem(format!("{expect:?} was due and the answer is {shown}"));
    }
    let refusal = !matches!(expect, Expect::Ok | Expect::Abort | Expect::Switch);
    if refusal && code.is_none() {
        played.problem(format!("the proxy's own answer has no code: {shown}"));
    }
    if let (true, Some(due), Some(code)) = (refusal, &case.code, code)
        && due != code
    {
        played.problem(format!("the code is `{code}`, not `{due}`"));
    }
}

fn play_h2(
    case: &Case,
    client: Client,
    mut played: Played,
    text: &dyn Fn(&str) -> Vec<u8>,
) -> Played {
    let rounds = case.rounds.unwrap_or(1);
    for round in 0..rounds {
        for frame in &case.frames {
            played.sent.extend(frame.bytes(round * 2, text));
        }
    }
    let mut streams: Vec<u32> =
        case.frames.iter().filter(|frame| frame.opens()).map(|frame| frame.stream()).collect();
    streams.dedup();
    let expected = case.expected();
    let mut h2 = H2::start(client);
    h2.client.send(&played.sent);
    if case.finish == Finish::HalfClose {
        h2.client.stream.half_close();
    }
    let closes = expected == [Expect::Close];
    h2.read_until(|replies| {
        let settled = |id| replies.streams.get(id).is_some_and(Reply::is_settled);
        replies.goaway.is_some_and(|code| code != 0) || !closes && streams.iter().all(settled)
    });
    if h2.replies.end == Some(Filled::Silence) {
        played.problem("nothing more came, and the connection was left open");
    }
    if closes {
        // What ends a connection is told to the client, and is on record.
        if h2.replies.goaway.unwrap_or_default() == 0 {
            played.problem("the connection was ended without a GOAWAY that says why");
        }
        if let (Some(due), Some(code)) = (case.goaway, h2.replies.goaway)
            && due != code
        {
            played.problem(format!("GOAWAY says {code}, not {due}"));
        }
        played.codes.push("bad_framing".to_owned());
    }
    for (expect, id) in expected.iter().zip(streams.iter().chain(std::iter::repeat(&1))) {
        let reply = h2.replies.streams.get(id).cloned().unwrap_or_default();
        let ended = h2.replies.goaway.is_some_and(|code| code != 0) || h2.replies.end.is_some();
        judge_h2(case, *expect, &reply, ended, &mut played);
    }
    played.received = std::mem::take(&mut h2.client.received);
    let data = h2.replies.streams.values().flat_map(|reply| reply.data.clone());
    played.received.extend(data.collect::<Vec<_>>());
    played
}

fn judge_h2(case: &Case, expect: Expect, reply: &Reply, ended: bool, played: &mut Played) {
    let broken = reply.reset.is_some() || ended && !reply.ended;
    let shown = format!("{} {}", shown(&reply.blocks.concat()), shown(&reply.data));
    let as_due = match expect {
        Expect::Close | Expect::Nothing => {
            if !ended {
                played.problem("the connection was left open");
            }
            true
        }
        // The library below may refuse with a bare status, or end the stream; not where a code is due.
        Expect::Bad if case.code.is_none() => {
            (broken || reply.ended && reply.data.is_empty()) && !reply.says_ok()
        }
        Expect::Abort => broken && reply.says_ok(),
        Expect::Ok => reply.says_ok() && reply.ended && !broken,
        Expect::Bad | Expect::Deny | Expect::Auth | Expect::Lim | Expect::Up | Expect::Switch => {
            false
        }
    };
    if as_due {
        return;
    }
    let problem = reply.problem().unwrap_or_default();
    let code = problem["code"].as_str();
    let status = problem["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    played.codes.extend(code.map(str::to_owned));
    if matches!(expect, Expect::Ok | Expect::Abort | Expect::Switch) || broken {
        let reset = reply.reset;
        return played
            .problem(format!("{expect:?} was due: reset {reset:?}, ended {ended}, {shown}"));
    }
    check(case, expect, status.unwrap_or(0), code, &shown, played);
}
