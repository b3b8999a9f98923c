//! `sallygate up` as a person uses it: the demo, a command behind the proxy, and the end.

#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// An installation in a directory of its own; dropping it stops what runs.
struct Demo(TempDir);

impl Demo {
    fn up() -> (Self, String) {
        let demo = Self(tempfile::tempdir().expect("a directory"));
        let output = demo.up_again();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (demo, String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn up_again(&self) -> Output {
        self.sallygate(&["up", "--proxy-port", "0", "--admin-port", "0", "--control-port", "0"])
    }

    fn sallygate(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        command.env_remove("SALLYGATE_DATA_DIR").env_remove("JAVA_TOOL_OPTIONS");
        command.env("NO_COLOR", "1").output().expect("sallygate runs")
    }

    fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.sallygate(arguments).stdout).into_owned()
    }

    fn data(&self) -> std::path::PathBuf {
        self.0.path().join(".sallygate")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.sallygate(&["down", "--timeout", "20"]);
    }
}

/// Words of the six lines, without their times.
fn outcomes(screen: &str) -> Vec<String> {
    let lines = screen.lines().filter(|line| line.contains('✓') || line.contains('✗'));
    let words = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words[..words.len() - 2].join(" ")
    };
    lines.map(words).collect()
}

#[test]
fn the_demo_shows_six_real_outcomes_and_reaches_nothing_but_this_machine() {
    let (demo, screen) = Demo::up();
    let expected = [
        "1 ✓ allow GET echo.test/get rule demo-read",
        "2 ✓ inject GET echo.test/headers Bearer ••••(demo)",
        "3 ✗ deny POST echo.test/anything denied: GET only",
        "4 ✗ deny GET evil.test/ no_route",
        "5 ✗ deny GET 169.254.169.254/latest/meta-data address_refused",
    ];
    let mut outcomes = outcomes(&screen);
    let limited = outcomes.pop().expect("six outcomes");
    assert_eq!(outcomes, expected, "{screen}");
    // The limit is 30 per minute; on a slow machine one more may have become due meanwhile.
    let count = limited.strip_prefix("6 ✗ limit GET echo.test/get (×40) rate_limited ×");
    let count: u32 = count.expect("the sixth outcome").parse().expect("a number");
    assert!((1..=11).contains(&count), "{screen}");
    assert!(screen.lines().count() < 32, "{screen}");
    let numbered = screen.lines().take(6);
    assert!(numbered.clone().all(|line| line.chars().count() <= 80), "{screen}");
    let audit = fs::read_to_string(demo.data().join("audit.jsonl")).expect("the record");
    let records: Vec<Value> =
        audit.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
    assert_eq!(records.len(), 45);
    for record in records {
        let upstream = record["upstreamAddress"].as_str().expect("an address");
        assert!(upstream.is_empty() || upstream.starts_with("127.0.0.1:"), "{record}");
    }
    let secret = fs::read_to_string(demo.data().join("demo.token")).expect("the credential");
    assert!(!screen.contains(secret.trim()) && !audit.contains(secret.trim()));
}

#[test]
fn a_second_up_changes_nothing_and_down_ends_it() {
    let (demo, first) = Demo::up();
    let files = ["config.toml", "policy.toml", "ca.pem", "operator.token", "demo.token"];
    let content = || files.map(|name| fs::read(demo.data().join(name)).expect("a file"));
    let before = content();
    let status = |demo: &Demo| -> Value {
        serde_json::from_str(&demo.text(&["status", "-o", "json"])).expect("JSON")
    };
    let process = status(&demo)["process"]["pid"].clone();
    let again = demo.up_again();
    assert_eq!(again.status.code(), Some(0));
    let screen = String::from_utf8_lossy(&again.stdout);
    assert!(screen.starts_with("already running"), "{screen}");
    let footer = |text: &str| {
        let lines = text.lines().filter(|line| line.contains("http://127.0.0.1"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(footer(&screen), footer(&first));
    assert_eq!(status(&demo)["process"]["pid"], process);
    assert!(demo.text(&["status"]).contains("audit      healthy"));
    assert_eq!(demo.text(&["down"]), "stopped\n");
    assert_eq!(demo.sallygate(&["status"]).status.code(), Some(7));
    assert_eq!(demo.text(&["down"]), "not running\n");
    assert_eq!(
        demo.text(&["audit", "verify", ".sallygate/audit.jsonl"]).split(':').next(),
        Some("intact")
    );
    assert!(demo.up_again().status.success(), "it starts again");
    assert_eq!(content(), before);
}

#[test]
fn a_command_runs_behind_the_proxy_and_learns_why_it_was_refused() {
    let (demo, _) = Demo::up();
    let secret = fs::read_to_string(demo.data().join("demo.token")).expect("the credential");
    let allowed = demo.sallygate(&["run", "--", "curl", "-sS", "https://echo.test/headers"]);
    let told = String::from_utf8_lossy(&allowed.stderr);
    assert!(allowed.status.success(), "{told}");
    assert!(
        String::from_utf8_lossy(&allowed.stdout).contains(secret.trim()),
        "the upstream saw it"
    );
    assert!(told.is_empty(), "nothing was refused: {told}");

    let refused = demo.sallygate(&["run", "--", "curl", "-sS", "--fail", "https://evil.test/a"]);
    assert_eq!(refused.status.code(), Some(22), "curl's own exit code");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("1 request refused") && told.contains("no_route"), "{told}");
    let decision =
        told.split_whitespace().find(|word| word.starts_with("dec_")).expect("a decision");
    let explained = demo.text(&["explain", decision]);
    for expected in
        ["GET evil.test/a", "deny no_route", "request_access", "hosts = [\"evil.test\"]"]
    {
        assert!(explained.contains(expected), "`{expected}` is missing in\n{explained}");
    }
    assert!(demo.text(&["tail", "--denied", "-n", "1"]).contains(decision));
}

#[test]
fn a_command_gets_every_variable_and_no_token() {
    let (demo, _) = Demo::up();
    let environment = demo.text(&["run", "--", "env"]);
    let operator = fs::read_to_string(demo.data().join("operator.token")).expect("a token");
    assert!(!environment.contains("sgt_") && !environment.contains(operator.trim()));
    for name in ["HTTPS_PROXY=http://127.0.0.1:", "SSL_CERT_FILE=/", "NODE_USE_ENV_PROXY=1"] {
        assert!(environment.contains(name), "{name}");
    }
    for (script, code) in [("exit 42", 42), ("kill -TERM $$", 143)] {
        let ended = demo.sallygate(&["run", "--", "sh", "-c", script]);
        assert_eq!(ended.status.code(), Some(code), "{script}");
    }
    let status: Value = serde_json::from_str(&demo.text(&["status", "-o", "json"])).expect("JSON");
    assert_eq!(status["status"]["sandboxes"], 0, "sessions are revoked");
    assert!(Path::new(&demo.data()).join("running.json").exists());
}
