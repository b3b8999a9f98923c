//! The last step of matching: which of the routes at one path take this method and these
//! conditions.

use super::{Miss, RouteIndex};
use crate::block::Block;
use crate::canonical::{Target, hex};
use crate::content::{Content, Inspection, Told, told};
use crate::key::{HeaderValue, Headers, MatchKey};
use crate::plan::{Action, Condition, Match, Plan};

/// No list, no node: index values that stand for nothing.
pub(super) const NONE: u32 = u32::MAX;

/// Routes that name methods of their own share the bits that the well-known ones leave.
pub(super) const METHODS_MAX: usize = 63;

/// The method that no route lists.
const UNLISTED: u64 = 1 << METHODS_MAX;

/// Every method.
pub(super) const ANY: u64 = u64::MAX;

/// One route at one path. Lists stand one after the other; `last` ends each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision {
    pub(super) methods: u64,
    pub(super) route: u32,
    pub(super) conditional: bool,
    pub(super) hold: bool,
    pub(super) encoded_slash: bool,
    pub(super) empty_segments: bool,
    pub(super) last: bool,
}

/// All decision lists of a table.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    pub(super) list: Vec<Decision>,
    /// The methods that routes list; a method's bit is its position.
    pub(super) methods: Vec<Box<str>>,
    /// The same, as [`word`]s: seldom is more than one text compared.
    words: Vec<u64>,
}

/// A request on its way through the table.
pub(super) struct Probe<'a> {
    pub(super) key: &'a MatchKey<'a>,
    pub(super) method: u64,
    pub(super) denying: bool,
    pub(super) miss: Miss,
    pub(super) content: &'a Content,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) route: RouteIndex,
    pub(super) hold: bool,
    /// The route takes the request or not, depending on content that was not read yet.
    pub(super) needs: Option<Inspection>,
}

impl<'a> Probe<'a> {
    pub(super) fn new(key: &'a MatchKey<'a>, content: &'a Content, method: u64) -> Self {
        Self { key, method, denying: false, miss: Miss::Path, content }
    }
}

impl Decisions {
    pub(super) fn new(list: Vec<Decision>, methods: Vec<Box<str>>) -> Self {
        let words = methods.iter().map(|method| word(method)).collect();
        Self { list, methods, words }
    }

    pub(super) fn method_bit(&self, method: &str) -> u64 {
        let wanted = word(method);
        let listed = |(at, known): (usize, &u64)| {
            *known == wanted && self.methods.get(at).is_some_and(|listed| **listed == *method)
        };
        let position = self.words.iter().enumerate().position(listed);
        position.map_or(UNLISTED, |bit| 1 << bit)
    }

    /// The first of the list at `start` that takes the request.
    pub(super) fn first(&self, plan: &Plan, start: u32, probe: &mut Probe<'_>) -> Option<Found> {
        if start == NONE {
            return None;
        }
        for decision in self.list.get(usize::try_from(start).ok()?..)? {
            let route = RouteIndex(decision.route);
            match decision.step(plan, probe) {
                Step::Takes => return Some(Found { route, hold: decision.hold, needs: None }),
                Step::Needs(kind) => {
                    return Some(Found { route, hold: decision.hold, needs: Some(kind) });
                }
                Step::Stops(miss) => probe.miss = probe.miss.max(miss),
            }
            if decision.last {
                break;
            }
        }
        None
    }
}

/// How far a request comes with one route.
enum Step {
    Takes,
    Stops(Miss),
    Needs(Inspection),
}

/// The first bytes of a text.
#[inline]
fn word(text: &str) -> u64 {
    let bytes = text.as_bytes();
    match bytes.first_chunk() {
        Some(first) => u64::from_le_bytes(*first),
        None => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

impl Decision {
    /// Whether this route takes the request, or the first thing that keeps it from doing so.
    #[inline]
    fn step(&self, plan: &Plan, probe: &Probe<'_>) -> Step {
        if self.methods & probe.method == 0 {
            return Step::Stops(Miss::Method);
        }
        let wanted = if self.conditional { self.wanted(plan) } else { None };
        if wanted.is_some_and(|w| failed_condition(w, probe.key, probe.denying).is_some()) {
            return Step::Stops(Miss::Condition);
        }
        // A deny holds for every way to write the path.
        if !probe.denying && !self.encoded_slash && probe.key.target.has_encoded_slash() {
            return Step::Stops(Miss::EncodedSlash);
        }
        if !probe.denying && !self.empty_segments && probe.key.target.has_empty_segment() {
            return Step::Stops(Miss::EmptySegment);
        }
        let Some(block) = wanted.and_then(|wanted| wanted.block.as_ref()) else {
            return Step::Takes;
        };
        match told(block, probe.key, probe.content, probe.denying) {
            Told::Inside => Step::Takes,
            Told::Outside => Step::Stops(Miss::Content),
            Told::Needs(kind) => Step::Needs(kind),
        }
    }

    /// INVARIANT: a decision's route is one of the plan's.
    fn wanted<'p>(&self, plan: &'p Plan) -> Option<&'p Match> {
        let route = usize::try_from(self.route).ok().and_then(|at| plan.egress_routes.get(at));
        route.map(|route| &route.r#match)
    }
}

/// Why a route that names the request's host and path does not take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop<'p> {
    Method,
    Header(&'p Condition),
    Query(&'p Condition),
    /// Its content, as far as it is known, is not inside the block.
    Block(&'p Block),
    /// Its content has to be read.
    Unread(Inspection),
    EncodedSlash,
    EmptySegment,
}

/// The same steps as on the data path, with the condition that failed.
pub(crate) fn stopped_by<'p>(
    action: Action,
    wanted: &'p Match,
    (key, content): (&MatchKey<'_>, &Content),
) -> Option<Stop<'p>> {
    let denying = action == Action::Deny;
    let listed = |methods: &Vec<String>| methods.iter().any(|method| method == key.method);
    if !wanted.methods.as_ref().is_none_or(listed) {
        return Some(Stop::Method);
    }
    if let Some(stop) = failed_condition(wanted, key, denying) {
        return Some(stop);
    }
    if !denying && !wanted.allow_encoded_slash && key.target.has_encoded_slash() {
        return Some(Stop::EncodedSlash);
    }
    if !denying && !wanted.allow_empty_segments && key.target.has_empty_segment() {
        return Some(Stop::EmptySegment);
    }
    let block = wanted.block.as_ref()?;
    match told(block, key, content, denying) {
        Told::Inside => None,
        Told::Outside => Some(Stop::Block(block)),
        Told::Needs(kind) => Some(Stop::Unread(kind)),
    }
}

fn failed_condition<'p>(wanted: &'p Match, key: &MatchKey<'_>, denying: bool) -> Option<Stop<'p>> {
    let header =
        |condition: &&Condition| !holds(condition, header_seen(key.headers, condition), denying);
    let query =
        |condition: &&Condition| !holds(condition, query_seen(key.target, condition), denying);
    let stop = wanted.headers.iter().find(header).map(Stop::Header);
    stop.or_else(|| wanted.query.iter().find(query).map(Stop::Query))
}

/// What a request has under the name of a condition.
#[derive(Clone, Copy)]
struct Seen {
    count: usize,
    /// Whether any value equals the wanted one, or may.
    equal: bool,
}

/// An allowing route must know what the upstream will see, so a repeated name fails it. A denying
/// one refuses on doubt, so one occurrence among several is enough.
fn holds(condition: &Condition, seen: Seen, denying: bool) -> bool {
    let there = if denying { seen.count > 0 } else { seen.count == 1 };
    match (&condition.equals, condition.present) {
        (Some(_), _) => there && seen.equal,
        (None, Some(false)) => seen.count == 0,
        (None, Some(true) | None) => there,
    }
}

fn header_seen(headers: &dyn Headers, condition: &Condition) -> Seen {
    let wanted = condition.equals.as_ref().map(String::as_bytes);
    match headers.value(&condition.name) {
        HeaderValue::None => Seen { count: 0, equal: false },
        HeaderValue::One(value) => Seen { count: 1, equal: wanted == Some(value) },
        HeaderValue::Many => Seen { count: 2, equal: true },
    }
}

/// Names and values are compared as a server reads them: split on `&` and the first `=`, escapes
/// and `+` decoded. Comparing raw bytes would let `%61` hide a second occurrence of `a`.
fn query_seen(target: &Target<'_>, condition: &Condition) -> Seen {
    let mut seen = Seen { count: 0, equal: false };
    let query = target.query().unwrap_or_default().as_bytes();
    for pair in query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if decoded(name).eq(condition.name.bytes()) {
            seen.count += 1;
            seen.equal |= condition.equals.as_ref().is_some_and(|w| decoded(value).eq(w.bytes()));
        }
    }
    seen
}

/// Form decoding; an escape that is none stands for itself.
fn decoded(mut bytes: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (&first, rest) = bytes.split_first()?;
        bytes = rest;
        match (first, rest) {
            (b'+', _) => Some(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes = after;
                    Some(high << 4 | low)
                }
                _ => Some(b'%'),
            },
            _ => Some(first),
        }
    })
}
