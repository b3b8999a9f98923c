//! README.md says what is so: its transcript is what `up` prints, its links lead somewhere.

#![cfg(test)]

use std::path::PathBuf;
use std::process::Command;

fn readme() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(path).expect("README.md")
}

/// A line without what differs from run to run, and with runs of spaces made one.
fn timeless(line: &str) -> String {
    let mut words: Vec<_> = line.split_whitespace().collect();
    if matches!(words.last(), Some(&("ms" | "µs" | "s"))) {
        words.truncate(words.len() - 2);
    }
    // How many of forty are over the limit depends on how long forty take.
    words.retain(|word| !word.starts_with('×'));
    words.join(" ")
}

fn demo_lines(text: &str) -> Vec<String> {
    let is_step = |line: &&str| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|n| n.len() == 1 && n.starts_with(|c: char| c.is_ascii_digit()))
            && words.next().is_some_and(|mark| mark == "✓" || mark == "✗")
    };
    text.lines().filter(is_step).map(timeless).collect()
}

#[test]
fn the_transcript_of_the_demo_is_what_up_prints() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let sallygate = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
        command.args(args).arg("--dir").arg(directory.path().join("data")).env("NO_COLOR", "1");
        command.output().expect("the binary runs")
    };
    let up = sallygate(&["up", "--proxy-port", "0", "--admin-port", "0", "--control-port", "0"]);
    let down = sallygate(&["down"]);
    let printed = String::from_utf8_lossy(&up.stdout).into_owned();
    assert!(up.status.success(), "{printed}{}", String::from_utf8_lossy(&up.stderr));
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    let expected = demo_lines(&readme());
    assert_eq!(expected.len(), 6);
    assert_eq!(demo_lines(&printed), expected);
}

#[test]
fn every_link_leads_to_a_file() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = readme();
    let links: Vec<_> =
        text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 3);
    let missing: Vec<_> =
        links.iter().filter(|l| !l.starts_with("http") && !root.join(l).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(text.lines().count() < 200, "the README is longer than a screen or two");
}
