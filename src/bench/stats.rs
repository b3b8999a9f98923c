//! Medians and percentiles.

/// Durations of single exchanges, in nanoseconds; four seconds are the most that can be told.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    sorted_nanos: Vec<u32>,
}

impl Latencies {
    pub(crate) fn new(mut nanos: Vec<u32>) -> Self {
        nanos.sort_unstable();
        Self { sorted_nanos: nanos }
    }

    /// The latency in microseconds that `percent` of the exchanges did not exceed.
    pub(crate) fn percentile_us(&self, percent: usize) -> f64 {
        let rank = (self.sorted_nanos.len() * percent).div_ceil(100).saturating_sub(1);
        self.sorted_nanos.get(rank).map_or(0.0, |nanos| f64::from(*nanos) / 1000.0)
    }
}

/// The middle value; of an even number of values, the mean of the two in the middle. `None` for no
/// values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    match sorted.len() % 2 {
        0 => sorted.get(sorted.len() / 2 - 1).map(|lower| f64::midpoint(*lower, *upper)),
        _ => Some(*upper),
    }
}

/// Median, least and most of the ratios of one round each.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Ratio {
    /// `None` without a pair whose floor is above nought.
    pub(crate) fn of(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let ratio = |(ours, floor): (f64, f64)| (floor > 0.0).then_some(ours / floor);
        let ratios: Vec<f64> = pairs.into_iter().filter_map(ratio).collect();
        Some(Self {
            median: median(ratios.iter().copied())?,
            least: ratios.iter().copied().min_by(f64::total_cmp)?,
            most: ratios.iter().copied().max_by(f64::total_cmp)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_occurred() {
        let latencies = Latencies::new((1..=200).rev().map(|n| n * 1000).collect());
        assert_eq!(latencies.percentile_us(50), 100.0);
        assert_eq!(latencies.percentile_us(99), 198.0);
        assert_eq!(Latencies::default().percentile_us(99), 0.0);
        assert_eq!(Latencies::new(vec![7000]).percentile_us(50), 7.0);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
    }

    #[test]
    fn a_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians() {
        let ratio = Ratio::of([(2.0, 1.0), (3.0, 3.0), (8.0, 2.0), (1.0, 0.0)]);
        assert_eq!(ratio, Some(Ratio { median: 2.0, least: 1.0, most: 4.0 }));
        assert_eq!(Ratio::of([]), None);
    }
}
