//! Routes of equal precedence that one request matches, and that differ in what they do.

use std::collections::{BTreeSet, HashSet};

use super::facts::{Facts, Spot, Vocabulary};
use super::outcome::same_effect;
use super::place;
use super::tree::Tree;
use super::witness::Witness;
use super::words::words;
use crate::diagnostic::Diagnostic;
use crate::pattern::{HostPattern, PathPattern};
use crate::plan::Route;
use crate::table::{Finding, LevelKey, RouteIndex};

/// More routes at one path, told apart by method and conditions alone, are not looked through on
/// the data path.
const DECISIONS_MAX: usize = 1024;

/// Suppositions about one pair of routes: as with `unreachable`, but here doubt is an error.
const STEPS_MAX: usize = 1 << 20;

pub(super) fn conflicts(tree: &Tree<'_>) -> Vec<Finding> {
    let known = tree.levels.keys().map(|key| key.host.clone()).collect();
    let mut search = Search { tree, known, seen: HashSet::new(), found: Vec::new() };
    for (key, level) in &tree.levels {
        for root in [level.allow, level.deny].into_iter().flatten() {
            search.node(key, root, &mut String::new());
        }
    }
    search.found
}

struct Search<'t, 'p> {
    tree: &'t Tree<'p>,
    known: BTreeSet<HostPattern>,
    /// Pairs that were reported; they meet again at every other path that they share.
    seen: HashSet<(u32, u32)>,
    found: Vec<Finding>,
}

impl Search<'_, '_> {
    fn node(&mut self, key: &LevelKey, at: u32, path: &mut String) {
        let Some(node) = self.tree.node(at) else { return };
        self.list(key, &node.end, path);
        let len = path.len();
        path.push_str("/x");
        self.list(key, &node.tail, path);
        path.truncate(len);
        for (text, child) in &node.literals {
            path.push('/');
            path.push_str(text);
            self.node(key, *child, path);
            path.truncate(len);
        }
        if let Some(child) = node.parameter() {
            let mut free = String::from("/x");
            while node.literals.contains_key(free.get(1..).unwrap_or_default()) {
                free.push('x');
            }
            path.push_str(&free);
            self.node(key, child, path);
            path.truncate(len);
        }
    }

    /// Routes are equal in host, port and path exactly when they stand in one list.
    fn list(&mut self, key: &LevelKey, list: &[u32], path: &str) {
        if let Some(beyond) = list.get(DECISIONS_MAX) {
            let message = format!("more than {DECISIONS_MAX} routes stand at one path");
            let diagnostic = Diagnostic::error("LIMIT_EXCEEDED", message);
            self.found.push(Finding::about(RouteIndex(*beyond), diagnostic));
            return;
        }
        let rank = |at: &u32| {
            let route = self.tree.route(*at).map(|route| route.r#match.methods.is_none());
            (route, self.tree.parsed(*at).map(|parsed| parsed.conditions))
        };
        for equal in list.chunk_by(|a, b| rank(a) == rank(b)) {
            for (at, second) in equal.iter().enumerate() {
                for first in equal.iter().take(at) {
                    self.pair(key, (*first, *second), path);
                }
            }
        }
    }

    fn pair(&mut self, key: &LevelKey, pair: (u32, u32), path: &str) {
        let (Some(a), Some(b)) = (self.tree.route(pair.0), self.tree.route(pair.1)) else { return };
        let methods = |at| self.tree.parsed(at).map_or(0, |parsed| parsed.methods);
        if methods(pair.0) & methods(pair.1) == 0 {
            return;
        }
        let plan = self.tree.plan();
        if same_effect((plan, a), (plan, b)) || self.seen.contains(&pair) {
            return;
        }
        let overlap = self.overlap(key, (a, b), path);
        let (what, witness) = match &overlap {
            Overlap::None => return,
            Overlap::At(witness) => {
                ("match the same requests with the same precedence", Some(witness))
            }
            // Doubt is an error: what is not told apart could be decided either way.
            Overlap::Unknown => ("cannot be told apart: too many conditions meet", None),
        };
        self.seen.insert(pair);
        let message = format!(
            "routes `{}` and `{}` {what}, and differ in what they do",
            a.route_id, b.route_id
        );
        let mut diagnostic = Diagnostic::error("ROUTE_CONFLICT", message)
            .help("make one of them narrower, or give both the same effect");
        diagnostic.witness = witness.map(ToString::to_string);
        let other = Some((RouteIndex(pair.0), format!("route `{}` is here", a.route_id)));
        self.found.push(Finding {
            diagnostic,
            route: Some(RouteIndex(pair.1)),
            other,
            assertion: None,
        });
    }

    /// Whether a request is matched by both.
    fn overlap(&self, key: &LevelKey, pair: (&Route, &Route), path: &str) -> Overlap {
        let Some(host) = place::host(&key.host, &self.known) else { return Overlap::None };
        let (scheme, port) = (key.scheme, key.port);
        let routes = || [pair.0, pair.1].into_iter();
        let vocabulary = Vocabulary::of(routes());
        let mut paths = vec![path.to_owned()];
        // What a block wants of a path may stand where a pattern leaves it open.
        for word in words(routes()) {
            let above = path.rsplit_once('/').map_or("", |(above, _)| above);
            paths.push(format!("{above}/{word}"));
            paths.push(format!("{path}/{word}"));
            paths.push(format!("{above}/info/refs"));
            paths.extend(words(routes()).iter().map(|next| format!("{above}/{word}/{next}")));
        }
        let matches = |route: &Route, path: &str| {
            let patterns = route.r#match.paths.iter();
            patterns
                .filter_map(|text| PathPattern::parse(text).ok())
                .any(|pattern| pattern.matches(path))
        };
        let mut overlap = Overlap::None;
        for path in paths.iter().filter(|path| matches(pair.0, path) && matches(pair.1, path)) {
            let spot = Spot { scheme, host: host.clone(), port, path: path.clone() };
            let mut both = Both { words: &vocabulary, spot: &spot, pair, steps: 0 };
            match both.facts(&Facts::default()) {
                Some(facts) => return Overlap::At(Box::new(facts.witness(&spot))),
                None if both.steps > STEPS_MAX => overlap = Overlap::Unknown,
                None => {}
            }
        }
        overlap
    }
}

enum Overlap {
    None,
    At(Box<Witness>),
    Unknown,
}

/// What has to be true for both routes to take a request at one spot.
struct Both<'s, 'p> {
    words: &'s Vocabulary<'p>,
    spot: &'s Spot,
    pair: (&'s Route, &'s Route),
    steps: usize,
}

impl Both<'_, '_> {
    fn facts(&mut self, facts: &Facts) -> Option<Facts> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return None;
        }
        let takes = |route| facts.takes(self.spot, route);
        let open = match (takes(self.pair.0), takes(self.pair.1)) {
            (Ok(false), _) | (_, Ok(false)) => return None,
            (Ok(true), Ok(true)) => return Some(facts.clone()),
            (Err(open), _) | (_, Err(open)) => open,
        };
        self.words.split(facts, &open).iter().find_map(|facts| self.facts(facts))
    }
}
