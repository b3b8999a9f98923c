//! What the analysis claims about all requests is true of every request of a small universe, and
//! nothing that is true there is missed.

#![expect(clippy::unwrap_used, reason = "a panic here fails the test")]

mod universe;

use std::sync::Arc;

use proptest::prelude::*;
use sallygate_compiler::analysis::{Witness, diff};
use sallygate_compiler::table::RouteTable;
use universe::{outcome, plan, requests, routes, unmatched};

fn witnessed(witness: &Witness, table: &RouteTable) -> String {
    outcome(table, witness.connect(table), witness.verdict(table).unwrap())
}

fn check_diff(old: &RouteTable, new: &RouteTable) -> Result<(), TestCaseError> {
    let found = diff(old, new);
    prop_assert!(found.complete);
    for region in &found.regions {
        let (was, is) = (witnessed(&region.witness, old), witnessed(&region.witness, new));
        prop_assert_ne!(was, is, "{} {}", region, region.witness);
    }
    let differs = requests().into_iter().find(|r| r.outcome(old) != r.outcome(new));
    if let Some(request) = differs {
        prop_assert!(!found.regions.is_empty(), "missed {:?}", request);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn plans_differ_exactly_where_the_diff_says(
        first in routes(4, 2), second in routes(4, 2), kept in 0..4_usize,
        before in unmatched(), after in unmatched(),
    ) {
        // Most of what is compared is the same in both.
        let changed = first.iter().take(kept).cloned().chain(second.into_iter().skip(kept));
        let new = RouteTable::build(Arc::new(plan(changed.collect(), after)));
        let old = RouteTable::build(Arc::new(plan(first, before)));
        let (Ok(old), Ok(new)) = (old, new) else { return Ok(()) };
        check_diff(&old, &new)?;
        prop_assert!(diff(&old, &old).regions.is_empty());
    }
}
