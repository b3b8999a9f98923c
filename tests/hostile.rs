//! Hostile input, as data: every file of `tests/corpus` is played against one running proxy, and
//! behind every case the invariants of the list of attacks are checked.

#![cfg(test)]

#[expect(dead_code, reason = "each test file uses its part of the stage")]
#[path = "hostile/mod.rs"]
mod rig;

use rig::arena::{Arena, SANDBOX, Setup, Target};
use rig::client::Client;
use rig::corpus::{self, Case};
use rig::invariants::{self, Before};
use rig::run::play;
use rig::shown;
use rig::stage::Stage;
use rig::upstream::{Upstream, ok};

/// Plays every case of a file and reports all that failed at once.
fn play_file(name: &str) {
    let (file, written) = corpus::read(name);
    let mut stage = Stage::of(&file);
    for sandbox in &file.given {
        stage.placeholder(&format!("dummy {sandbox}")).expect("the sandbox is given one");
    }
    let (mut played, mut reports) = (0, Vec::new());
    for case in &file.cases {
        play_case(&stage, case, None, &mut reports);
        if let Some(append) = file.append.as_deref().filter(|_| !case.alone) {
            play_case(&stage, case, Some(append), &mut reports);
        }
        if file.also_h2 && !case.only_h1 {
            play_case(&stage, &case.over_h2(), None, &mut reports);
        }
        played += 1;
    }
    reports.extend(invariants::settles(&mut stage));
    reports.extend(invariants::files(&stage));
    assert_eq!(played, written, "cases played and cases in {name}");
    assert!(reports.is_empty(), "{} failures in {name}:\n{}", reports.len(), reports.join("\n"));
}

fn play_case(stage: &Stage, case: &Case, append: Option<&str>, reports: &mut Vec<String>) {
    let before = Before::of(stage);
    let mut played = play(stage, case, append);
    let appended = usize::from(append.is_some() && case.stays_open());
    invariants::check(stage, case, &before, &mut played, appended);
    if !played.problems.is_empty() {
        let Case { id, name, expect, code, .. } = case;
        let (sent, received) = (shown(&played.sent), shown(&played.received));
        let problems = played.problems.join("\n    ");
        let also = if append.is_some() { " (with a request appended)" } else { "" };
        reports.push(format!(
            "{id}{also}: {name}\n    sent {sent}\n    expected {expect} {code:?}\n    received \
             {received}\n    {problems}"
        ));
    }
}

#[test]
fn a_group_is_refused_at_the_entry() {
    play_file("a-entry.toml");
}

#[test]
fn a_host_has_one_spelling() {
    play_file("b-host.toml");
}

#[test]
fn a_name_that_leads_inside_is_not_followed() {
    play_file("c-ssrf.toml");
}

#[test]
fn what_is_not_tls_is_never_tunnelled() {
    play_file("d-tls.toml");
}

#[test]
fn an_upstream_that_cannot_prove_who_it_is_gets_nothing() {
    play_file("e-upstream-tls.toml");
}

#[test]
fn a_message_has_one_end() {
    play_file("f-framing.toml");
}

#[test]
fn a_head_has_one_reading() {
    play_file("g-head.toml");
}

#[test]
fn http2_is_held_to_its_rules() {
    play_file("h-http2.toml");
}

#[test]
fn a_placeholder_is_worth_something_in_its_place_alone() {
    play_file("j-credentials.toml");
}

#[test]
fn a_path_has_one_reading() {
    play_file("p-path.toml");
}

#[test]
fn an_answer_is_whole_or_an_error() {
    play_file("r-responses.toml");
}

/// Rows of the list of attacks on the data plane, by their group.
const ROWS: [(char, &[u8]); 11] = [
    ('A', &[1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22]),
    ('B', &[1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 13, 15, 16, 17]),
    ('C', &[1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 16, 17]),
    ('D', &[1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16]),
    ('E', &[1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13]),
    ('F', &[1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 13, 15, 16, 17, 18, 19, 20, 21]),
    ('G', &[1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 15]),
    ('H', &[1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 14, 16, 17, 18]),
    ('J', &[3, 4]),
    ('P', &[1, 3, 4, 5, 7, 9, 10, 11]),
    ('R', &[1, 3, 4, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16]),
];

#[test]
fn every_row_of_the_list_of_attacks_is_played_or_tested_elsewhere() {
    let mut found: Vec<String> = Vec::new();
    for name in corpus::files() {
        found.extend(corpus::read(&name).0.cases.iter().map(|case| case.row().to_owned()));
    }
    for row in corpus::elsewhere() {
        let (file, test) = row.test.split_once("::").expect("a file and a test");
        let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(text.contains(&format!("fn {test}(")), "{}: no test {}", row.id, row.test);
        assert!(!found.contains(&row.id), "{} is played as well", row.id);
        found.push(row.id);
    }
    let rows =
        ROWS.iter().flat_map(|(group, rows)| rows.iter().map(move |n| format!("{group}{n:02}")));
    let missing: Vec<String> = rows.filter(|row| !found.contains(row)).collect();
    assert!(missing.is_empty(), "neither played nor tested: {missing:?}");
}

#[test]
fn a_proxy_that_the_environment_names_is_not_used() {
    let ca = rig::scene::provider_and_ca();
    let upstream = Upstream::tls(ca.server(&["alpha.test"]), ok());
    let parent = Upstream::listen("127.0.0.1", None, ok());
    let url = format!("http://{}", parent.address);
    let names =
        ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    let arena = Arena::start(Setup {
        targets: vec![Target::bound("alpha", upstream.address, ca.pem(), "{ name = \"all\" },")],
        variables: names.map(|name| (name.to_owned(), url.clone())).to_vec(),
        ..Setup::default()
    });
    assert_eq!(arena.fetch("alpha.test", "/"), 200);
    assert_eq!(upstream.seen(|seen| seen.requests.len()), 1);
    assert_eq!(parent.seen(|seen| seen.connections), 0);
}

#[test]
fn a_name_is_looked_up_once_for_a_connection_and_what_was_checked_is_connected_to() {
    let stage = Stage::start("");
    let port = stage.placeholder("port").expect("a port");
    let name = "steady.rebind.test";
    let authority = format!("{name}:{port}");
    let mut client = Client::connect(stage.arena.process.proxy);
    client.open_tunnel(&authority, &stage.arena.auth(SANDBOX)).expect("a tunnel");
    assert_eq!(stage.dns.times_asked(name), 0, "looked up before anything was asked for");
    let tls = stage.arena.tls(name, &["http/1.1"]);
    let mut client = client.into_tls(&tls).expect("an intercepted tunnel");
    client.send(format!("GET /../ HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes());
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(400));
    assert_eq!(stage.dns.times_asked(name), 0, "looked up for a request that is refused");
    client.send(format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes());
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
    assert_eq!(stage.dns.times_asked(name), 1, "looked up again behind the check");
    assert_eq!(stage.decoy.seen(|seen| seen.connections), 0);
}

#[test]
fn a_sandbox_has_so_many_connections_and_no_more() {
    let stage = Stage::start("sandbox_connections_max = 3");
    let arena = &stage.arena;
    let open = |sandbox: &str| {
        let mut client = Client::connect(arena.process.proxy);
        let opened = client.open_tunnel("alpha.test:443", &arena.auth(sandbox));
        (client, opened.map_or_else(|answer| answer.status, |()| 200))
    };
    let mut held: Vec<_> = (0..3).map(|_| open(SANDBOX)).collect();
    assert!(held.iter().all(|(_, status)| *status == 200));
    assert_eq!(open(SANDBOX).1, 429, "one too many");
    assert_eq!(open("sbx_b").1, 200, "another sandbox has its own");
    let (mut freed, _) = held.pop().expect("a connection");
    freed.stream.half_close();
    freed.read_to_end();
    // Its place is free when the proxy has let go of the connection, which the audit log tells
    // nothing of: asking again is how a client finds out.
    assert!((0..1000).any(|_| open(SANDBOX).1 == 200), "no place became free");
}

/// A page in a browser reaches loopback too, under whatever name its own server has.
#[test]
fn a_page_in_a_browser_gets_nothing_of_the_operators_listener() {
    let stage = Stage::start("");
    let token = std::fs::read_to_string(stage.arena.file("operator.token")).expect("a token");
    let bearer = format!("Authorization: Bearer {}\r\n", token.trim());
    let admin = stage.arena.process.admin;
    let own = admin.to_string();
    let local = format!("localhost:{}", admin.port());
    for (host, bearer, path, status) in [
        ("evil.test", bearer.as_str(), "GET /v1/status", 403),
        ("evil.test", "", "GET /metrics", 403),
        ("evil.test", "", "POST /v1/reload", 403),
        ("127.0.0.1.evil.test", &bearer, "GET /v1/status", 403),
        ("localhost.evil.test", &bearer, "GET /v1/status", 403),
        ("", &bearer, "GET /v1/status", 403),
        (&own, "", "POST /v1/reload", 401),
        (&own, "Authorization: Bearer x\r\n", "POST /v1/reload", 401),
        (&own, "Origin: http://evil.test\r\n", "POST /v1/reload", 401),
        (&own, &bearer, "GET /v1/status", 200),
        (&local, &bearer, "GET /v1/status", 200),
    ] {
        let mut client = Client::connect(admin);
        let head = format!("{path} HTTP/1.1\r\nHost: {host}\r\n{bearer}Content-Length: 0\r\n\r\n");
        client.send(head.as_bytes());
        let given = client.answer(false).map(|answer| answer.status);
        assert_eq!(given, Some(status), "{path} as `{host}` with `{bearer}`");
    }
}

#[test]
fn the_harness_notices_what_it_is_there_to_notice() {
    let stage = Stage::start("");
    let get = r"GET /get HTTP/1.1\r\nHost: {host}\r\n";
    let bad = [
        (format!("send = '{get}Connection: close\\r\\n\\r\\n'\nexpect = 'BAD'"), "Bad was due"),
        (format!("send = '{get}\\r\\n'\nexpect = 'DENY'"), "I6"),
        (format!("send = '{get}\\r\\n{get}\\r\\n'\nexpect = 'OK'"), "I6"),
        (format!("send = '{get}X: {{secret beta}}\\r\\n\\r\\n'\nexpect = 'OK'"), "I1"),
        (format!("send = '{get}X: {{token sbx_b}}\\r\\n\\r\\n'\nexpect = 'OK'"), "I2"),
        (format!("send = '{get}X: {{basic sbx_a}}\\r\\n\\r\\n'\nexpect = 'OK'"), "I2"),
        (r"respond = 'HTTP/1.1 200 OK\r\n\r\n{secret alpha}'".to_owned() + "\nexpect = 'OK'", "I4"),
        ("finish = 'half-close'\nexpect = 'OK'\nupstream = 0".to_owned(), "no answer"),
        ("frames = [{ get = [] }]\nto = 'tunnel-h2'\nexpect = 'BAD'".to_owned(), "Bad was due"),
    ];
    for (text, problem) in bad {
        let case = corpus::case(&format!("id = 'X01'\nname = 'not as expected'\n{text}"));
        let mut reports = Vec::new();
        play_case(&stage, &case, None, &mut reports);
        let report = reports.join("\n");
        assert!(report.contains(problem), "`{problem}` was not noticed of\n{text}\n{report}");
    }
}
