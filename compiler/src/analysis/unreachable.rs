//! Whether a route can win at all, decided for every kind of request that it matches.
//!
//! Of all hosts and segments that a pattern matches, one that nothing else names has the fewest
//! rivals, so it is enough to look at that; what a tail leaves open is walked through.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::decide::tunnel;
use super::facts::{Facts, Spot, Vocabulary};
use super::place;
use super::tree::{Roots, RootsKnown, State, Step, Tree};
use super::witness::Witness;
use super::words::words;
use crate::canonical::{Host, Scheme};
use crate::pattern::{HostPattern, Segment};
use crate::plan::{Action, Route};
use crate::table::Parsed;

/// Suppositions about one route. Beyond it nothing is claimed: a plan that needs more tells routes
/// apart by dozens of conditions at one path.
const STEPS_MAX: usize = 1 << 20;

/// What keeps a route from ever winning.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    /// The routes that take its requests. None: no request matches it.
    pub(crate) by: BTreeSet<u32>,
    /// One of the requests.
    pub(crate) witness: Option<Witness>,
}

/// Looks at routes of one plan, one after the other.
pub(crate) struct Reach<'t, 'p> {
    tree: &'t Tree<'p>,
    roots: RootsKnown<'p>,
    known: BTreeSet<HostPattern>,
    hosts: HashMap<&'p HostPattern, Option<Host>>,
    steps: usize,
}

/// A route on its way through one place.
struct Search<'s, 'p> {
    tree: &'s Tree<'p>,
    at: u32,
    route: &'p Route,
    spot: Spot,
    encoded_slash: bool,
    words: Vec<&'p str>,
    loss: &'s mut Loss,
    steps: &'s mut usize,
}

impl<'t, 'p> Reach<'t, 'p> {
    pub(crate) fn new(tree: &'t Tree<'p>) -> Self {
        let known = tree.levels.keys().map(|key| key.host.clone()).collect();
        Self { tree, roots: HashMap::new(), known, hosts: HashMap::new(), steps: 0 }
    }

    /// `None`: some request makes the route win.
    pub(crate) fn loss(&mut self, at: u32) -> Option<Loss> {
        let (route, parsed) = (self.tree.route(at)?, self.tree.parsed(at)?);
        if route.action == Action::Tunnel {
            return self.tunnel_loss(at, route, parsed);
        }
        if self.is_first(at, route, parsed) {
            return None;
        }
        self.steps = 0;
        let mut loss = Loss::default();
        for encoded_slash in [false, true] {
            let wanted = &route.r#match;
            if encoded_slash && !wanted.allow_encoded_slash && route.action != Action::Deny {
                continue;
            }
            for host in &parsed.hosts {
                let Some(name) = self.host(host) else { continue };
                for &port in &parsed.ports {
                    let roots = self.roots(wanted.scheme, host, port);
                    for path in &parsed.paths {
                        let spot = Spot {
                            scheme: wanted.scheme,
                            host: name.clone(),
                            port,
                            path: String::new(),
                        };
                        let mut search = Search {
                            tree: self.tree,
                            at,
                            route,
                            spot,
                            encoded_slash,
                            words: words([route].into_iter()),
                            loss: &mut loss,
                            steps: &mut self.steps,
                        };
                        let state = State::new(&roots);
                        if search.path(&state, path.segments(), path.has_tail()) {
                            return None;
                        }
                    }
                }
            }
        }
        Some(loss)
    }

    /// A tunnel is given for a host and port as a whole, or not at all.
    fn tunnel_loss(&mut self, at: u32, route: &Route, parsed: &'p Parsed) -> Option<Loss> {
        let mut loss = Loss::default();
        for (host, &port) in
            parsed.hosts.iter().flat_map(|h| parsed.ports.iter().map(move |p| (h, p)))
        {
            let Some(name) = self.host(host) else { continue };
            let won = tunnel(self.tree, &name, port);
            if won == Some(at) {
                return None;
            }
            let scheme = route.r#match.scheme;
            let denies = |at: &u32| self.tree.route(*at).is_some_and(|r| r.action == Action::Deny);
            let chain = self.tree.chain(scheme, host, port).into_iter();
            let clear = self.tree.chain(Scheme::Http, host, port).into_iter();
            let denies = chain.chain(clear).flat_map(|l| &l.routes).copied().filter(denies);
            loss.by.extend(won.or_else(|| denies.min()));
            let spot = Spot { scheme, host: name, port, path: "/".to_owned() };
            loss.witness.get_or_insert_with(|| Facts::default().witness(&spot));
        }
        Some(loss)
    }

    /// Whether nothing can come before the route where its own first pattern leads, which is so for
    /// nearly all: it stands first at its place, and asks for nothing but path and method.
    ///
    /// A request that spells out the pattern, with parameters that no literal beside them names,
    /// meets this place before any other, because a literal comes before a parameter and both
    /// before a tail.
    fn is_first(&mut self, at: u32, route: &'p Route, parsed: &'p Parsed) -> bool {
        let firsts = (parsed.hosts.first(), parsed.ports.first(), parsed.paths.first());
        let (Some(host), Some(port), Some(path)) = firsts else { return false };
        if parsed.conditions > 0 || self.host(host).is_none() {
            return false;
        }
        let roots = self.roots(route.r#match.scheme, host, *port);
        let root = match route.action {
            Action::Deny => roots.deny.first(),
            Action::Allow | Action::Hold if roots.deny.is_empty() => roots.allow.first(),
            Action::Allow | Action::Hold | Action::Tunnel => None,
        };
        let Some(node) = root.and_then(|root| self.tree.follow(*root, path.segments())) else {
            return false;
        };
        if path.has_tail() {
            // The prefix itself is a path, unless it is nothing.
            let prefix = !path.segments().is_empty() && node.end.is_empty();
            return prefix && node.tail.first() == Some(&at);
        }
        node.end.first() == Some(&at)
    }

    fn roots(&mut self, scheme: Scheme, host: &'p HostPattern, port: u16) -> Rc<Roots> {
        let tree = self.tree;
        let roots = self.roots.entry((scheme, host, port));
        Rc::clone(roots.or_insert_with(|| Rc::new(tree.roots(scheme, host, port))))
    }

    fn host(&mut self, pattern: &'p HostPattern) -> Option<Host> {
        let known = &self.known;
        self.hosts.entry(pattern).or_insert_with(|| place::host(pattern, known)).clone()
    }
}

impl<'p> Search<'_, 'p> {
    /// Whether the route wins somewhere on a path that goes on with these segments.
    fn path(&mut self, state: &State, segments: &[Segment], tail: bool) -> bool {
        let Some((segment, rest)) = segments.split_first() else {
            return if tail { self.below(state) } else { self.here(state) };
        };
        match segment {
            Segment::Literal(text) => {
                let next = state.step(self.tree, Step::Literal(text));
                self.under(text, |search| search.path(&next, rest, tail))
            }
            Segment::Parameter(name) => {
                let next = state.step(self.tree, Step::Other);
                let free = self.free(state, name);
                if self.under(&free, |search| search.path(&next, rest, tail)) {
                    return true;
                }
                self.spellings(state).iter().any(|word| {
                    let next = state.step(self.tree, Step::Literal(word));
                    self.under(word, |search| search.path(&next, rest, tail))
                })
            }
        }
    }

    /// Whether it wins here or anywhere below.
    fn below(&mut self, state: &State) -> bool {
        if !self.spot.path.is_empty() && self.here(state) {
            return true;
        }
        let free = self.free(state, "x");
        let next = state.step(self.tree, Step::Other);
        let empty = state.step(self.tree, Step::Literal(""));
        let wanted = &self.route.r#match;
        let empties = wanted.allow_empty_segments || self.route.action == Action::Deny;
        if state.is_settled() {
            // All further segments lead to the same routes; only the form of the path matters.
            return self.under(&free, |search| search.here(&next))
                || empties && self.under(&format!("/{free}"), |search| search.here(&next))
                || self.worded(state);
        }
        if self.under("", |search| search.here(&empty))
            || self.under(&free, |search| search.below(&next))
        {
            return true;
        }
        if empties && self.under("", |search| search.below(&empty)) {
            return true;
        }
        self.spellings(state).iter().any(|word| {
            let next = state.step(self.tree, Step::Literal(word));
            self.under(word, |search| search.below(&next))
        })
    }

    /// The segments that mean something to the route's block. A deny takes every segment that ends
    /// like one of them, so for it there is also one that no pattern names here.
    fn spellings(&self, state: &State) -> Vec<String> {
        let words = self.words.iter().map(|word| (*word).to_owned());
        if self.route.action != Action::Deny {
            return words.collect();
        }
        let unnamed = self.words.iter().map(|word| {
            let mut spelling = format!("x{word}");
            while state.names(self.tree, &spelling) {
                spelling.insert(0, 'x');
            }
            spelling
        });
        words.chain(unnamed).collect()
    }

    /// Two more segments are enough for everything that a block wants of a path.
    fn worded(&mut self, state: &State) -> bool {
        self.words.clone().into_iter().any(|first| {
            self.under(first, |search| {
                search.here(state)
                    || search
                        .words
                        .clone()
                        .into_iter()
                        .any(|second| search.under(second, |search| search.here(state)))
            })
        })
    }

    fn under(&mut self, segment: &str, ask: impl FnOnce(&mut Self) -> bool) -> bool {
        let len = self.spot.path.len();
        self.spot.path.push('/');
        self.spot.path.push_str(segment);
        let answer = ask(self);
        self.spot.path.truncate(len);
        answer
    }

    /// A segment that no pattern names here.
    fn free(&self, state: &State, name: &str) -> String {
        let mut free = name.to_owned();
        while state.names(self.tree, &free) || self.words.contains(&free.as_str()) {
            free.push('x');
        }
        if self.encoded_slash {
            free.push_str("%2Fx");
        }
        free
    }

    fn here(&mut self, state: &State) -> bool {
        if self.encoded_slash && !self.spot.path.contains("%2F") {
            return false;
        }
        let mut rivals = state.candidates(self.tree);
        let Some(own) = rivals.iter().position(|rival| *rival == self.at) else { return false };
        rivals.truncate(own);
        let denies = self.route.action == Action::Deny;
        let rivals: Vec<(u32, &Route)> = rivals
            .into_iter()
            .filter_map(|at| Some((at, self.tree.route(at)?)))
            .filter(|(_, rival)| denies || rival.action != Action::Tunnel)
            .collect();
        let own = [self.route].into_iter();
        let words = Vocabulary::of(own.chain(rivals.iter().map(|(_, rival)| *rival)));
        self.wins(&words, &rivals, &Facts::default())
    }

    fn wins(&mut self, words: &Vocabulary<'p>, rivals: &[(u32, &Route)], facts: &Facts) -> bool {
        *self.steps += 1;
        if *self.steps > STEPS_MAX {
            return true;
        }
        let open = match facts.takes(&self.spot, self.route) {
            Ok(false) => return false,
            Ok(true) => None,
            Err(open) => Some(open),
        };
        let open = open.or_else(|| {
            rivals
                .iter()
                .find_map(|(at, rival)| match facts.takes(&self.spot, rival) {
                    Ok(false) => None,
                    Ok(true) => Some(Err(*at)),
                    Err(open) => Some(Ok(open)),
                })
                .and_then(|found| match found {
                    Ok(open) => Some(open),
                    Err(at) => {
                        self.loss.by.insert(at);
                        None
                    }
                })
        });
        match open {
            Some(open) => {
                words.split(facts, &open).iter().any(|facts| self.wins(words, rivals, facts))
            }
            None => self.settled(rivals, facts),
        }
    }

    /// Everything that matters is supposed: whether no rival is left.
    fn settled(&mut self, rivals: &[(u32, &Route)], facts: &Facts) -> bool {
        let first = rivals.iter().find(|(_, rival)| facts.takes(&self.spot, rival) != Ok(false));
        if first.is_some() && self.loss.witness.is_none() {
            self.loss.witness = Some(facts.witness(&self.spot));
        }
        first.is_none()
    }
}
