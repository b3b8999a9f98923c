//! Which sandboxes run a plan ahead of the others.

use aws_lc_rs::digest;

/// The name of a profile's plan that only some of its sandboxes run. No profile is called so.
pub fn plan_key(profile: &str) -> String {
    format!("{profile}@canary")
}

/// Whether a sandbox is among the first `percent` of a hundred. Always the same ones: more percent
/// only adds to them, whoever counts.
pub fn runs_ahead(sandbox: &str, percent: u8) -> bool {
    const PARTS: u64 = 10_000;
    let hash = digest::digest(&digest::SHA256, sandbox.as_bytes());
    let bits = hash.as_ref().iter().take(8).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    bits % PARTS < u64::from(percent) * (PARTS / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_percent_only_adds_to_those_that_run_ahead() {
        let sandboxes: Vec<String> = (0..4_000).map(|at| format!("sbx_{at}")).collect();
        let ahead = |percent| sandboxes.iter().filter(move |id| runs_ahead(id, percent));
        assert_eq!((ahead(0).count(), ahead(100).count()), (0, sandboxes.len()));
        for (percent, low, high) in [(1, 15, 70), (10, 330, 470), (50, 1_880, 2_120)] {
            let count = ahead(percent).count();
            assert!((low..=high).contains(&count), "{percent} %: {count}");
            assert!(ahead(percent).all(|id| runs_ahead(id, percent + 1)));
        }
    }
}
