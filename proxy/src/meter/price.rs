//! From the numbers in an answer to tokens, and from tokens to what they cost.

use sallygate_compiler::plan::{ModelPrice, TokenKind, Usage};

const MILLION: u128 = 1_000_000;

/// Tokens by kind, none of which is counted under two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts([u64; TokenKind::ALL.len()]);

impl Counts {
    pub(crate) fn get(&self, kind: TokenKind) -> u64 {
        TokenKind::ALL.iter().zip(self.0).find(|(of, _)| **of == kind).map_or(0, |(_, n)| n)
    }

    fn of(&mut self, kind: TokenKind) -> Option<&mut u64> {
        TokenKind::ALL.iter().zip(&mut self.0).find(|(of, _)| **of == kind).map(|(_, n)| n)
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(more);
        }
    }
}

/// The tokens of an answer, from the numbers at the places of `usage` in their order; `None` when
/// there is no number at all.
pub(super) fn counts(
    usage: &Usage,
    mut found: impl Iterator<Item = Option<u64>>,
) -> Option<Counts> {
    let mut counts = Counts::default();
    let mut told = false;
    for tokens in &usage.tokens {
        let places = found.by_ref().take(tokens.pointers.len());
        let Some(number) = places.flatten().max() else { continue };
        told = true;
        if let Some(sum) = counts.of(tokens.kind) {
            *sum = number;
        }
    }
    for tokens in &usage.tokens {
        let part = counts.get(tokens.kind);
        if let Some(whole) = tokens.within.and_then(|kind| counts.of(kind)) {
            *whole = whole.saturating_sub(part);
        }
    }
    told.then_some(counts)
}

/// What tokens cost, rounded up. A model that is in no line of the table, or that the answer does
/// not name, costs what is dearest of every kind; without a table nothing costs anything.
pub(super) fn cost(prices: &[ModelPrice], model: Option<&str>, counts: &Counts) -> u64 {
    let line = model.and_then(|model| line(prices, model));
    let per_million = |kind| match line {
        Some(line) => line.of(kind),
        None => prices.iter().map(|price| price.of(kind)).max().unwrap_or_default(),
    };
    let part = |kind| u128::from(counts.get(kind)).saturating_mul(per_million(kind).into());
    let sum = TokenKind::ALL.into_iter().map(part).fold(0, u128::saturating_add);
    u64::try_from(sum.div_ceil(MILLION)).unwrap_or(u64::MAX)
}

/// The line with this very name, else the one with the longest beginning of it.
fn line<'p>(prices: &'p [ModelPrice], model: &str) -> Option<&'p ModelPrice> {
    let exact = prices.iter().find(|price| price.model == model);
    exact.or_else(|| {
        let begins = |price: &&ModelPrice| {
            price.model.strip_suffix('*').is_some_and(|start| model.starts_with(start))
        };
        prices.iter().filter(begins).max_by_key(|price| price.model.len())
    })
}

#[cfg(test)]
mod tests {
    use sallygate_compiler::plan::Tokens;

    use super::*;

    fn priced(model: &str, [input, cached, write, output]: [u64; 4]) -> ModelPrice {
        ModelPrice {
            model: model.to_owned(),
            input_micros_per_million: input,
            cached_input_micros_per_million: cached,
            cache_write_micros_per_million: write,
            output_micros_per_million: output,
        }
    }

    #[test]
    fn the_price_is_that_of_the_name_then_of_the_longest_beginning_then_of_the_dearest() {
        let table = [
            priced("gpt-*", [1_000_000, 0, 0, 0]),
            priced("gpt-mini*", [2_000_000, 0, 0, 0]),
            priced("gpt-mini", [3_000_000, 0, 0, 0]),
            priced("o9", [4_000_000, 0, 0, 1_000_000]),
        ];
        let counts = Counts([10, 0, 0, 1]);
        for (model, expected) in [
            (Some("gpt-mini"), 30),
            (Some("gpt-mini-2"), 20),
            (Some("gpt-maxi"), 10),
            (Some("gpt-"), 10),
            (Some("o9"), 41),
            // Nobody's line: the dearest of every kind.
            (Some("o9-2"), 41),
            (Some("gpt"), 41),
            (Some("GPT-mini"), 41),
            (Some("gpt-*x"), 10),
            (Some(""), 41),
            (None, 41),
        ] {
            assert_eq!(cost(&table, model, &counts), expected, "{model:?}");
        }
        let everything = [priced("*", [1_000_000; 4]), priced("a", [5_000_000; 4])];
        assert_eq!(cost(&everything, Some("b"), &Counts([1, 0, 0, 0])), 1);
        assert_eq!(cost(&everything, None, &Counts([1, 0, 0, 0])), 5);
        assert_eq!(cost(&[], Some("a"), &Counts([u64::MAX; 4])), 0);
    }

    #[test]
    fn a_cost_is_rounded_up_once_and_never_wraps() {
        let table = [priced("m", [1, 1, 1, 1])];
        for (counts, expected) in [
            ([0, 0, 0, 0], 0),
            ([1, 0, 0, 0], 1),
            ([1, 1, 1, 1], 1),
            ([999_999, 1, 0, 0], 1),
            ([999_999, 1, 1, 0], 2),
        ] {
            assert_eq!(cost(&table, Some("m"), &Counts(counts)), expected, "{counts:?}");
        }
        let dear = [priced("m", [u64::MAX; 4])];
        assert_eq!(cost(&dear, Some("m"), &Counts([u64::MAX; 4])), u64::MAX);
    }

    fn usage(within: Option<TokenKind>) -> Usage {
        let tokens = |kind, pointers: &[&str], within| Tokens {
            kind,
            pointers: pointers.iter().map(|pointer| (*pointer).to_owned()).collect(),
            within,
        };
        Usage {
            connection_id: "c".into(),
            methods: vec!["POST".into()],
            model: vec!["/model".into()],
            tokens: vec![
                tokens(TokenKind::Input, &["/a", "/b"], None),
                tokens(TokenKind::CachedInput, &["/c"], within),
                tokens(TokenKind::Output, &["/d", "/e"], None),
            ],
            prices: Vec::new(),
        }
    }

    #[test]
    fn places_of_one_number_are_never_added_and_a_part_is_never_counted_twice() {
        let (apart, within) = (usage(None), usage(Some(TokenKind::Input)));
        for (usage, found, expected) in [
            (&apart, [Some(25), Some(25), None, None, Some(9)], Some([25, 0, 0, 9])),
            (&apart, [Some(25), Some(20), Some(7), Some(1), Some(9)], Some([25, 7, 0, 9])),
            (&apart, [None, None, None, None, Some(0)], Some([0, 0, 0, 0])),
            (&within, [Some(25), None, Some(7), Some(1), None], Some([18, 7, 0, 1])),
            // More than the whole is no credit.
            (&within, [Some(5), None, Some(7), None, None], Some([0, 7, 0, 0])),
            (&within, [None; 5], None),
        ] {
            assert_eq!(counts(usage, found.into_iter()), expected.map(Counts), "{found:?}");
        }
    }
}
