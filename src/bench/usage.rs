//! CPU time and resident memory of another process, read from `/proc`. Linux only.

use std::fs;
use std::io;
use std::time::Duration;

use super::error::BenchError;

/// The kernel reports times to programs in hundredths of a second, whatever its own clock rate is.
const TICK_MILLIS: u64 = 10;

/// User and system time that the process has used since it began.
pub(crate) fn cpu(pid: u32) -> Result<Duration, BenchError> {
    read(pid, "stat", |text| parse_stat(text).map(Duration::from_millis))
}

pub(crate) fn resident_bytes(pid: u32) -> Result<u64, BenchError> {
    // `smaps_rollup` counts pages; `status` may lag behind by some pages for every thread.
    read(pid, "smaps_rollup", |text| {
        parse_kilobytes(text, "Rss:").map(|kilobytes| kilobytes * 1024)
    })
}

fn read<T>(pid: u32, file: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, BenchError> {
    fs::read_to_string(format!("/proc/{pid}/{file}"))
        .and_then(|text| parse(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)))
        .map_err(|source| BenchError::Usage { pid, source })
}

/// Milliseconds of user and system time. The second field is the program's name in parentheses and
/// may itself contain spaces and parentheses, so fields are counted from the last one.
fn parse_stat(text: &str) -> Option<u64> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some((user + system) * TICK_MILLIS)
}

fn parse_kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_does_not_shift_the_fields() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 70 5 0 0 20 0";
        for name in ["(sallygate)", "(a b)", "(a) 9 9 9 (b)"] {
            assert_eq!(parse_stat(&format!("42 {name} {tail}")), Some(750), "{name}");
        }
        assert_eq!(parse_stat("42 (cut) S 1 2"), None);
    }

    #[test]
    fn resident_memory_is_read_in_kilobytes() {
        let text = "00-ff ---p 00000000 00:00 0 [rollup]\nRss:               14432 kB\nPss: 1 kB\n";
        assert_eq!(parse_kilobytes(text, "Rss:"), Some(14_432));
        assert_eq!(parse_kilobytes(text, "Swap:"), None);
    }

    #[test]
    fn this_process_has_figures() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).is_ok_and(|bytes| bytes > 0));
        assert!(cpu(pid).is_ok());
    }
}
