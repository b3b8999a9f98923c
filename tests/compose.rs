//! The container's files, held to what the program knows: variables, ports, the health check and the
//! command line, which is run as it stands there. No image is built and no container is started.

#![cfg(test)]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use sallygate_control::variables::{SETTINGS, Setting, VARIABLES};
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A YAML file as JSON: read by PyYAML, with its safe loader.
fn yaml(name: &str) -> Value {
    let python = root().join(".venv/bin/python");
    assert!(python.exists(), "run tests/prepare");
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let file = std::fs::File::open(root().join(name)).expect("the file");
    let output = Command::new(python).args(["-c", script]).stdin(file).output().expect("python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Instructions of the last stage of the Dockerfile, with their arguments.
fn stage() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("Dockerfile")).expect("the Dockerfile");
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let all: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(' '))
        .map(|(instruction, rest)| (instruction.to_owned(), rest.trim().to_owned()))
        .collect();
    let last = all.iter().rposition(|(instruction, _)| instruction == "FROM").expect("a stage");
    all.into_iter().skip(last).collect()
}

fn of<'s>(stage: &'s [(String, String)], instruction: &str) -> &'s str {
    let found: Vec<_> = stage.iter().filter(|(name, _)| name == instruction).collect();
    assert_eq!(found.len(), 1, "{instruction}");
    &found[0].1
}

fn words(value: &Value) -> Vec<String> {
    let words = value.as_array().expect("a list").iter();
    words.map(|word| word.as_str().expect("a text").to_owned()).collect()
}

fn environment(service: &Value) -> Vec<(String, String)> {
    let all = service["environment"].as_object().expect("variables").iter();
    all.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())).collect()
}

fn is_known(name: &str) -> bool {
    let setting = |name: &str| SETTINGS.iter().any(|setting| setting.variable() == name);
    VARIABLES.iter().any(|variable| variable.name == name)
        || setting(name)
        || name.strip_suffix("_FILE").is_some_and(setting)
}

/// The port of a listener, by the variable that says where it is.
fn port(variables: &[(String, String)], table: &str) -> String {
    let is_it = |setting: &&Setting| setting.table == table && setting.key == "listen";
    let name = SETTINGS.iter().find(is_it).expect("a setting");
    let value = variables.iter().find(|(known, _)| *known == name.variable());
    let address = &value.expect("it says where").1;
    address.rsplit_once(':').expect("a port").1.to_owned()
}

#[test]
fn every_variable_is_one_that_the_program_reads() {
    let (one, over) = (yaml("compose.yaml"), yaml("compose.postgres.yaml"));
    let mut names: Vec<String> = Vec::new();
    for file in [&one, &over] {
        names.extend(environment(&file["services"]["sallygate"]).into_iter().map(|(name, _)| name));
    }
    let stage = stage();
    names.push(of(&stage, "ENV").split_once('=').expect("a value").0.to_owned());
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(is_known(&name), "{name}");
    }
    assert!(!is_known("SALLYGATE_PROXY__LISTN") && !is_known("SALLYGATE_X_FILE"));
}

#[test]
fn ports_are_those_that_are_listened_at_and_published_on_this_machine_alone() {
    let file = yaml("compose.yaml");
    let service = &file["services"]["sallygate"];
    let variables = environment(service);
    let listened: BTreeSet<String> =
        ["proxy", "admin", "control"].map(|table| port(&variables, table)).into();
    let mut published = BTreeSet::new();
    for entry in words(&service["ports"]) {
        let parts: Vec<&str> = entry.split(':').collect();
        assert_eq!(parts[0], "127.0.0.1", "{entry}");
        published.insert(parts[2].to_owned());
    }
    assert_eq!(published, listened);
    let stage = stage();
    let exposed: BTreeSet<String> =
        of(&stage, "EXPOSE").split_whitespace().map(str::to_owned).collect();
    assert_eq!(exposed, listened);
}

#[test]
fn nobody_is_root_and_nothing_is_written_but_the_data() {
    let stage = stage();
    let user = of(&stage, "USER").split(':').next().expect("a user").to_owned();
    assert!(user.parse::<u32>().expect("a number") > 1000, "{user}");
    assert!(
        stage.iter().any(|(name, rest)| name == "RUN" && rest.contains(&format!("--uid {user}")))
    );
    assert!(of(&stage, "FROM").ends_with("-slim"));
    let text = std::fs::read_to_string(root().join("Dockerfile")).expect("the Dockerfile");
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert!(text.contains(&format!("FROM rust:{version}-slim-")), "built with {version}");
    let file = yaml("compose.yaml");
    let service = &file["services"]["sallygate"];
    assert_eq!(service["read_only"], true);
    assert_eq!(words(&service["cap_drop"]), ["ALL"]);
    let data = of(&stage, "ENV").split_once('=').expect("a value").1.to_owned();
    assert_eq!(words(&service["volumes"]), [format!("data:{data}")]);
    assert_eq!(of(&stage, "VOLUME"), format!("[\"{data}\"]"));
    let ignored = std::fs::read_to_string(root().join(".dockerignore")).expect("the list");
    for kept_out in ["/.env", "/.sallygate", "/target"] {
        assert!(ignored.lines().any(|line| line == kept_out), "{kept_out}");
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The program with a service's environment, but with another data directory, and with listeners on
/// ports that the system chooses.
fn sallygate(dir: &Path) -> Command {
    let file = yaml("compose.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
    command.env_clear().current_dir(dir).stdin(Stdio::null());
    for (name, value) in environment(&file["services"]["sallygate"]) {
        let value = match (name.as_str(), value.rsplit_once(':')) {
            ("SALLYGATE_DATA_DIR", _) => dir.display().to_string(),
            (_, Some(("0.0.0.0", _))) => "127.0.0.1:0".to_owned(),
            _ => value,
        };
        command.env(name, value);
    }
    command
}

fn health(dir: &Path, test: &[String]) -> Output {
    assert_eq!(test[..2], ["CMD", "sallygate"]);
    sallygate(dir).args(&test[2..]).output().expect("the check runs")
}

#[test]
fn the_command_serves_and_the_health_check_sees_whether_it_does() {
    let file = yaml("compose.yaml");
    let service = &file["services"]["sallygate"];
    let (command, test) = (words(&service["command"]), words(&service["healthcheck"]["test"]));
    let stage = stage();
    let exec = |text: &str| words(&serde_json::from_str::<Value>(text).expect("the exec form"));
    assert_eq!(exec(of(&stage, "ENTRYPOINT")), ["sallygate"]);
    assert_eq!(exec(of(&stage, "CMD")), command);
    let check = of(&stage, "HEALTHCHECK");
    let check = check.split_once("CMD ").expect("a command").1;
    assert_eq!(exec(check), test[1..]);
    let dir = tempfile::tempdir().expect("a directory");
    let before = health(dir.path(), &test);
    assert_eq!(before.status.code(), Some(7), "{before:?}");
    let mut start = sallygate(dir.path());
    let started = start.args(&command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut running = Running(started.expect("the command runs"));
    let mut shown = BufReader::new(running.0.stdout.take().expect("a pipe")).lines();
    // The last line of what is shown when it serves.
    let stop = shown.find(|line| line.as_ref().is_ok_and(|line| line.contains("Stop")));
    if stop.is_none() {
        let mut said = String::new();
        let stderr = running.0.stderr.take().expect("a pipe");
        stderr.take(1 << 20).read_to_string(&mut said).ok();
        panic!("it does not serve: {said}");
    }
    let now = health(dir.path(), &test);
    assert!(now.status.success(), "{now:?}");
    let origin = sallygate(dir.path()).args(["config", "show", "--origin"]).output().expect("runs");
    let origin = String::from_utf8_lossy(&origin.stdout).into_owned();
    let line = "control.listen = \"127.0.0.1:0\"  # environment SALLYGATE_CONTROL__LISTEN";
    assert!(origin.contains(line), "{origin}");
    running.0.kill().expect("it ends");
    running.0.wait().expect("it ended");
    assert_eq!(health(dir.path(), &test).status.code(), Some(7));
}

#[test]
fn the_database_is_named_by_a_secret() {
    let file = yaml("compose.postgres.yaml");
    let service = &file["services"]["sallygate"];
    let named = environment(service);
    assert_eq!(named, [("DATABASE_URL_FILE".to_owned(), "/run/secrets/database_url".to_owned())]);
    assert_eq!(words(&service["secrets"]), ["database_url"]);
    assert_eq!(service["depends_on"]["postgres"]["condition"], "service_healthy");
    assert_eq!(file["networks"]["database"]["internal"], true);
    assert!(file["services"]["postgres"].get("ports").is_none());
    // What is named and is not there is no reason to take another database.
    let dir = tempfile::tempdir().expect("a directory");
    let mut migrate = sallygate(dir.path());
    migrate.env("DATABASE_URL_FILE", dir.path().join("none")).args(["db", "migrate"]);
    let output = migrate.output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("DATABASE_URL_FILE"), "{said}");
    assert!(!dir.path().join("control.db").exists());
}
