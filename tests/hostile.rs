//! Hostile input, as data: every file of `tests/corpus` is played against one running proxy, and
//! behind every case the invariants of the list of attacks are checked.

#![cfg(test)]

#[expect(dead_code, reason = "each test file uses its part of the stage")]
#[path = "hostile/mod.rs"]
mod rig;

use rig::corpus::{self, Case};
use rig::invariants::{self, Before};
use rig::run::play;
use rig::shown;
use rig::stage::Stage;

/// Plays every case of a file and reports all that failed at once.
fn play_file(name: &str) {
    let (file, written) = corpus::read(name);
    let mut stage = Stage::start(&file.limits);
    let (mut played, mut reports) = (0, Vec::new());
    for case in &file.cases {
        play_case(&stage, case, None, &mut reports);
        if let Some(append) = file.append.as_deref().filter(|_| !case.alone) {
            play_case(&stage, case, Some(append), &mut reports);
        }
        if file.also_h2 {
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
fn a_path_has_one_reading() {
    play_file("p-path.toml");
}

#[test]
fn an_answer_is_whole_or_an_error() {
    play_file("r-responses.toml");
}
