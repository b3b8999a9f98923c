//! What must hold after every test, whatever it did: the invariants I1–I4 and I7 of the design.

use serde_json::Value;
use std::path::Path;
use std::time::Duration;

use super::canary::Canary;
use super::wait::{eventually, holds_within};
use super::{REPORTED_WITHIN, RunningUpstream, RunningWorld, SANDBOX};

/// I7: so long may it take until descriptors are back at their baseline.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
/// Larger files of a sandbox are packs and downloads of pseudo-random bytes.
const SEARCHED_FILE_BYTES_MAX: u64 = 1024 * 1024;

impl RunningWorld {
    /// Ends the world and panics if an invariant was broken in it.
    #[track_caller]
    pub(crate) fn check_invariants(mut self) {
        for (file, content) in ["cmdline", "environ"]
            .map(|file| (file, std::fs::read(self.process.proc(file)).expect("the proxy lives")))
        {
            self.assert_secrets_absent(&format!("/proc/<pid>/{file}"), &content);
        }
        self.assert_process_settles();
        let metrics = self.metrics();
        self.assert_secrets_absent("/metrics", metrics.as_bytes());
        self.stop();
        self.assert_upstreams_saw_only_their_own();
        self.assert_parity();
        self.assert_records_hold_no_secret();
    }

    /// I7: the process lives and gives its descriptors back.
    fn assert_process_settles(&mut self) {
        assert!(self.process.is_alive(), "I7: the proxy died");
        // Connections to upstreams stay pooled as long as upstreams keep them open.
        self.upstreams.iter().for_each(RunningUpstream::stop);
        let allowed = self.open_files + (self.open_files / 10).max(4);
        eventually(&self.runtime, "I7: descriptors at the baseline", SETTLED_WITHIN, || {
            self.process.open_files() <= allowed
        });
    }

    fn stop(&mut self) {
        self.process.signal("TERM");
        eventually(&self.runtime, "SIGTERM ends the proxy", STOPPED_WITHIN, || {
            !self.process.is_alive()
        });
        let status = self.process.exit_status().expect("it ended");
        assert!(status.success(), "the proxy ended with {status}");
    }

    /// I1 and I2.
    fn assert_upstreams_saw_only_their_own(&self) {
        for upstream in &self.upstreams {
            let host = upstream.plan.host();
            for seen in upstream.seen() {
                assert!(
                    seen.headers.iter().all(|(name, _)| !name.starts_with("proxy-")),
                    "I2: {host} saw a Proxy-* header: {seen:?}"
                );
                let all = format!("{seen:?}{}", String::from_utf8_lossy(&seen.body_start));
                assert_absent(&self.token, "I2: the sandbox token", &host, all.as_bytes());
                for other in
                    self.upstreams.iter().filter(|other| other.plan.name != upstream.plan.name)
                {
                    let what = format!("I1: the credential of {}", other.plan.host());
                    assert_absent(other.canary(), &what, &host, all.as_bytes());
                }
            }
        }
    }

    /// I3: what upstreams saw is what the audit log says was allowed.
    fn assert_parity(&self) {
        let mut seen = Vec::new();
        let mut allowed = Vec::new();
        for line in self.audit() {
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            // What the proxy answers itself no upstream sees.
            let own = text("host") == "sallygate.internal";
            if text("verdict") == "allow" && text("method") != "CONNECT" && !own {
                allowed.push((text("method"), text("host")));
            }
        }
        allowed.sort();
        let same = holds_within(&self.runtime, REPORTED_WITHIN, || {
            let all = self.upstreams.iter().flat_map(RunningUpstream::seen);
            seen = all.map(|seen| (seen.method, seen.host)).collect();
            seen.sort();
            seen == allowed
        });
        assert!(same, "I3: upstreams saw\n{seen:?}\nand the audit log allowed\n{allowed:?}");
    }

    /// I4: no secret in anything that is written or that the sandbox gets.
    fn assert_records_hold_no_secret(&self) {
        self.assert_secrets_absent("stdout", &self.process.stdout());
        self.assert_secrets_absent("stderr", &self.process.stderr());
        let received = self.received.lock().expect("no client panicked");
        self.assert_credentials_absent("what the sandbox received", &received);
        let environment = format!("{:?}", self.sandbox_environment());
        self.assert_credentials_absent("the sandbox's environment", environment.as_bytes());
        for (name, content) in files(&self.data()) {
            if !name.contains("/data/secrets/") {
                self.assert_secrets_absent(&name, &content);
            }
        }
        for (name, content) in files(&self.home()) {
            self.assert_credentials_absent(&name, &content);
        }
    }

    fn assert_secrets_absent(&self, place: &str, content: &[u8]) {
        self.assert_credentials_absent(place, content);
        assert_absent(&self.token, &format!("I4: the token of {SANDBOX}"), place, content);
    }

    fn assert_credentials_absent(&self, place: &str, content: &[u8]) {
        for upstream in &self.upstreams {
            let what = format!("I4: the credential of {}", upstream.plan.host());
            assert_absent(upstream.canary(), &what, place, content);
        }
    }
}

fn assert_absent(canary: &Canary, what: &str, place: &str, content: &[u8]) {
    if let Some(form) = canary.trace_in(content) {
        panic!("{what} is in {place} ({form})");
    }
}

/// Every file below `directory` that is worth searching.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_path_buf()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(about) = path.symlink_metadata() else { continue };
            if about.is_dir() {
                left.push(path);
            } else if about.is_file() && about.len() <= SEARCHED_FILE_BYTES_MAX {
                found.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
            }
        }
    }
    found
}

/// The audit log's line for a denial, as a reader looks for it.
pub(crate) fn is_denial(line: &Value, host: &str, code: &str) -> bool {
    line["verdict"] == "deny" && line["host"] == host && line["code"] == code
}
