//! The scripts that operators run, against a real control service and a real program.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails where what it relies on is not there"
)]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
#[expect(dead_code, reason = "only one of the databases is needed")]
mod world;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use sallygate_control::api::serve;
use scene::Api;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use world::World;

fn script(name: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let mut command = Command::new(root.join("scripts").join(name));
    command.current_dir(root).kill_on_drop(true).env("SOURCE_DATE_EPOCH", "1700000000");
    command
}

async fn run(command: &mut Command) -> Output {
    command.output().await.expect("the script runs")
}

fn said(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr];
    texts.map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

async fn selfcheck(url: &str) -> Output {
    run(script("fabric-selfcheck.sh").arg(url)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_selfcheck_is_content_with_a_real_service() {
    let api = Api::new(World::sqlite()).await;
    let nearby = "127.0.0.1:0".parse().expect("an address");
    let serving = serve(api.control.clone(), nearby).await.expect("the API is served");
    let output = selfcheck(&format!("http://{}/", serving.address)).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("contracts agree"), "{}", said(&output));
    serving.stop().await;
}

/// Answers everything with this, until the test ends.
async fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_selfcheck_finds_what_is_wrong() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let gone = listener.local_addr().expect("an address");
    drop(listener);
    let absent = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let other = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
                 connection: close\r\n\r\n{}";
    for url in [format!("http://{gone}"), answering(absent).await, answering(other).await] {
        let output = selfcheck(&url).await;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("wrong /healthz"), "{}", said(&output));
    }
    assert_eq!(run(&mut script("fabric-selfcheck.sh")).await.status.code(), Some(2));
}

/// A program to be bundled: what it is does not matter to the bundle.
fn program(directory: &Path) -> PathBuf {
    let path = directory.join("sallygate");
    std::fs::write(&path, "#!/bin/sh\necho sallygate\n").expect("a file");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a program");
    path
}

async fn bundle(program: &Path, out: &Path) -> PathBuf {
    let mut command = script("build-release-bundle.sh");
    let output = run(command.arg("--binary").arg(program).arg("--out").arg(out)).await;
    assert!(output.status.success(), "{}", said(&output));
    let archive = String::from_utf8(output.stdout).expect("a path");
    PathBuf::from(archive.trim())
}

#[tokio::test]
async fn a_bundle_has_the_same_bytes_twice_and_says_what_is_in_it() {
    let place = tempfile::tempdir().expect("a directory");
    let program = program(place.path());
    let (one, two) = (place.path().join("one"), place.path().join("two"));
    let archive = bundle(&program, &one).await;
    let again = bundle(&program, &two).await;
    let name = archive.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.starts_with(&format!("sallygate-{}-", env!("CARGO_PKG_VERSION"))), "{name}");
    for file in std::fs::read_dir(&one).expect("a directory") {
        let path = file.expect("a file").path();
        let other = two.join(path.file_name().expect("a name"));
        let same = std::fs::read(&path).expect("bytes") == std::fs::read(other).expect("bytes");
        assert!(same, "{}", path.display());
    }
    assert!(again.exists());
    let checksums = format!("{}.sha256", name.trim_end_matches(".tar.gz"));
    let sums = Command::new("sha256sum").args(["--check", &checksums]).current_dir(&one).output();
    assert!(sums.await.expect("sha256sum runs").status.success());
    the_archive_is_whole(&archive, place.path()).await;
}

async fn the_archive_is_whole(archive: &Path, place: &Path) {
    let opened = place.join("opened");
    std::fs::create_dir(&opened).expect("a directory");
    let tar = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(&opened).output().await;
    assert!(tar.expect("tar runs").status.success());
    let top = std::fs::read_dir(&opened).expect("a directory").next().expect("one").expect("one");
    let mut sums = Command::new("sha256sum");
    sums.args(["--check", "--strict", "SHA256SUMS"]).current_dir(top.path());
    let output = run(&mut sums).await;
    assert!(output.status.success(), "{}", said(&output));
    for file in ["sallygate", "LICENSE", ".env.example", "docs/ENVIRONMENT.md"] {
        assert!(said(&output).contains(&format!("{file}: OK")), "{file}: {}", said(&output));
    }
    let bill = std::fs::read(top.path().join("sbom.cdx.json")).expect("a bill");
    let bill: Value = serde_json::from_slice(&bill).expect("JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(bill["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
    let components = bill["components"].as_array().expect("components");
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    assert!(components.len() > 100, "{}", components.len());
    assert!(has("rustls") && has("pingora-core") && has("sallygate-control"));
    assert!(!has("criterion"), "what only tests use is not in the program");
}

#[tokio::test]
async fn what_is_no_program_is_not_bundled() {
    let place = tempfile::tempdir().expect("a directory");
    let mut command = script("build-release-bundle.sh");
    let output = run(command.arg("--binary").arg(place.path().join("none"))).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let output = run(script("build-release-bundle.sh").arg("--unknown")).await;
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}
