//! Two plans walked through together: every kind of place that either tells apart from others,
//! once, and what lies below places that are alike in both not at all.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::Origin;
use super::facts::Spot;
use super::outcome::Effects;
use super::place;
use super::tree::{Number, Shapes, State, Step, Tree};
use super::words::{endings, free_name, words};
use crate::canonical::{Host, Scheme};
use crate::pattern::HostPattern;
use crate::plan::{Action, Route};
use crate::table::more_general;

/// Two plans, ready to be walked through.
pub(super) struct Pair<'t, 'p> {
    old: Numbered<'t, 'p>,
    new: Numbered<'t, 'p>,
    words: Vec<&'p str>,
    endings: &'static [&'static str],
    free_name: Option<&'static str>,
    ports: Ports,
}

/// At which port the newer plan is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    Same,
    /// It says the same of every port.
    Default,
}

struct Numbered<'t, 'p> {
    tree: &'t Tree<'p>,
    effects: Vec<u64>,
    shapes: Vec<Number>,
}

/// One side of a walk.
#[derive(Clone, Copy)]
pub(super) struct Here<'w, 'p> {
    pub(super) origin: &'w Origin<'w, 'p>,
    pub(super) state: &'w State,
    shapes: &'w [Number],
}

/// What is asked of every kind of place.
pub(super) trait Ask<'p> {
    type Answer: Clone + Eq + Ord;

    /// What there is to say about the spot, given both plans' candidates there.
    fn spot(&mut self, spot: &Spot, old: Side<'_, 'p>, new: Side<'_, 'p>) -> Vec<Self::Answer>;

    /// Whether nothing below can be of interest.
    fn skips(&self, old: Side<'_, 'p>, new: Side<'_, 'p>) -> bool;

    /// Whether what stands alike in both plans is of no interest.
    fn skips_alike(&self) -> bool {
        true
    }

    /// Whether enough is known.
    fn is_done(&self) -> bool;
}

/// What a plan has at a spot.
#[derive(Clone, Copy)]
pub(super) struct Side<'w, 'p> {
    pub(super) origin: &'w Origin<'w, 'p>,
    pub(super) state: &'w State,
}

/// An answer for all paths of one shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part<A> {
    pub(super) path: Vec<String>,
    /// Everything below, too.
    pub(super) below: bool,
    pub(super) form: Form,
    pub(super) answer: A,
}

impl<A: Eq> Part<A> {
    /// Whether this, said of plain paths, leaves nothing to be said by the other.
    fn covers(&self, other: &Self) -> bool {
        let fits = |(wanted, segment): (&String, &String)| wanted == "*" || wanted == segment;
        let lengths = if self.below {
            self.path.len() <= other.path.len()
        } else {
            self.path.len() == other.path.len() && !other.below
        };
        self.form == Form::default()
            && self.answer == other.answer
            && lengths
            && self.path.iter().zip(&other.path).all(fits)
    }
}

/// How a path is written, where routes care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Form {
    pub(super) encoded_slash: bool,
    pub(super) empty_segment: bool,
}

/// A kind of origin: hosts that meet the same patterns, at a port.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) scheme: Scheme,
    /// `None`: no pattern names it.
    pub(super) pattern: Option<HostPattern>,
    pub(super) host: Host,
    /// `None`: one that no route lists.
    pub(super) listed: Option<u16>,
    pub(super) port: u16,
}

impl<'t, 'p> Pair<'t, 'p> {
    pub(super) fn new(old: &'t Tree<'p>, new: &'t Tree<'p>) -> Self {
        let mut effects = Effects::default();
        let (old_effects, new_effects) = (effects.of(old.plan()), effects.of(new.plan()));
        let mut known = Shapes::new();
        let mut signs = Signs::default();
        let old_shapes = signs.shapes(old, &old_effects, &mut known);
        let new_shapes = signs.shapes(new, &new_effects, &mut known);
        let routes = || [old, new].into_iter().flat_map(|t| t.plan().egress_routes.iter());
        let (words, endings) = (words(routes()), endings(routes()));
        let free_name = free_name(routes());
        let old = Numbered { tree: old, effects: old_effects, shapes: old_shapes };
        let new = Numbered { tree: new, effects: new_effects, shapes: new_shapes };
        Self { old, new, words, endings, free_name, ports: Ports::Same }
    }

    /// Has the newer plan say of every port what it says of the scheme's default.
    pub(super) fn new_at_every_port(self) -> Self {
        Self { ports: Ports::Default, ..self }
    }

    fn new_port(&self, place: &Place) -> u16 {
        match self.ports {
            Ports::Same => place.port,
            Ports::Default => place.scheme.default_port(),
        }
    }

    /// Every kind of origin that there is.
    pub(super) fn places(&self) -> Vec<Place> {
        let mut ports: BTreeMap<HostPattern, BTreeSet<(Scheme, u16)>> = BTreeMap::new();
        self.old.tree.ports(&mut ports);
        self.new.tree.ports(&mut ports);
        let managed = [self.old.tree, self.new.tree].into_iter().flat_map(Tree::managed);
        for pattern in managed {
            ports.entry(pattern.clone()).or_default();
        }
        let known: BTreeSet<HostPattern> = ports.keys().cloned().collect();
        let mut places = Vec::new();
        let other = HostPattern::Any;
        let patterns = ports.keys().map(|p| (p, true));
        let rest = (!ports.contains_key(&other)).then_some((&other, false));
        for (pattern, named) in patterns.chain(rest) {
            let Some(host) = place::host(pattern, &known) else { continue };
            let general = more_general(pattern);
            let met = general.iter().filter_map(|general| ports.get(general)).flatten();
            let met: BTreeSet<(Scheme, u16)> = met.copied().collect();
            for scheme in [Scheme::Https, Scheme::Http] {
                let listed: Vec<u16> =
                    met.iter().filter(|(s, _)| *s == scheme).map(|(_, port)| *port).collect();
                let unlisted = (1..=u16::MAX).rev().find(|port| !listed.contains(port));
                // The default port comes first: it is what people mean.
                let default = scheme.default_port();
                let unlisted = if listed.contains(&default) { unlisted } else { Some(default) };
                let all = listed.iter().map(|port| (Some(*port), *port));
                for (listed, port) in all.chain(unlisted.map(|port| (None, port))) {
                    let pattern = named.then(|| pattern.clone());
                    places.push(Place { scheme, pattern, host: host.clone(), listed, port });
                }
            }
        }
        places
    }

    /// Asks about every kind of path at the place.
    pub(super) fn ask<A: Ask<'p>>(&self, place: &Place, ask: &mut A) -> Vec<Part<A::Answer>> {
        let pattern = HostPattern::Exact(place.host.as_str().to_owned());
        let Place { scheme, port, .. } = *place;
        let new_port = self.new_port(place);
        let old_roots = self.old.tree.roots(scheme, &pattern, port);
        let new_roots = self.new.tree.roots(scheme, &pattern, new_port);
        let at = |port| (scheme, &place.host, port);
        let old_origin = Origin::new(self.old.tree, &self.old.effects, at(port));
        let new_origin = Origin::new(self.new.tree, &self.new.effects, at(new_port));
        let (old_state, new_state) =
            (start(&old_origin, &old_roots), start(&new_origin, &new_roots));
        let old = Here { origin: &old_origin, state: &old_state, shapes: &self.old.shapes };
        let new = Here { origin: &new_origin, state: &new_state, shapes: &self.new.shapes };
        let mut parts: Vec<Part<A::Answer>> = Vec::new();
        for form in self.forms(&old, &new, ask.skips_alike()) {
            let host = place.host.clone();
            let spot = Spot { scheme, host, port, path: String::new() };
            let (words, endings) = (self.words.as_slice(), self.endings);
            let free_name = self.free_name;
            let mut walk = Walk { words, endings, free_name, ask, form, spot };
            for part in walk.node(old, new) {
                // A form that makes no difference is not mentioned.
                if !parts.iter().any(|plain| plain.covers(&part)) {
                    parts.push(part);
                }
            }
            if ask.is_done() {
                break;
            }
        }
        parts
    }

    /// Asks about one path, in canonical form.
    pub(super) fn at<A: Ask<'p>>(&self, place: &Place, path: &str, ask: &mut A) {
        let pattern = HostPattern::Exact(place.host.as_str().to_owned());
        let Place { scheme, port, .. } = *place;
        let here = (scheme, &place.host, port);
        let old = Origin::new(self.old.tree, &self.old.effects, here);
        let new = Origin::new(self.new.tree, &self.new.effects, here);
        let begin =
            |origin: &Origin<'_, 'p>| start(origin, &origin.tree.roots(scheme, &pattern, port));
        let (mut old_state, mut new_state) = (begin(&old), begin(&new));
        for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
            old_state = old_state.step(old.tree, Step::Literal(segment));
            new_state = new_state.step(new.tree, Step::Literal(segment));
        }
        let spot = Spot { scheme, host: place.host.clone(), port, path: path.to_owned() };
        let old = Side { origin: &old, state: &old_state };
        ask.spot(&spot, old, Side { origin: &new, state: &new_state });
    }

    /// The forms of a path that can matter: others lead nowhere in both plans, which is something
    /// to ask about, too, unless what is alike is skipped.
    fn forms(&self, old: &Here<'_, 'p>, new: &Here<'_, 'p>, skips_alike: bool) -> Vec<Form> {
        let (a, b) = (old.origin.everywhere(), new.origin.everywhere());
        let constant = a.0.is_none() && b.0.is_none() && a.1 == b.1;
        let cares = |route: &Route| {
            let wanted = &route.r#match;
            let allows = wanted.allow_encoded_slash || wanted.allow_empty_segments;
            allows || route.action == Action::Deny
        };
        let routes = [self.old.tree, self.new.tree].into_iter();
        let matters =
            !skips_alike || !constant || routes.flat_map(|t| &t.plan().egress_routes).any(cares);
        let mut forms = vec![Form::default()];
        if matters {
            for (encoded_slash, empty_segment) in [(true, false), (false, true), (true, true)] {
                forms.push(Form { encoded_slash, empty_segment });
            }
        }
        forms
    }
}

/// Under a tunnel no path is seen.
fn start(origin: &Origin<'_, '_>, roots: &super::tree::Roots) -> State {
    if origin.is_tunnel() { State::default() } else { State::new(roots) }
}

/// Numbers for routes, the same for two that take the same requests and do the same.
#[derive(Default)]
struct Signs {
    known: BTreeMap<String, u64>,
}

impl Signs {
    fn shapes<'p>(
        &mut self,
        tree: &Tree<'p>,
        effects: &[u64],
        known: &mut Shapes<'p>,
    ) -> Vec<Number> {
        let mut signs = Vec::with_capacity(effects.len());
        for ((_, route, _), effect) in tree.routes().zip(effects) {
            let wanted = &route.r#match;
            let flags = (wanted.allow_encoded_slash, wanted.allow_empty_segments);
            let (headers, query, block) = (&wanted.headers, &wanted.query, &wanted.block);
            let mut methods = wanted.methods.clone();
            methods.iter_mut().for_each(|methods| methods.sort_unstable());
            let action = route.action;
            let text = format!(
                "{effect} {action:?} {methods:?} {headers:?} {query:?} {block:?} {flags:?}"
            );
            let fresh = u64::try_from(self.known.len()).unwrap_or(u64::MAX) + 1;
            signs.push(*self.known.entry(text).or_insert(fresh));
        }
        tree.shapes(known, |route| {
            let at = usize::try_from(route).unwrap_or(usize::MAX);
            signs.get(at).copied().unwrap_or_default()
        })
    }
}

struct Walk<'w, 'p, A> {
    words: &'w [&'p str],
    endings: &'static [&'static str],
    free_name: Option<&'static str>,
    ask: &'w mut A,
    form: Form,
    spot: Spot,
}

impl<'p, A: Ask<'p>> Walk<'_, 'p, A> {
    /// All answers for paths at and below this node, with what is the same said once.
    fn node(&mut self, old: Here<'_, 'p>, new: Here<'_, 'p>) -> Vec<Part<A::Answer>> {
        let skips = self.ask.skips(side(&old), side(&new));
        if self.ask.is_done() || skips || (self.ask.skips_alike() && alike(&old, &new)) {
            return Vec::new();
        }
        if old.state.is_settled() && new.state.is_settled() {
            return self.settled(old, new);
        }
        let mut literals = BTreeSet::new();
        old.state.literals(old.origin.tree, &mut literals);
        new.state.literals(new.origin.tree, &mut literals);
        literals.extend(self.words);
        let free = self.free(&literals);
        let root = self.spot.path.is_empty();
        let end = if root { Vec::new() } else { self.here(old, new) };
        let trailing = self.trailing(old, new, literals.contains(""));
        let others = self.under(&free, Step::Other, old, new);
        let mut named: Vec<(&str, Vec<Part<A::Answer>>)> = literals
            .iter()
            .filter(|text| !text.is_empty())
            .map(|text| (*text, self.under(text, Step::Literal(text), old, new)))
            .collect();
        let endings = self.endings.iter().filter(|text| !literals.contains(*text));
        named.extend(endings.map(|text| (*text, self.ending(text, old, new))));
        merge(root, Ends { end, trailing }, others, named)
    }

    /// Nothing below tells paths apart, except by their form.
    fn settled(&mut self, old: Here<'_, 'p>, new: Here<'_, 'p>) -> Vec<Part<A::Answer>> {
        let len = self.spot.path.len();
        let mut parts = Vec::new();
        if self.form.empty_segment && !self.spot.path.contains("//") {
            self.spot.path.push_str("//x");
        } else if len == 0 {
            self.spot.path.push_str("/x");
        }
        if self.form.encoded_slash && !self.spot.path.contains("%2F") {
            self.spot.path.push_str("/x%2Fx");
        }
        let (form, path) = (self.form, Vec::new());
        let answers = self.ask.spot(&self.spot, side(&old), side(&new));
        parts.extend(answers.into_iter().map(|answer| Part {
            path: path.clone(),
            below: true,
            form,
            answer,
        }));
        self.spot.path.truncate(len);
        parts.extend(self.worded(old, new, &parts));
        parts
    }

    /// Paths that mean something to a block, below a place where no pattern tells any apart.
    fn worded(
        &mut self,
        old: Here<'_, 'p>,
        new: Here<'_, 'p>,
        known: &[Part<A::Answer>],
    ) -> Vec<Part<A::Answer>> {
        let mut parts = Vec::new();
        let (words, endings) = (self.words, self.endings);
        let seconds = || words.iter().chain(endings).copied().map(Some).chain([None]);
        let pairs = words.iter().flat_map(|first| seconds().map(|second| (*first, second)));
        let alone = endings.iter().map(|last| (*last, None));
        for path in pairs.chain(alone) {
            let path: Vec<String> = [path.0].into_iter().chain(path.1).map(str::to_owned).collect();
            let len = self.spot.path.len();
            for segment in &path {
                self.spot.path.push('/');
                self.spot.path.push_str(segment);
            }
            for mut part in self.here(old, new) {
                if !known.iter().any(|known| known.answer == part.answer) {
                    part.path = path.iter().map(|segment| self.shown(segment)).collect();
                    parts.push(part);
                }
            }
            self.spot.path.truncate(len);
        }
        parts
    }

    fn shown(&self, segment: &str) -> String {
        if self.free_name == Some(segment) { "*".to_owned() } else { segment.to_owned() }
    }

    fn here(&mut self, old: Here<'_, 'p>, new: Here<'_, 'p>) -> Vec<Part<A::Answer>> {
        let wanted = (self.form.encoded_slash, self.form.empty_segment);
        let path = &self.spot.path;
        let fits = (!wanted.0 || path.contains("%2F")) && (!wanted.1 || path.contains("//"));
        if !fits {
            return Vec::new();
        }
        let form = self.form;
        let answers = self.ask.spot(&self.spot, side(&old), side(&new));
        let part = |answer| Part { path: Vec::new(), below: false, form, answer };
        answers.into_iter().map(part).collect()
    }

    /// A slash at the end; in the form with empty segments also what follows one.
    fn trailing(
        &mut self,
        old: Here<'_, 'p>,
        new: Here<'_, 'p>,
        named: bool,
    ) -> Vec<Part<A::Answer>> {
        let step = Step::Literal("");
        let old_state = old.state.step(old.origin.tree, step);
        let new_state = new.state.step(new.origin.tree, step);
        let (old, new) = (Here { state: &old_state, ..old }, Here { state: &new_state, ..new });
        self.spot.path.push('/');
        let goes_on = named && !(old_state.is_settled() && new_state.is_settled());
        let parts = if self.form.empty_segment || goes_on {
            self.node(old, new)
        } else {
            self.here(old, new)
        };
        self.spot.path.pop();
        parts
    }

    fn under(
        &mut self,
        segment: &str,
        step: Step<'_>,
        old: Here<'_, 'p>,
        new: Here<'_, 'p>,
    ) -> Vec<Part<A::Answer>> {
        let old_state = old.state.step(old.origin.tree, step);
        let new_state = new.state.step(new.origin.tree, step);
        let len = self.spot.path.len();
        self.spot.path.push('/');
        self.spot.path.push_str(segment);
        let (old, new) = (Here { state: &old_state, ..old }, Here { state: &new_state, ..new });
        let parts = self.node(old, new);
        self.spot.path.truncate(len);
        parts
    }

    /// A path that ends in this segment.
    fn ending(
        &mut self,
        segment: &str,
        old: Here<'_, 'p>,
        new: Here<'_, 'p>,
    ) -> Vec<Part<A::Answer>> {
        let old_state = old.state.step(old.origin.tree, Step::Literal(segment));
        let new_state = new.state.step(new.origin.tree, Step::Literal(segment));
        let (old, new) = (Here { state: &old_state, ..old }, Here { state: &new_state, ..new });
        let len = self.spot.path.len();
        self.spot.path.push('/');
        self.spot.path.push_str(segment);
        let parts = self.here(old, new);
        self.spot.path.truncate(len);
        parts
    }

    fn free(&self, literals: &BTreeSet<&str>) -> String {
        let mut free = String::from("x");
        while literals.contains(free.as_str()) {
            free.push('x');
        }
        if self.form.encoded_slash {
            free.push_str("%2Fx");
        }
        free
    }
}

fn side<'w, 'p>(here: &Here<'w, 'p>) -> Side<'w, 'p> {
    Side { origin: here.origin, state: here.state }
}

/// Whether both plans decide everything below in the same way, for what stands there.
fn alike(old: &Here<'_, '_>, new: &Here<'_, '_>) -> bool {
    let (a, b) = (old.origin.everywhere(), new.origin.everywhere());
    if a.0.is_some() || b.0.is_some() || a.1 != b.1 {
        return false;
    }
    let number = |here: &Here<'_, '_>, part: Option<(u32, bool)>| {
        part.map(|(node, whole)| {
            let at = usize::try_from(node).unwrap_or(usize::MAX);
            here.shapes.get(at).map(|shape| if whole { shape.all } else { shape.tail })
        })
    };
    let mut new_parts = new.state.parts();
    let same = old
        .state
        .parts()
        .all(|part| new_parts.next().is_some_and(|other| number(old, part) == number(new, other)));
    same && new_parts.next().is_none()
}

struct Ends<P> {
    end: Vec<P>,
    trailing: Vec<P>,
}

/// Says once what is true of a path and all below it, and of a segment whatever it is.
fn merge<A: Clone + Eq + Ord>(
    root: bool,
    ends: Ends<Part<A>>,
    others: Vec<Part<A>>,
    named: Vec<(&str, Vec<Part<A>>)>,
) -> Vec<Part<A>> {
    let mut parts = Vec::new();
    let whole = |part: &Part<A>| {
        let whole = part.path.is_empty() && part.below;
        let same = |end: &Part<A>| end.answer == part.answer && end.path.is_empty();
        let ended = root || part.form.empty_segment || ends.end.iter().any(same);
        let trailed = ends.trailing.iter().any(same);
        whole && trailed && ended
    };
    let everywhere: Vec<Part<A>> = others.iter().filter(|part| whole(part)).cloned().collect();
    let covered = |part: &Part<A>| everywhere.iter().any(|all| all.answer == part.answer);
    parts.extend(ends.end.iter().filter(|part| !covered(part)).cloned());
    let under = |segment: &str, mut part: Part<A>| {
        part.path.insert(0, segment.to_owned());
        part
    };
    let trailing = ends.trailing.iter().filter(|part| !covered(part)).cloned();
    parts.extend(trailing.map(|part| under("", part)));
    for (segment, list) in named {
        let new = list.into_iter().filter(|part| !others.contains(part) && !covered(part));
        parts.extend(new.map(|part| under(segment, part)));
    }
    parts.extend(others.iter().filter(|p| !whole(p)).map(|part| under("*", part.clone())));
    parts.extend(everywhere);
    parts
}
