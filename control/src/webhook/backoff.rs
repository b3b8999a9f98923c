//! When something that failed is tried again: later every time, and not when everybody else is.

use aws_lc_rs::rand;

/// The first one is made at once; with twelve waits after it, the last is more than a day later.
pub const ATTEMPTS_MAX: i64 = 13;

const FIRST_MS: i64 = 5_000;
const FACTOR: i64 = 3;
/// No wait is longer than five quarters of this; what an endpoint may ask for is less.
pub(super) const LONGEST_MS: i64 = 6 * 3600 * 1000;

/// Milliseconds to wait after so many attempts: three quarters to five quarters of the schedule,
/// `chance` of 0 to 65 535 deciding where between them.
pub fn delay_ms(attempts: i64, chance: u16) -> i64 {
    let exponent = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(20);
    let whole = FIRST_MS.saturating_mul(FACTOR.saturating_pow(exponent)).min(LONGEST_MS);
    whole * 3 / 4 + whole / 2 * i64::from(chance) / i64::from(u16::MAX)
}

/// A number nobody can foresee. Without randomness everybody waits equally long.
pub(super) fn chance() -> u16 {
    let mut bytes = [0u8; 2];
    match rand::fill(&mut bytes) {
        Ok(()) => u16::from_be_bytes(bytes),
        Err(_) => u16::MAX / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_is_longer_and_the_last_attempt_is_more_than_a_day_after_the_first() {
        let schedule: Vec<i64> = (1..ATTEMPTS_MAX).map(|n| delay_ms(n, 0)).collect();
        assert_eq!(schedule[..3], [3_750, 11_250, 33_750]);
        assert!(schedule.is_sorted());
        for attempts in 1..ATTEMPTS_MAX {
            let (least, most) = (delay_ms(attempts, 0), delay_ms(attempts, u16::MAX));
            assert!(least < most && most <= LONGEST_MS * 5 / 4, "{attempts}: {least} {most}");
        }
        let middle: i64 = (1..ATTEMPTS_MAX).map(|n| delay_ms(n, u16::MAX / 2)).sum();
        assert!(middle > 24 * 3600 * 1000, "{middle}");
        for strange in [i64::MIN, -1, 0, i64::MAX] {
            assert!(delay_ms(strange, u16::MAX) > 0, "{strange}");
        }
    }
}
