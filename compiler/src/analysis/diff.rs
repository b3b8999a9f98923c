//! The requests that two plans decide differently.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::decide::Decided;
use super::explore::Explorer;
use super::facts::Spot;
use super::outcome::Outcome;
use super::product::{Ask, Form, Pair, Part, Place, Side as At};
use super::region::{Methods, Region, Side};
use super::tree::Tree;
use super::witness::Witness;
use crate::plan::Plan;
use crate::table::{Checker, RouteTable};

/// What differs between two plans.
#[derive(Clone, Debug)]
pub struct Diff {
    /// Empty exactly when the plans decide every request alike.
    pub regions: Vec<Region>,
    /// False when some place tells requests apart by more conditions than are gone through.
    pub complete: bool,
}

/// All requests of which the outcome differs: the action, and whatever its route does to them.
pub fn diff(old: &RouteTable, new: &RouteTable) -> Diff {
    let (old, new) = (old.plan().as_ref(), new.plan().as_ref());
    let (old_routes, new_routes) = (Checker::new(old).routes(), Checker::new(new).routes());
    let (old_tree, new_tree) = (Tree::new(old, &old_routes), Tree::new(new, &new_routes));
    let pair = Pair::new(&old_tree, &new_tree);
    let mut differ = Differ { old, new, complete: true };
    let mut places: BTreeMap<Vec<Part<Answer>>, Vec<Place>> = BTreeMap::new();
    for place in pair.places() {
        let mut parts = pair.ask(&place, &mut differ);
        if !parts.is_empty() {
            parts.sort();
            parts.dedup();
            places.entry(parts).or_default().push(place);
        }
    }
    let mut regions: Vec<Region> = places
        .into_iter()
        .flat_map(|(parts, places)| {
            let origins = origins(&places);
            parts.into_iter().map(move |part| region(part, origins.clone()))
        })
        .collect();
    regions.sort_by(|a, b| {
        let key = |r: &Region| (r.origins.clone(), r.path.clone(), r.methods.clone());
        key(a).cmp(&key(b)).then_with(|| a.conditions.cmp(&b.conditions))
    });
    Diff { regions, complete: differ.complete }
}

struct Differ<'p> {
    old: &'p Plan,
    new: &'p Plan,
    complete: bool,
}

/// A difference; two are equal when they say the same of their requests.
#[derive(Clone, Debug)]
struct Answer {
    methods: Methods,
    conditions: Vec<String>,
    effects: [(Outcome, u64); 2],
    old: Side,
    new: Side,
    witness: Witness,
}

impl Answer {
    fn key(&self) -> (&Methods, &Vec<String>, &[(Outcome, u64); 2]) {
        (&self.methods, &self.conditions, &self.effects)
    }
}

impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Answer {}

impl PartialOrd for Answer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Answer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl<'p> Ask<'p> for Differ<'_> {
    type Answer = Answer;

    fn spot(&mut self, spot: &Spot, old: At<'_, 'p>, new: At<'_, 'p>) -> Vec<Answer> {
        let mut explorer = Explorer::new(spot, old, new);
        let leaves = explorer.leaves(usize::MAX, &|old, new| !old.is_like(new));
        self.complete &= explorer.is_complete();
        let side = |plan: &Plan, decided: &Decided| {
            let at = decided.route.and_then(|at| usize::try_from(at).ok());
            let route = at.and_then(|at| plan.egress_routes.get(at));
            Side { outcome: decided.outcome, route: route.map(|route| route.route_id.clone()) }
        };
        let merged = explorer.merged(leaves);
        let answer = |(methods, leaf): (Methods, super::explore::Leaf)| Answer {
            methods,
            conditions: leaf.facts.conditions(explorer.words()),
            effects: [&leaf.old, &leaf.new].map(|side| (side.outcome, side.effect)),
            old: side(self.old, &leaf.old),
            new: side(self.new, &leaf.new),
            witness: leaf.facts.witness(spot),
        };
        merged.into_iter().map(answer).collect()
    }

    fn skips(&self, _old: At<'_, 'p>, _new: At<'_, 'p>) -> bool {
        false
    }

    fn is_done(&self) -> bool {
        false
    }
}

fn origins(places: &[Place]) -> Vec<String> {
    let mut origins: Vec<String> = places
        .iter()
        .map(|place| {
            let host = place.pattern.as_ref().map_or_else(|| "*".to_owned(), ToString::to_string);
            let default = place.scheme.default_port();
            let port = match place.listed {
                Some(port) if port == default => String::new(),
                Some(port) => format!(":{port}"),
                None if place.port == default => String::new(),
                None => ":*".to_owned(),
            };
            format!("{}://{host}{port}", place.scheme)
        })
        .collect();
    origins.sort();
    origins.dedup();
    origins
}

fn region(part: Part<Answer>, origins: Vec<String>) -> Region {
    let Part { path, below, form, answer } = part;
    let Answer { methods, mut conditions, old, new, witness, .. } = answer;
    let mut text: String = path.iter().map(|segment| format!("/{segment}")).collect();
    if below {
        text.push_str("/**");
    }
    let Form { encoded_slash, empty_segment } = form;
    conditions.extend(encoded_slash.then(|| "with an encoded slash".to_owned()));
    conditions.extend(empty_segment.then(|| "with an empty segment".to_owned()));
    Region { origins, path: text, methods, conditions, old, new, witness }
}
