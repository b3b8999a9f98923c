//! A PostgreSQL server of our own, started once for all tests of a program.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sallygate_control::store::{DatabaseUrl, Location};

/// The server stops when the program that started it is gone: a watcher waits for the end of the
/// pipe that only this process holds open.
struct Server {
    sockets: PathBuf,
    _watcher: std::process::ChildStdin,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A new, empty database.
pub(crate) fn database() -> Location {
    Location::Postgres(DatabaseUrl::new(database_url()))
}

/// Where a new, empty database is.
pub(crate) fn database_url() -> String {
    let server = SERVER.get_or_init(start);
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let sockets = server.sockets.display().to_string();
    run(psql(&sockets, &format!("CREATE DATABASE {name}")));
    let host = sockets.replace('/', "%2F");
    format!("postgres://postgres@{host}/{name}")
}

fn psql(sockets: &str, statement: &str) -> Command {
    let mut command = Command::new(programs().join("psql"));
    command.args(["-h", sockets, "-U", "postgres", "-qc", statement, "postgres"]);
    command
}

/// Where Debian puts the programs of the newest version that is installed.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .max();
    newest.expect("PostgreSQL is not installed: apt-get install postgresql")
}

fn start() -> Server {
    let directory = tempfile::tempdir().expect("a directory").keep();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("a mode");
    let (data, sockets) = (directory.join("data"), directory.join("sockets"));
    for path in [&data, &sockets] {
        fs::create_dir(path).expect("a directory");
        own(path);
    }
    let programs = programs();
    let (data_text, log) = (data.display().to_string(), directory.join("data/server.log"));
    let mut initdb = as_server_user(&programs.join("initdb"));
    initdb.args(["-D", &data_text, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"]);
    run(initdb);
    // Durability is not what these tests are about: a crash of the machine ends them anyway.
    let options = format!(
        "-c listen_addresses='' -c unix_socket_directories='{}' -c fsync=off -c max_connections=200",
        sockets.display()
    );
    let mut pg_ctl = as_server_user(&programs.join("pg_ctl"));
    pg_ctl.args([
        "-D",
        &data_text,
        "-w",
        "-l",
        &log.display().to_string(),
        "-o",
        &options,
        "start",
    ]);
    run(pg_ctl);
    let watcher = watcher(&programs, &data_text, &directory);
    Server { sockets, _watcher: watcher }
}

#[expect(clippy::zombie_processes, reason = "it waits for the end of this process")]
fn watcher(programs: &Path, data: &str, directory: &Path) -> std::process::ChildStdin {
    let stop = programs.join("pg_ctl");
    let script = format!(
        "cat >/dev/null; {} '{}' -D '{data}' -m immediate stop >/dev/null 2>&1; rm -rf '{}'",
        prefix().join(" "),
        stop.display(),
        directory.display()
    );
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    child.stdin.take().expect("a pipe")
}

/// The server refuses to run as root; Debian's package makes the user `postgres`.
fn prefix() -> &'static [&'static str] {
    if is_root() { &["runuser", "-u", "postgres", "--"] } else { &[] }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn as_server_user(program: &Path) -> Command {
    match prefix() {
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        [] => Command::new(program),
    }
}

fn own(path: &Path) {
    if is_root() {
        let mut id = Command::new("id");
        let output = id.args(["-u", "postgres"]).output().expect("the user postgres");
        let text = String::from_utf8_lossy(&output.stdout);
        let user: u32 = text.trim().parse().expect("a user id");
        chown(path, Some(user), Some(user)).expect("an owner");
    }
}

fn run(mut command: Command) {
    let output = command.current_dir("/").output().expect("a program of PostgreSQL");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
