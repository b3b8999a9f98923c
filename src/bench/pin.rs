//! Which process runs on which CPU, by means of `taskset`: the system call would need unsafe code.
//! The proxy under test has one CPU for itself, so that its figures do not contain waiting for
//! neighbours, and so that the floor and the product have the same number of threads.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};

#[derive(Debug)]
pub(crate) struct Pinning {
    cpus: Option<Cpus>,
}

#[derive(Debug)]
struct Cpus {
    proxy: String,
    others: String,
}

impl Pinning {
    pub(crate) fn none() -> Self {
        Self { cpus: None }
    }

    /// Pins when two CPUs are allowed to this process and `taskset` runs.
    pub(crate) fn detect() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let allowed =
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("");
        let mut cpus = parse_list(allowed.trim());
        let works = quiet(Command::new("taskset").arg("-V"));
        let proxy = cpus.pop().filter(|_| works && !cpus.is_empty());
        let join = |cpus: &[u32]| cpus.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        Self { cpus: proxy.map(|cpu| Cpus { proxy: cpu.to_string(), others: join(&cpus) }) }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.cpus.is_some()
    }

    /// Moves this process, and what it starts from now on, away from the proxy's CPU.
    pub(crate) fn pin_self(&self) {
        if let Some(cpus) = &self.cpus {
            let pid = std::process::id().to_string();
            quiet(Command::new("taskset").args(["-a", "-c", "-p", &cpus.others, &pid]));
        }
    }

    /// A command for the proxy under test, on its own CPU.
    pub(crate) fn proxy_command(&self, program: impl AsRef<OsStr>) -> Command {
        match &self.cpus {
            Some(cpus) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &cpus.proxy]).arg(program);
                command
            }
            None => Command::new(program),
        }
    }
}

fn quiet(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Reads the kernel's list format, such as `0-3,8`.
fn parse_list(text: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_list_is_read_as_the_kernel_writes_it() {
        let cases: [(&str, &[u32]); 4] =
            [("0", &[0]), ("0-1", &[0, 1]), ("0-2,8,10-11", &[0, 1, 2, 8, 10, 11]), ("", &[])];
        for (text, expected) in cases {
            assert_eq!(parse_list(text), expected, "{text}");
        }
    }
}
