//! Makes the [`Index`] of a plan: patterns into tries, hosts into chains of levels.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;

use super::check::Parsed;
use super::decide::{ANY, Decision, Decisions, NONE};
use super::index::{Index, Item, Kind, Level, Text};
use super::is_searched;
use super::trie::{Growing, Trie};
use crate::canonical::Scheme;
use crate::pattern::HostPattern;
use crate::plan::{Action, Plan, Route};

/// Hosts times ports times paths, over all routes.
const ITEMS_MAX: usize = 8_000_000;

/// Where a level stands: its order is that of precedence within one host, so that listed ports
/// come before the default.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LevelKey {
    pub(crate) scheme: Scheme,
    pub(crate) port: u16,
    pub(crate) host: HostPattern,
    pub(crate) by_default: bool,
}

/// A route at a leaf, before its list is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) node: u32,
    pub(super) tail: bool,
    pub(super) decision: Decision,
    pub(super) conditions: usize,
}

/// Levels by their key, before they are put in order.
type Levels<'p> = HashMap<(Scheme, u16, &'p HostPattern, bool), (Level, Vec<Item>), FixedState>;

/// An index in the making.
#[derive(Debug)]
pub(super) struct Builder<'p> {
    plan: &'p Plan,
    parsed: &'p [Parsed],
    index: Index,
    trie: Growing<'p>,
    texts: HashMap<&'p str, Text>,
    growing: Levels<'p>,
    levels: BTreeMap<LevelKey, (Level, Vec<Item>)>,
    placed: Vec<Placed>,
    items: usize,
}

impl<'p> Builder<'p> {
    pub(super) fn new(plan: &'p Plan, parsed: &'p [Parsed]) -> Self {
        let (index, texts, levels) = (Index::default(), HashMap::new(), BTreeMap::new());
        let (trie, placed) = (Growing::default(), Vec::new());
        let growing = HashMap::default();
        Self { plan, parsed, index, trie, texts, growing, levels, placed, items: 0 }
    }

    /// `None` when the plan names more places than a table holds.
    pub(super) fn build(mut self, methods: Vec<Box<str>>) -> Option<Built> {
        let (plan, parsed) = (self.plan, self.parsed);
        for ((route, parsed), at) in plan.egress_routes.iter().zip(parsed).zip(0u32..) {
            self.items += parsed.hosts.len() * parsed.ports.len() * parsed.paths.len();
            if self.items > ITEMS_MAX {
                return None;
            }
            self.route(route, parsed, at);
        }
        let levels = std::mem::take(&mut self.growing).into_iter();
        let key = |(scheme, port, host, by_default): (Scheme, u16, &HostPattern, bool)| LevelKey {
            scheme,
            port,
            host: host.clone(),
            by_default,
        };
        self.levels = levels.map(|(place, level)| (key(place), level)).collect();
        let list = self.lists();
        let (trie, places) = std::mem::take(&mut self.trie).finish();
        for (level, _) in self.levels.values_mut() {
            for root in [&mut level.allow, &mut level.deny] {
                *root = places.get(root).copied().unwrap_or(NONE);
            }
        }
        self.managed();
        self.entries();
        self.index.shrink();
        Some(Built { index: self.index, trie, decisions: Decisions::new(list, methods) })
    }

    fn route(&mut self, route: &'p Route, parsed: &'p Parsed, at: u32) {
        for host in &parsed.hosts {
            for &port in &parsed.ports {
                let (scheme, by_default) = (route.r#match.scheme, !parsed.ports_listed);
                let place = (scheme, port, host, by_default);
                let (level, items) =
                    self.growing.entry(place).or_insert_with(|| (Level::EMPTY, Vec::new()));
                let paths = 0..u32::try_from(parsed.paths.len()).unwrap_or(0);
                items.extend(paths.map(|path| Item { route: at, path }));
                if !is_searched(route.action) {
                    level.tunnel = first_tunnel(self.plan, level.tunnel, at);
                    continue;
                }
                let deny = route.action == Action::Deny;
                let root = if deny { &mut level.deny } else { &mut level.allow };
                if *root == NONE {
                    *root = self.trie.root();
                }
                let root = *root;
                self.paths(route, parsed, at, root);
            }
        }
    }

    fn paths(&mut self, route: &Route, parsed: &'p Parsed, at: u32, root: u32) {
        for path in &parsed.paths {
            let mut node = root;
            for segment in path.segments() {
                node = self.trie.child(node, segment);
            }
            let decision = Decision {
                methods: parsed.methods,
                route: at,
                conditional: parsed.conditions > 0,
                hold: route.action == Action::Hold,
                encoded_slash: route.r#match.allow_encoded_slash,
                empty_segments: route.r#match.allow_empty_segments,
                last: false,
            };
            let (tail, conditions) = (path.has_tail(), parsed.conditions);
            self.placed.push(Placed { node, tail, decision, conditions });
        }
    }

    fn text(&mut self, text: &'p str) -> Text {
        let index = &mut self.index;
        *self.texts.entry(text).or_insert_with(|| index.push_text(text))
    }

    fn managed(&mut self) {
        let mut names: Vec<(Kind, &'p str)> = Vec::new();
        for (route, parsed) in self.plan.egress_routes.iter().zip(self.parsed) {
            if !route.inject.is_empty() {
                names.extend(parsed.hosts.iter().map(kind_and_name));
            }
        }
        names.sort_unstable();
        names.dedup();
        for (kind, name) in names {
            let text = self.text(name);
            self.index.push_managed(kind, name, text);
        }
    }

    /// Lays the items out and gives every entry its chain.
    fn entries(&mut self) {
        let mut levels = std::mem::take(&mut self.levels);
        for (level, items) in levels.values_mut() {
            let text = |item: &Item| {
                let route = self.plan.egress_routes.get(usize::try_from(item.route).ok()?)?;
                route.r#match.paths.get(usize::try_from(item.path).ok()?)
            };
            items.sort_by(|a, b| text(a).cmp(&text(b)).then(a.route.cmp(&b.route)));
            let start = u32::try_from(self.index.items.len()).unwrap_or(u32::MAX);
            self.index.items.append(items);
            level.items = (start, u32::try_from(self.index.items.len()).unwrap_or(u32::MAX));
        }
        let mut done: Option<LevelKey> = None;
        for key in levels.keys() {
            let place = LevelKey { by_default: false, ..key.clone() };
            if done.as_ref() == Some(&place) {
                continue;
            }
            let chain = chain(&levels, &place);
            // The name lives as long as the parsed routes do, the key does not.
            let (kind, name) = kind_and_name(&key.host);
            let text = self.index.push_text(name);
            self.index.push_entry((key.scheme, kind, key.port), (name, text), &chain);
            done = Some(place);
        }
    }

    /// Lays the decision lists out, each in order of precedence.
    fn lists(&mut self) -> Vec<Decision> {
        let id = |at: u32| {
            let at = usize::try_from(at).ok()?;
            self.plan.egress_routes.get(at).map(|route| route.route_id.as_str())
        };
        self.placed.sort_by(|a, b| {
            let rank = |p: &Placed| {
                let fewer = std::cmp::Reverse(p.conditions);
                (p.node, p.tail, p.decision.methods == ANY, fewer)
            };
            rank(a).cmp(&rank(b)).then_with(|| id(a.decision.route).cmp(&id(b.decision.route)))
        });
        self.placed.dedup_by_key(|p| (p.node, p.tail, p.decision.route));
        let mut list = Vec::with_capacity(self.placed.len());
        for group in self.placed.chunk_by(|a, b| (a.node, a.tail) == (b.node, b.tail)) {
            let start = u32::try_from(list.len()).unwrap_or(NONE);
            list.extend(group.iter().map(|placed| placed.decision));
            if let Some(last) = list.last_mut() {
                last.last = true;
            }
            let first = group.first().map(|placed| (placed.node, placed.tail));
            let Some((node, tail)) = first else { continue };
            if let Some(node) = self.trie.node_mut(node) {
                *(if tail { &mut node.tail } else { &mut node.end }) = start;
            }
        }
        list
    }
}

/// A finished index.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) index: Index,
    pub(super) trie: Trie,
    pub(super) decisions: Decisions,
}

pub(super) fn kind_and_name(pattern: &HostPattern) -> (Kind, &str) {
    match pattern {
        HostPattern::Exact(name) => (Kind::Exact, name),
        HostPattern::Single(suffix) => (Kind::Single, suffix),
        HostPattern::Multi(suffix) => (Kind::Multi, suffix),
        HostPattern::Any => (Kind::Any, ""),
    }
}

/// Of two tunnels at one place, the one with the lower route id.
fn first_tunnel(plan: &Plan, old: u32, new: u32) -> u32 {
    let id = |at: u32| {
        let route = usize::try_from(at).ok().and_then(|at| plan.egress_routes.get(at));
        route.map(|route| route.route_id.as_str())
    };
    if old != NONE && id(old) <= id(new) { old } else { new }
}

/// The levels of every pattern that matches all hosts of `key`, most specific first.
fn chain(levels: &BTreeMap<LevelKey, (Level, Vec<Item>)>, key: &LevelKey) -> Vec<Level> {
    let patterns = more_general(&key.host);
    let keys = patterns.into_iter().flat_map(|host| {
        [false, true].map(|by_default| LevelKey { host: host.clone(), by_default, ..key.clone() })
    });
    keys.filter_map(|key| levels.get(&key).map(|(level, _)| *level)).collect()
}

/// The pattern and all that match whatever it matches, in order of precedence.
pub(crate) fn more_general(host: &HostPattern) -> Vec<HostPattern> {
    let suffixes = |name: &str| {
        let dots = name.match_indices('.').map(|(at, _)| name.get(at + 1..).unwrap_or_default());
        dots.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut patterns = vec![host.clone()];
    match host {
        HostPattern::Exact(name) if !is_address(name) => {
            let suffixes = suffixes(name);
            patterns.extend(suffixes.first().cloned().map(HostPattern::Single));
            patterns.extend(suffixes.into_iter().map(HostPattern::Multi));
        }
        HostPattern::Exact(_) => {}
        HostPattern::Single(suffix) => {
            patterns.push(HostPattern::Multi(suffix.clone()));
            patterns.extend(suffixes(suffix).into_iter().map(HostPattern::Multi));
        }
        HostPattern::Multi(suffix) => {
            patterns.extend(suffixes(suffix).into_iter().map(HostPattern::Multi));
        }
        HostPattern::Any => return patterns,
    }
    patterns.push(HostPattern::Any);
    patterns
}

fn is_address(name: &str) -> bool {
    name.parse::<std::net::IpAddr>().is_ok()
}
