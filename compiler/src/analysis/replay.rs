//! What two plans make of requests that were recorded, of which a record tells only a part: no
//! header, no query, no content, and often no path. What is claimed holds for every request that
//! the record may be of.

use std::collections::HashMap;

use serde::Serialize;

use super::decide::Decided;
use super::explore::{Explorer, Leaf};
use super::facts::{Facts, Spot};
use super::outcome::Outcome;
use super::product::{Ask, Pair, Place, Side as At};
use super::region::Side;
use super::tree::Tree;
use crate::canonical::{Host, Scheme};
use crate::plan::Plan;
use crate::table::{Checker, RouteTable};

/// A request as far as a record has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recorded {
    pub scheme: Scheme,
    pub host: Host,
    pub port: u16,
    /// `None`: a CONNECT, inside which anything may have been asked for.
    pub method: Option<String>,
    /// Canonical, without query; `None` when it is not on record.
    pub path: Option<String>,
    /// What was decided, and by which of the two plans.
    pub decided: Option<(By, How)>,
}

/// The plan that made a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    Old,
    New,
}

/// What a record says of the decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// The route with this id decided.
    Route(String),
    NoRoute,
    Passthrough,
}

/// What would become of a recorded request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Whatever the request was, both plans do the same.
    Same,
    /// Whatever the request was, the plans do not do the same; for one of them this.
    Differs { old: Side, new: Side },
    /// Some requests that the record may be of are decided differently, others alike.
    Unknown { old: Side, new: Side },
    /// Not decided: too many conditions meet, or the record contradicts the plan that made it.
    Undecided,
}

/// Decides recorded requests, one after the other as they are given.
pub fn replay(old: &RouteTable, new: &RouteTable, requests: &[Recorded]) -> Vec<Change> {
    let (old, new) = (old.plan().as_ref(), new.plan().as_ref());
    let (old_routes, new_routes) = (Checker::new(old).routes(), Checker::new(new).routes());
    let (old_tree, new_tree) = (Tree::new(old, &old_routes), Tree::new(new, &new_routes));
    let pair = Pair::new(&old_tree, &new_tree);
    let mut replay = Replay { plans: [old, new], pair, known: HashMap::new() };
    requests.iter().map(|request| replay.change(request)).collect()
}

/// What a record tells of a request, without the decision.
type Seen = (Scheme, Host, u16, Option<String>, Option<String>);

struct Replay<'t, 'p> {
    plans: [&'p Plan; 2],
    pair: Pair<'t, 'p>,
    known: HashMap<Seen, All>,
}

/// What both plans do with all requests of which the same was recorded, each pair of decisions
/// once.
#[derive(Clone, Debug, Default)]
struct All {
    decisions: Vec<(Decided, Decided)>,
    incomplete: bool,
}

impl Replay<'_, '_> {
    fn change(&mut self, request: &Recorded) -> Change {
        let Recorded { scheme, host, port, method, path, decided } = request;
        let seen = (*scheme, host.clone(), *port, method.clone(), path.clone());
        let (pair, [old, new]) = (&self.pair, self.plans);
        let all = self.known.entry(seen).or_insert_with(|| all(pair, request));
        if all.incomplete {
            return Change::Undecided;
        }
        let fits = |(a, b): &&(Decided, Decided)| match decided {
            None => true,
            Some((By::Old, how)) => how.is(old, a),
            Some((By::New, how)) => how.is(new, b),
        };
        let mut alike = false;
        let mut differs = None;
        for (a, b) in all.decisions.iter().filter(fits) {
            if a.is_like(b) {
                alike = true;
            } else {
                differs = differs.or(Some((side(old, a), side(new, b))));
            }
        }
        match (differs, alike) {
            (None, true) => Change::Same,
            (None, false) => Change::Undecided,
            (Some((old, new)), false) => Change::Differs { old, new },
            (Some((old, new)), true) => Change::Unknown { old, new },
        }
    }
}

fn side(plan: &Plan, decided: &Decided) -> Side {
    let at = decided.route.and_then(|at| usize::try_from(at).ok());
    let route = at.and_then(|at| plan.egress_routes.get(at));
    Side { outcome: decided.outcome, route: route.map(|route| route.route_id.clone()) }
}

impl How {
    fn is(&self, plan: &Plan, decided: &Decided) -> bool {
        match self {
            Self::Route(id) => side(plan, decided).route.as_ref() == Some(id),
            Self::NoRoute => decided.outcome == Outcome::NoRoute,
            Self::Passthrough => decided.outcome == Outcome::Passthrough,
        }
    }
}

fn all(pair: &Pair<'_, '_>, request: &Recorded) -> All {
    let Recorded { scheme, host, port, method, path, .. } = request;
    let (scheme, port) = (*scheme, *port);
    let place = Place { scheme, pattern: None, host: host.clone(), listed: None, port };
    let facts = Facts { method: method.clone(), ..Facts::default() };
    let mut gather = Gather { facts, all: All::default() };
    match path {
        Some(path) => pair.at(&place, path, &mut gather),
        None => drop(pair.ask(&place, &mut gather)),
    }
    gather.all
}

/// Collects every pair of decisions.
struct Gather {
    facts: Facts,
    all: All,
}

impl<'p> Ask<'p> for Gather {
    type Answer = ();

    fn spot(&mut self, spot: &Spot, old: At<'_, 'p>, new: At<'_, 'p>) -> Vec<()> {
        let mut explorer = Explorer::new(spot, old, new);
        let leaves = explorer.leaves_from(&self.facts, usize::MAX, &|_, _| true);
        self.all.incomplete |= !explorer.is_complete();
        let same = |a: &Decided, b: &Decided| a.is_like(b) && a.route == b.route;
        for Leaf { old, new, .. } in leaves {
            if !self.all.decisions.iter().any(|(a, b)| same(a, &old) && same(b, &new)) {
                self.all.decisions.push((old, new));
            }
        }
        Vec::new()
    }

    fn skips(&self, _old: At<'_, 'p>, _new: At<'_, 'p>) -> bool {
        false
    }

    /// What is alike in both is asked for, too.
    fn skips_alike(&self) -> bool {
        false
    }

    fn is_done(&self) -> bool {
        self.all.incomplete
    }
}
