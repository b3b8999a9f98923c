//! A PostgreSQL server of our own, started once for all tests of a program.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sallygate_control::store::{DatabaseUrl, Location};

/// It stops when the program that started it is gone: a watcher waits for the end of the pipe that
/// only this process holds open.
pub(crate) struct Server {
    directory: PathBuf,
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
    SERVER.get_or_init(Server::new).database_url()
}

impl Server {
    /// A server of one's own, which can be stopped and started.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory").keep();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("a mode");
        for name in ["data", "sockets"] {
            let path = directory.join(name);
            fs::create_dir(&path).expect("a directory");
            own(&path);
        }
        let watcher = watcher(&directory);
        let server = Self { directory, _watcher: watcher };
        let mut initdb = as_server_user(&programs().join("initdb"));
        let data = server.path("data");
        initdb.args(["-D", &data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"]);
        run(initdb);
        server.start();
        server
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Where a new, empty database of this server is.
    pub(crate) fn database_url(&self) -> String {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let sockets = self.path("sockets");
        run(psql(&sockets, &format!("CREATE DATABASE {name}")));
        let host = sockets.replace('/', "%2F");
        format!("postgres://postgres@{host}/{name}")
    }

    pub(crate) fn start(&self) {
        // Durability is not what these tests are about: a crash of the machine ends them anyway.
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c fsync=off \
             -c max_connections=200",
            self.path("sockets")
        );
        let (data, log) = (self.path("data"), self.path("data/server.log"));
        let mut pg_ctl = as_server_user(&programs().join("pg_ctl"));
        pg_ctl.args(["-D", &data, "-w", "-l", &log, "-o", &options, "start"]);
        run(pg_ctl);
    }

    /// As when it crashes: nobody is waited for.
    pub(crate) fn stop(&self) {
        let mut pg_ctl = as_server_user(&programs().join("pg_ctl"));
        pg_ctl.args(["-D", &self.path("data"), "-w", "-m", "immediate", "stop"]);
        run(pg_ctl);
    }
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

#[expect(clippy::zombie_processes, reason = "it waits for the end of this process")]
fn watcher(directory: &Path) -> std::process::ChildStdin {
    let stop = programs().join("pg_ctl");
    let script = format!(
        "cat >/dev/null; {} '{}' -D '{2}/data' -m immediate stop >/dev/null 2>&1; rm -rf '{2}'",
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
