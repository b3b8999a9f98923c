//! All that two plans decide at one spot, split only by what some route there asks about.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::Decided;
use super::facts::{Facts, Named, Open, Spot, Vocabulary};
use super::product::Side;
use super::region::Methods;
use crate::plan::Route;

/// Suppositions at one spot. Beyond it the answer is said to be incomplete.
const STEPS_MAX: usize = 1 << 16;

/// Which leaves are asked for, by what both plans decide.
pub(super) type Keep<'k> = &'k dyn Fn(&Decided, &Decided) -> bool;

/// Everything that is the same for one way to suppose things.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) facts: Facts,
    pub(super) old: Decided,
    pub(super) new: Decided,
}

/// A spot, its candidates in both plans, and what these ask about.
pub(super) struct Explorer<'e, 'p> {
    spot: &'e Spot,
    old: (Side<'e, 'p>, Vec<u32>),
    new: (Side<'e, 'p>, Vec<u32>),
    words: Vocabulary<'p>,
    steps: usize,
}

impl<'e, 'p> Explorer<'e, 'p> {
    pub(super) fn new(spot: &'e Spot, old: Side<'e, 'p>, new: Side<'e, 'p>) -> Self {
        let old = (old, old.state.candidates(old.origin.tree));
        let new = (new, new.state.candidates(new.origin.tree));
        let words = Vocabulary::of(routes(&old).chain(routes(&new)));
        Self { spot, old, new, words, steps: 0 }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.steps <= STEPS_MAX
    }

    pub(super) fn words(&self) -> &Vocabulary<'p> {
        &self.words
    }

    /// Every leaf of which `keep` says so, until it is enough.
    pub(super) fn leaves(&mut self, enough: usize, keep: Keep<'_>) -> Vec<Leaf> {
        self.leaves_from(&Facts::default(), enough, keep)
    }

    /// The same for requests of which `facts` are known.
    pub(super) fn leaves_from(
        &mut self,
        facts: &Facts,
        enough: usize,
        keep: Keep<'_>,
    ) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        if self.words.methods.is_empty() || facts.method.is_some() {
            self.go(facts, (enough, keep), &mut leaves);
        } else {
            for facts in self.words.split(facts, &Open::Method) {
                self.go(&facts, (enough, keep), &mut leaves);
            }
        }
        leaves
    }

    fn go(&mut self, facts: &Facts, (enough, keep): (usize, Keep<'_>), leaves: &mut Vec<Leaf>) {
        self.steps += 1;
        if leaves.len() >= enough || self.steps > STEPS_MAX {
            return;
        }
        let decide =
            |(side, list): &(Side<'_, 'p>, Vec<u32>)| side.origin.decide(self.spot, facts, list);
        match (decide(&self.old), decide(&self.new)) {
            (Ok(old), Ok(new)) => {
                if keep(&old, &new) {
                    leaves.push(Leaf { facts: facts.clone(), old, new });
                }
            }
            (Err(open), _) | (_, Err(open)) => {
                for facts in self.words.split(facts, &open) {
                    self.go(&facts, (enough, keep), leaves);
                }
            }
        }
    }

    /// The leaves with their methods, when all that is known otherwise is the same.
    pub(super) fn merged(&self, leaves: Vec<Leaf>) -> Vec<(Methods, Leaf)> {
        let mut same: BTreeMap<_, (BTreeSet<String>, Leaf)> = BTreeMap::new();
        for leaf in self.collapsed(leaves) {
            let facts = Facts { method: None, ..leaf.facts.clone() };
            let sides = [&leaf.old, &leaf.new].map(|side| (side.outcome, side.effect));
            let entry =
                same.entry((facts, sides)).or_insert_with(|| (BTreeSet::new(), leaf.clone()));
            entry.0.extend(leaf.facts.method);
        }
        let other = self.words.other_method();
        let methods = |listed: BTreeSet<String>| {
            if listed.is_empty() {
                return Methods::Except(listed);
            }
            if !listed.contains(&other) {
                return Methods::Only(listed);
            }
            let all = self.words.methods.iter().map(|method| (*method).to_owned());
            Methods::Except(all.filter(|method| !listed.contains(method)).collect())
        };
        same.into_values().map(|(listed, leaf)| (methods(listed), leaf)).collect()
    }

    /// Leaves that differ in one name only, and have all there is under it, become one.
    fn collapsed(&self, mut leaves: Vec<Leaf>) -> Vec<Leaf> {
        let headers: BTreeSet<String> =
            leaves.iter().flat_map(|leaf| leaf.facts.headers.keys().cloned()).collect();
        let query: BTreeSet<String> =
            leaves.iter().flat_map(|leaf| leaf.facts.query.keys().cloned()).collect();
        let opens = headers.into_iter().map(Open::Header).chain(query.into_iter().map(Open::Query));
        for open in opens.collect::<Vec<_>>() {
            leaves = self.without(leaves, &open);
        }
        leaves
    }

    fn without(&self, leaves: Vec<Leaf>, open: &Open) -> Vec<Leaf> {
        let all = self.words.split(&Facts::default(), open);
        let all: BTreeSet<Option<Named>> =
            all.into_iter().map(|mut facts| take(&mut facts, open)).collect();
        let mut groups: BTreeMap<_, Vec<Leaf>> = BTreeMap::new();
        for leaf in leaves {
            let mut rest = leaf.facts.clone();
            take(&mut rest, open);
            let sides = [&leaf.old, &leaf.new].map(|side| (side.outcome, side.effect));
            groups.entry((rest, sides)).or_default().push(leaf);
        }
        let mut kept = Vec::new();
        for ((rest, _), group) in groups {
            let found: BTreeSet<Option<Named>> =
                group.iter().map(|leaf| take(&mut leaf.facts.clone(), open)).collect();
            let whole = all.is_subset(&found) || found.contains(&None);
            match group.first() {
                Some(first) if whole => kept.push(Leaf { facts: rest, ..first.clone() }),
                Some(_) | None => kept.extend(group),
            }
        }
        kept
    }
}

fn take(facts: &mut Facts, open: &Open) -> Option<Named> {
    match open {
        Open::Header(name) => facts.headers.remove(name),
        Open::Query(name) => facts.query.remove(name),
        Open::Method | Open::Among(..) | Open::Content(_) | Open::Item(..) => None,
    }
}

fn routes<'p>(side: &(Side<'_, 'p>, Vec<u32>)) -> impl Iterator<Item = &'p Route> {
    let tree = side.0.origin.tree;
    side.1.iter().filter_map(|at| tree.route(*at))
}
