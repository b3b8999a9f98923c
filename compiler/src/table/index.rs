//! Where the routes of a host stand: one look-up for an exact host, one for each longer suffix
//! that some wildcard has. What is found knows every more general pattern, so nothing is scanned.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::RouteIndex;
use super::decide::NONE;
use crate::canonical::{Host, Scheme};

/// The lookups of one plan.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// INVARIANT: fixed, so that a lookup costs what it cost when the table was made. Requests
    /// cannot add entries, so they cannot make the table degenerate.
    hasher: FixedState,
    entries: HashTable<Entry>,
    managed: HashTable<Managed>,
    levels: Vec<Level>,
    pub(super) items: Vec<Item>,
    text: Vec<u8>,
    any_single: bool,
    any_wildcard: bool,
    /// Bit n: some `**.` suffix has n labels. Others are not looked up.
    multi_depths: u128,
}

/// What kind of host pattern a name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Exact,
    Single,
    Multi,
    Any,
}

/// All that is said about one scheme, host pattern and port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    name: Text,
    first_level: u32,
    level_count: u32,
    port: u16,
    scheme: Scheme,
    kind: Kind,
    pub(super) has_deny: bool,
}

/// The routes of one host pattern that list the port, or of those that leave it to the default.
/// An entry's levels are those of every pattern that matches its hosts, most specific first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) allow: u32,
    pub(super) deny: u32,
    pub(super) tunnel: u32,
    pub(super) items: (u32, u32),
}

/// One path of one route at one level, in order of the path's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) route: u32,
    pub(super) path: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    start: u32,
    len: u32,
}

#[derive(Clone, Copy, Debug)]
struct Managed {
    name: Text,
    kind: Kind,
}

impl Level {
    pub(super) const EMPTY: Self = Self { allow: NONE, deny: NONE, tunnel: NONE, items: (0, 0) };

    pub(super) fn is_empty(&self) -> bool {
        self.allow == NONE && self.deny == NONE && self.tunnel == NONE
    }

    pub(super) fn allow_root(&self) -> Option<u32> {
        (self.allow != NONE).then_some(self.allow)
    }

    pub(super) fn deny_root(&self) -> Option<u32> {
        (self.deny != NONE).then_some(self.deny)
    }

    pub(super) fn tunnel(&self) -> Option<RouteIndex> {
        (self.tunnel != NONE).then_some(RouteIndex(self.tunnel))
    }

    pub(super) fn item_range(&self) -> Range<usize> {
        let (start, end) = self.items;
        usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0)
    }
}

impl Index {
    /// The most specific entry for a host: it knows all the more general ones.
    pub(super) fn entry(&self, scheme: Scheme, host: &Host, port: u16) -> Option<&Entry> {
        let look = |kind, name| self.pattern(scheme, kind, name, port);
        look(Kind::Exact, host.as_str()).or_else(|| {
            if !self.any_wildcard {
                return None;
            }
            self.by_suffix(host, look)
        })
    }

    pub(super) fn levels(&self, entry: &Entry) -> &[Level] {
        let start = usize::try_from(entry.first_level).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(entry.level_count).unwrap_or(0));
        self.levels.get(start..end).unwrap_or_default()
    }

    pub(super) fn is_managed(&self, host: &Host) -> bool {
        if self.managed.is_empty() {
            return false;
        }
        let look = |kind, name: &str| {
            let same = |managed: &Managed| {
                managed.kind == kind && self.text(managed.name) == name.as_bytes()
            };
            self.managed
                .find(pattern_hash(&self.hasher, Scheme::Https, kind, name.as_bytes(), 0), same)
                .map(|_| ())
        };
        look(Kind::Exact, host.as_str()).or_else(|| self.by_suffix(host, look)).is_some()
    }

    pub(super) fn pattern(
        &self,
        scheme: Scheme,
        kind: Kind,
        name: &str,
        port: u16,
    ) -> Option<&Entry> {
        let same = |entry: &Entry| {
            let place = (entry.port, entry.scheme, entry.kind) == (port, scheme, kind);
            place && self.text(entry.name) == name.as_bytes()
        };
        self.entries.find(pattern_hash(&self.hasher, scheme, kind, name.as_bytes(), port), same)
    }

    /// `*.` at the one suffix that it can have, then `**.` at each, longest first, then `*`.
    fn by_suffix<'s, T>(
        &self,
        host: &'s Host,
        look: impl Fn(Kind, &'s str) -> Option<T>,
    ) -> Option<T> {
        if host.ip().is_none() {
            let mut labels = host.as_str().bytes().filter(|byte| *byte == b'.').count();
            let mut rest = host.as_str();
            while let Some((_, suffix)) = rest.split_once('.') {
                if rest.len() == host.as_str().len()
                    && self.any_single
                    && let Some(found) = look(Kind::Single, suffix)
                {
                    return Some(found);
                }
                if self.multi_depths & depth_bit(labels) != 0
                    && let Some(found) = look(Kind::Multi, suffix)
                {
                    return Some(found);
                }
                rest = suffix;
                labels -= 1;
            }
        }
        look(Kind::Any, "")
    }

    #[inline]
    fn text(&self, text: Text) -> &[u8] {
        slice(&self.text, text)
    }
}

/// What the builder may do to an [`Index`].
impl Index {
    pub(super) fn push_text(&mut self, text: &str) -> Text {
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.extend_from_slice(text.as_bytes());
        Text { start, len: u32::try_from(text.len()).unwrap_or(0) }
    }

    pub(super) fn push_managed(&mut self, kind: Kind, name: &str, text: Text) {
        self.note_wildcard(kind, name);
        let hash = pattern_hash(&self.hasher, Scheme::Https, kind, name.as_bytes(), 0);
        let Self { managed, text: all, hasher, .. } = self;
        let rehash =
            |m: &Managed| pattern_hash(hasher, Scheme::Https, m.kind, slice(all, m.name), 0);
        managed.insert_unique(hash, Managed { name: text, kind }, rehash);
    }

    pub(super) fn push_entry(
        &mut self,
        (scheme, kind, port): (Scheme, Kind, u16),
        name: (&str, Text),
        levels: &[Level],
    ) {
        self.note_wildcard(kind, name.0);
        let hash = pattern_hash(&self.hasher, scheme, kind, name.0.as_bytes(), port);
        let first_level = u32::try_from(self.levels.len()).unwrap_or(u32::MAX);
        self.levels.extend_from_slice(levels);
        let level_count = u32::try_from(levels.len()).unwrap_or(0);
        let has_deny = levels.iter().any(|level| level.deny != NONE);
        let name = name.1;
        let entry = Entry { name, first_level, level_count, port, scheme, kind, has_deny };
        let Self { entries, text: all, hasher, .. } = self;
        let rehash = |e: &Entry| pattern_hash(hasher, e.scheme, e.kind, slice(all, e.name), e.port);
        entries.insert_unique(hash, entry, rehash);
    }

    /// Gives back what growing took too much.
    pub(super) fn shrink(&mut self) {
        self.levels.shrink_to_fit();
        self.items.shrink_to_fit();
        self.text.shrink_to_fit();
    }

    fn note_wildcard(&mut self, kind: Kind, name: &str) {
        match kind {
            Kind::Exact => return,
            Kind::Single => self.any_single = true,
            Kind::Multi => {
                let labels = name.bytes().filter(|byte| *byte == b'.').count() + 1;
                self.multi_depths |= depth_bit(labels);
            }
            Kind::Any => {}
        }
        self.any_wildcard = true;
    }
}

/// A name of 253 bytes has at most 127 labels.
fn depth_bit(labels: usize) -> u128 {
    1 << labels.min(127)
}

#[inline]
fn slice(all: &[u8], text: Text) -> &[u8] {
    let start = usize::try_from(text.start).unwrap_or(usize::MAX);
    let end = start.saturating_add(usize::try_from(text.len).unwrap_or(0));
    all.get(start..end).unwrap_or_default()
}

#[inline]
fn pattern_hash(state: &FixedState, scheme: Scheme, kind: Kind, name: &[u8], port: u16) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(name);
    hasher.write_u32(u32::from(port) << 16 | (scheme as u32) << 8 | kind as u32);
    hasher.finish()
}
