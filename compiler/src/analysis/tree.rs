//! The patterns of a plan as trees of path segments, one pair below every place: what all questions
//! about whole sets of requests walk over. It is read from the plan and not from the table, whose
//! layout serves single requests; tests prove that both decide alike.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use foldhash::fast::FixedState;

use crate::canonical::{Host, Scheme};
use crate::pattern::{HostPattern, PathPattern, Segment};
use crate::plan::{Action, Plan, Route};
use crate::table::{LevelKey, Parsed, more_general};

/// A plan whose routes have been read.
#[derive(Debug)]
pub(crate) struct Tree<'p> {
    plan: &'p Plan,
    parsed: &'p [Parsed],
    nodes: Vec<Node<'p>>,
    pub(super) levels: BTreeMap<LevelKey, Level>,
    managed: HashSet<&'p HostPattern>,
}

/// A position in a path, with the routes whose patterns end here.
#[derive(Debug, Default)]
pub(super) struct Node<'p> {
    pub(super) literals: BTreeMap<&'p str, u32>,
    parameter: Option<u32>,
    /// In order of precedence.
    pub(super) end: Vec<u32>,
    pub(super) tail: Vec<u32>,
}

/// The routes of one scheme, host pattern and port.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub(super) allow: Option<u32>,
    pub(super) deny: Option<u32>,
    pub(super) tunnels: Vec<u32>,
    pub(super) routes: Vec<u32>,
}

/// The levels that a host and port meet, most specific first: where every walk begins.
#[derive(Clone, Debug, Default)]
pub(super) struct Roots {
    pub(super) allow: Vec<u32>,
    pub(super) deny: Vec<u32>,
}

/// Roots that were looked up before, by place.
pub(super) type RootsKnown<'p> = HashMap<(Scheme, &'p HostPattern, u16), Rc<Roots>>;

/// What is still possible after some segments, in order of precedence.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    allow: Vec<Item>,
    deny: Vec<Item>,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Node(u32),
    /// The routes that take everything below a node.
    Tail(u32),
}

/// One segment of a path, as a tree sees it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'s> {
    Literal(&'s str),
    /// A segment that no pattern names, and that is not empty.
    Other,
}

impl<'p> Tree<'p> {
    pub(crate) fn new(plan: &'p Plan, parsed: &'p [Parsed]) -> Self {
        let (nodes, levels, managed) = (Vec::new(), BTreeMap::new(), HashSet::new());
        let mut tree = Self { plan, parsed, nodes, levels, managed };
        let mut levels = Levels::default();
        for ((route, parsed), at) in plan.egress_routes.iter().zip(parsed).zip(0u32..) {
            if !route.inject.is_empty() {
                tree.managed.extend(&parsed.hosts);
            }
            tree.place(&mut levels, (route, parsed, at));
        }
        tree.levels =
            levels.into_iter().map(|((s, p, h, d), level)| (key(s, p, h, d), level)).collect();
        tree.order();
        tree
    }

    pub(super) fn plan(&self) -> &'p Plan {
        self.plan
    }

    pub(super) fn route(&self, at: u32) -> Option<&'p Route> {
        self.plan.egress_routes.get(usize::try_from(at).ok()?)
    }

    pub(super) fn parsed(&self, at: u32) -> Option<&'p Parsed> {
        self.parsed.get(usize::try_from(at).ok()?)
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = (u32, &'p Route, &'p Parsed)> + use<'p> {
        let routes = self.plan.egress_routes.iter().zip(self.parsed);
        routes.zip(0u32..).map(|((route, parsed), at)| (at, route, parsed))
    }

    pub(super) fn node(&self, node: u32) -> Option<&Node<'p>> {
        self.nodes.get(usize::try_from(node).ok()?)
    }

    /// Where a pattern with these segments leads below `root`, by its own literals and parameters.
    pub(super) fn follow(&self, root: u32, segments: &[Segment]) -> Option<&Node<'p>> {
        let mut node = self.node(root)?;
        for segment in segments {
            node = self.node(node.child(segment)?)?;
        }
        Some(node)
    }

    pub(super) fn is_managed(&self, host: &Host) -> bool {
        let exact = HostPattern::Exact(host.as_str().to_owned());
        more_general(&exact).iter().any(|pattern| self.managed.contains(pattern))
    }

    /// The host patterns of routes with a credential.
    pub(super) fn managed(&self) -> impl Iterator<Item = &'p HostPattern> {
        self.managed.iter().copied()
    }

    /// Every port that some pattern of the chain of `host` names.
    pub(super) fn ports(&self, ports: &mut BTreeMap<HostPattern, BTreeSet<(Scheme, u16)>>) {
        for key in self.levels.keys() {
            ports.entry(key.host.clone()).or_default().insert((key.scheme, key.port));
        }
    }

    pub(super) fn roots(&self, scheme: Scheme, host: &HostPattern, port: u16) -> Roots {
        let mut roots = Roots::default();
        for level in self.chain(scheme, host, port) {
            roots.allow.extend(level.allow);
            roots.deny.extend(level.deny);
        }
        roots
    }

    /// The levels that every host of the pattern meets, most specific first.
    pub(super) fn chain(&self, scheme: Scheme, host: &HostPattern, port: u16) -> Vec<&Level> {
        let keys = more_general(host).into_iter().flat_map(|host| {
            [false, true].map(|by_default| LevelKey {
                scheme,
                port,
                host: host.clone(),
                by_default,
            })
        });
        keys.filter_map(|key| self.levels.get(&key)).collect()
    }

    fn place(&mut self, levels: &mut Levels<'p>, (route, parsed, at): (&Route, &'p Parsed, u32)) {
        for host in &parsed.hosts {
            for &port in &parsed.ports {
                let (scheme, by_default) = (route.r#match.scheme, !parsed.ports_listed);
                let nodes = &mut self.nodes;
                let level = levels.entry((scheme, port, host, by_default)).or_default();
                level.routes.push(at);
                let root = match route.action {
                    Action::Tunnel => {
                        level.tunnels.push(at);
                        continue;
                    }
                    Action::Deny => &mut level.deny,
                    Action::Allow | Action::Hold => &mut level.allow,
                };
                let root = *root.get_or_insert_with(|| push(nodes));
                parsed.paths.iter().for_each(|path| insert(nodes, root, path, at));
            }
        }
    }

    fn order(&mut self) {
        let (routes, parsed) = (&self.plan.egress_routes, self.parsed);
        let rank = |at: &u32| {
            let at = usize::try_from(*at).unwrap_or(usize::MAX);
            let route = routes.get(at).map(|r| (r.r#match.methods.is_none(), r.route_id.as_str()));
            let (any, id) = route.unwrap_or_default();
            (any, Reverse(parsed.get(at).map(|p| p.conditions)), id)
        };
        for node in &mut self.nodes {
            for list in [&mut node.end, &mut node.tail] {
                if list.len() > 1 {
                    list.sort_by(|a, b| rank(a).cmp(&rank(b)));
                    list.dedup();
                }
            }
        }
        for level in self.levels.values_mut() {
            level.routes.dedup();
            level.tunnels.sort_by(|a, b| rank(a).2.cmp(rank(b).2));
        }
    }
}

/// Levels by their key, before they are put in order.
type Levels<'p> = HashMap<(Scheme, u16, &'p HostPattern, bool), Level, FixedState>;

fn key(scheme: Scheme, port: u16, host: &HostPattern, by_default: bool) -> LevelKey {
    LevelKey { scheme, port, host: host.clone(), by_default }
}

fn push(nodes: &mut Vec<Node<'_>>) -> u32 {
    nodes.push(Node::default());
    u32::try_from(nodes.len() - 1).unwrap_or(u32::MAX)
}

fn insert<'p>(nodes: &mut Vec<Node<'p>>, root: u32, path: &'p PathPattern, route: u32) {
    let index = |node: u32| usize::try_from(node).unwrap_or(usize::MAX);
    let mut at = root;
    for segment in path.segments() {
        let known = nodes.get(index(at)).and_then(|node| node.child(segment));
        at = known.unwrap_or_else(|| {
            let child = push(nodes);
            match (nodes.get_mut(index(at)), segment) {
                (Some(node), Segment::Literal(text)) => {
                    node.literals.insert(text, child);
                }
                (Some(node), Segment::Parameter(_)) => node.parameter = Some(child),
                (None, _) => {}
            }
            child
        });
    }
    if let Some(node) = nodes.get_mut(index(at)) {
        (if path.has_tail() { &mut node.tail } else { &mut node.end }).push(route);
    }
}

impl Node<'_> {
    pub(super) fn parameter(&self) -> Option<u32> {
        self.parameter
    }

    fn child(&self, segment: &Segment) -> Option<u32> {
        match segment {
            Segment::Literal(text) => self.literals.get(text.as_str()).copied(),
            Segment::Parameter(_) => self.parameter,
        }
    }
}

impl State {
    pub(super) fn new(roots: &Roots) -> Self {
        let items = |roots: &Vec<u32>| roots.iter().copied().map(Item::Node).collect();
        Self { allow: items(&roots.allow), deny: items(&roots.deny) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether every path below has the same candidates.
    pub(super) fn is_settled(&self) -> bool {
        let tail = |item: &Item| matches!(item, Item::Tail(_));
        self.allow.iter().chain(&self.deny).all(tail)
    }

    pub(super) fn step(&self, tree: &Tree<'_>, step: Step<'_>) -> Self {
        let below = |items: &Vec<Item>| {
            let most = if items.is_empty() { 0 } else { items.len() + 2 };
            let mut next = Vec::with_capacity(most);
            for item in items {
                match item {
                    Item::Tail(_) => next.push(*item),
                    Item::Node(at) => below(tree, *at, step, &mut next),
                }
            }
            next
        };
        Self { allow: below(&self.allow), deny: below(&self.deny) }
    }

    /// The routes that name a path which ends here: denies first, each in order of precedence.
    pub(super) fn candidates(&self, tree: &Tree<'_>) -> Vec<u32> {
        let mut routes = Vec::new();
        for item in self.deny.iter().chain(&self.allow) {
            let (at, ends) = match item {
                Item::Node(at) => (*at, true),
                Item::Tail(at) => (*at, false),
            };
            let Some(node) = tree.node(at) else { continue };
            if ends {
                routes.extend_from_slice(&node.end);
            }
            routes.extend_from_slice(&node.tail);
        }
        routes
    }

    /// Whether some pattern names the segment next.
    pub(super) fn names(&self, tree: &Tree<'_>, segment: &str) -> bool {
        self.allow.iter().chain(&self.deny).any(|item| match item {
            Item::Node(at) => tree.node(*at).is_some_and(|n| n.literals.contains_key(segment)),
            Item::Tail(_) => false,
        })
    }

    /// The segments that some pattern names next.
    pub(super) fn literals<'t>(&self, tree: &Tree<'t>, found: &mut BTreeSet<&'t str>) {
        for item in self.allow.iter().chain(&self.deny) {
            match item {
                Item::Node(at) => {
                    found.extend(tree.node(*at).into_iter().flat_map(|n| n.literals.keys()));
                }
                Item::Tail(_) => {}
            }
        }
    }

    /// The nodes and tails it consists of, denies first, with a mark between.
    pub(super) fn parts(&self) -> impl Iterator<Item = Option<(u32, bool)>> {
        let part = |item: &Item| match item {
            Item::Node(at) => Some((*at, true)),
            Item::Tail(at) => Some((*at, false)),
        };
        self.deny.iter().map(part).chain([None]).chain(self.allow.iter().map(part))
    }
}

fn below(tree: &Tree<'_>, at: u32, step: Step<'_>, next: &mut Vec<Item>) {
    let Some(node) = tree.node(at) else { return };
    let (literal, parameter) = match step {
        Step::Literal(text) => {
            (node.literals.get(text), node.parameter.filter(|_| !text.is_empty()))
        }
        Step::Other => (None, node.parameter),
    };
    next.extend(literal.copied().map(Item::Node));
    next.extend(parameter.map(Item::Node));
    if !node.tail.is_empty() {
        next.push(Item::Tail(at));
    }
}

impl<'p> Tree<'p> {
    /// A number for everything at and below every node, equal for two nodes when `sign` gives the
    /// routes at their like places the same numbers. `known` is shared by the trees compared.
    pub(super) fn shapes(&self, known: &mut Shapes<'p>, sign: impl Fn(u32) -> u64) -> Vec<Number> {
        // INVARIANT: a child is pushed after its parent, so children come first here.
        let mut numbers = vec![Number::default(); self.nodes.len()];
        let mut number = |shape: Shape<'p>| {
            let fresh = u64::try_from(known.len()).unwrap_or(u64::MAX) + 1;
            *known.entry(shape).or_insert(fresh)
        };
        for (at, node) in self.nodes.iter().enumerate().rev() {
            let of = |child: u32| {
                let child = usize::try_from(child).ok().and_then(|child| numbers.get(child));
                child.map(|child| child.all).unwrap_or_default()
            };
            let list = |list: &Vec<u32>| list.iter().map(|route| sign(*route)).collect();
            let all = Shape {
                literals: node.literals.iter().map(|(text, child)| (*text, of(*child))).collect(),
                parameter: node.parameter.map(of),
                end: list(&node.end),
                tail: list(&node.tail),
            };
            let tail = Shape { tail: list(&node.tail), ..Shape::default() };
            let both = Number { all: number(all), tail: number(tail) };
            if let Some(slot) = numbers.get_mut(at) {
                *slot = both;
            }
        }
        numbers
    }
}

/// Numbers of what stands at and below a node, and of its tail alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number {
    pub(super) all: u64,
    pub(super) tail: u64,
}

/// What stands at and below a node.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Shape<'p> {
    literals: Vec<(&'p str, u64)>,
    parameter: Option<u64>,
    end: Vec<u64>,
    tail: Vec<u64>,
}

pub(super) type Shapes<'p> = HashMap<Shape<'p>, u64>;
