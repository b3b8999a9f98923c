//! A plan, indexed for matching: immutable, shared by every sandbox that runs the plan.
//!
//! The data path asks [`RouteTable::find`], and so does every tool: none can disagree with
//! enforcement. Finding takes no lock, does not allocate, and normalises nothing.

mod analyse;
mod build;
mod check;
mod decide;
mod index;
mod nearby;
mod trie;

use std::sync::Arc;

use crate::canonical::{Host, Scheme};
use crate::content::{Content, Inspection};
use crate::diagnostic::Diagnostics;
use crate::key::MatchKey;
use crate::plan::{Action, Plan, Route, Unmatched};

pub(crate) use analyse::Finding;
pub(crate) use build::{LevelKey, more_general};
pub(crate) use check::{Checker, INTEGER_MAX, Parsed, is_injectable, is_token};
pub(crate) use decide::{Stop, stopped_by};

use decide::{Decisions, Found, Probe};
use index::{Entry, Index, Level};
use trie::{Node, Trie};

/// Index into [`Plan::egress_routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteIndex(pub u32);

/// What the plan says about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Allow(RouteIndex),
    Hold(RouteIndex),
    Deny(RouteIndex),
    NoRoute {
        /// Whether a route with a credential names the host: such a host is never passed through.
        managed: bool,
        reason: Miss,
    },
    Passthrough,
    /// A block decides, and what it looks at has to be read first: then ask
    /// [`RouteTable::find_read`].
    Inspect(Inspection),
}

/// The furthest step that any candidate reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Miss {
    Host,
    Path,
    Method,
    Condition,
    EncodedSlash,
    EmptySegment,
    /// What the request says inside its protocol.
    Content,
}

/// What to do with a CONNECT before any request is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostClass {
    Intercept,
    Tunnel(RouteIndex),
    /// No route names it.
    Unknown,
    Passthrough,
}

/// A plan indexed for matching.
#[derive(Debug)]
pub struct RouteTable {
    plan: Arc<Plan>,
    index: Index,
    trie: Trie,
    decisions: Decisions,
    uses_headers: bool,
}

impl RouteTable {
    /// Checks and indexes `plan`. Every error in it is reported; warnings are not.
    pub fn build(plan: Arc<Plan>) -> Result<RouteTable, Diagnostics> {
        let (table, findings) = Self::analyse(plan);
        let found: Vec<_> = findings.into_iter().map(Finding::into_diagnostic).collect();
        let found = Diagnostics(found);
        match table {
            Some(table) if !found.has_errors() => Ok(table),
            Some(_) | None => Err(found.sorted()),
        }
    }

    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    pub fn route(&self, index: RouteIndex) -> Option<&Route> {
        self.plan.egress_routes.get(usize::try_from(index.0).ok()?)
    }

    /// The outcome of one request. No allocation, no lock, no normalisation.
    pub fn find(&self, key: &MatchKey<'_>) -> Verdict {
        self.find_read(key, &Content::UNREAD)
    }

    /// The outcome of a request of which some content was read.
    pub fn find_read(&self, key: &MatchKey<'_>, content: &Content) -> Verdict {
        let Some(entry) = self.index.entry(key.scheme, key.host, key.port) else {
            return self.unmatched(key.host, Miss::Host);
        };
        let mut probe = Probe::new(key, content, self.decisions.method_bit(key.method));
        if entry.has_deny {
            probe.denying = true;
            let denies = self.index.levels(entry).iter().filter_map(Level::deny_root);
            if let Some(found) = self.search(denies, &mut probe) {
                return found.needs.map_or(Verdict::Deny(found.route), Verdict::Inspect);
            }
            probe = Probe { denying: false, miss: Miss::Path, ..probe };
        }
        let allows = self.index.levels(entry).iter().filter_map(Level::allow_root);
        match self.search(allows, &mut probe) {
            Some(Found { needs: Some(kind), .. }) => Verdict::Inspect(kind),
            Some(found) if found.hold => Verdict::Hold(found.route),
            Some(found) => Verdict::Allow(found.route),
            None => self.unmatched(key.host, probe.miss),
        }
    }

    /// What to do with a CONNECT to this host and port before any request is seen.
    ///
    /// A host that is both denied in part and tunnelled is intercepted: a tunnel would hide what
    /// the deny is about.
    pub fn host_class(&self, host: &Host, port: u16) -> HostClass {
        let entry = |scheme| self.index.entry(scheme, host, port);
        let (tls, clear) = (entry(Scheme::Https), entry(Scheme::Http));
        if tls.is_none() && clear.is_none() {
            let passes = self.unmatched(host, Miss::Host) == Verdict::Passthrough;
            return if passes { HostClass::Passthrough } else { HostClass::Unknown };
        }
        let denied = |entry: Option<&Entry>| entry.is_some_and(|entry| entry.has_deny);
        if denied(tls) || denied(clear) {
            return HostClass::Intercept;
        }
        let levels = tls.map(|entry| self.index.levels(entry)).unwrap_or_default();
        match levels.iter().find(|level| !level.is_empty()).and_then(Level::tunnel) {
            Some(route) => HostClass::Tunnel(route),
            None => HostClass::Intercept,
        }
    }

    /// Whether a route with a credential names the host, at whatever port.
    pub fn is_managed(&self, host: &Host) -> bool {
        self.index.is_managed(host)
    }

    /// Whether any route has a header condition.
    pub fn uses_headers(&self) -> bool {
        self.uses_headers
    }

    fn search(&self, mut roots: impl Iterator<Item = u32>, probe: &mut Probe<'_>) -> Option<Found> {
        let path = probe.key.target.path().as_bytes();
        let rest = path.strip_prefix(b"/").unwrap_or(path);
        roots.find_map(|root| self.descend(self.trie.root(root)?, Some(rest), probe))
    }

    /// Depth first in the order of precedence: literal, parameter, tail. The depth is bounded by
    /// that of the table, because no pattern has more segments than `pattern` allows.
    fn descend(&self, node: &Node, rest: Option<&[u8]>, probe: &mut Probe<'_>) -> Option<Found> {
        let Some(rest) = rest else {
            let end = self.decisions.first(&self.plan, node.end, probe);
            return end.or_else(|| self.decisions.first(&self.plan, node.tail, probe));
        };
        let (segment, below) = split_segment(rest);
        if node.has_literals
            && let Some((child, below)) = self.trie.literal(node, segment, rest)
            && let Some(found) = self.descend(child, below, probe)
        {
            return Some(found);
        }
        if let Some(child) = self.trie.parameter(node).filter(|_| !segment.is_empty())
            && let Some(found) = self.descend(child, below, probe)
        {
            return Some(found);
        }
        self.decisions.first(&self.plan, node.tail, probe)
    }

    fn unmatched(&self, host: &Host, reason: Miss) -> Verdict {
        let managed = self.index.is_managed(host);
        match self.plan.unmatched {
            Unmatched::Passthrough if !managed => Verdict::Passthrough,
            Unmatched::Passthrough | Unmatched::Deny => Verdict::NoRoute { managed, reason },
        }
    }
}

/// The first segment, and what is below it. Segments are short, and eight bytes at a time in
/// registers find the end of one sooner than a call does.
#[inline]
fn split_segment(rest: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (words, tail) = rest.as_chunks::<8>();
    let in_words = words.iter().zip(0usize..).find_map(|(word, at)| {
        let found = slashes(u64::from_le_bytes(*word));
        (found != 0).then(|| at * 8 + (found.trailing_zeros() / 8) as usize)
    });
    let in_tail = || tail.iter().position(|byte| *byte == b'/').map(|at| words.len() * 8 + at);
    match in_words.or_else(in_tail).and_then(|end| rest.split_at_checked(end)) {
        Some((segment, below)) => (segment, below.get(1..)),
        None => (rest, None),
    }
}

/// The high bit of the lowest byte that is `/` is the lowest bit set. Above it there may be false
/// ones.
#[inline]
fn slashes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    let zero_at_slash = word ^ (ONES * b'/' as u64);
    zero_at_slash.wrapping_sub(ONES) & !zero_at_slash & (ONES << 7)
}

/// Whether a route stands in the tries; a tunnel is about hosts and ports only.
fn is_searched(action: Action) -> bool {
    match action {
        Action::Allow | Action::Deny | Action::Hold => true,
        Action::Tunnel => false,
    }
}
