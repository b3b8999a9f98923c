//! Path patterns, as a trie of whole segments.
//!
//! Literal segments with nothing to decide between them are one edge: `/repos/acme` and all that
//! is below costs one look into one array, in which the node that the edge leads to stands beside
//! it, usually in one cache line. Nothing here grows once a table is made.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use super::decide::NONE;
use crate::pattern::Segment;

/// A position in a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    id: u32,
    /// Decisions for a path that ends here.
    pub(super) end: u32,
    /// Decisions for a path that ends here or goes on.
    pub(super) tail: u32,
    /// Where in `others` the child for any segment stands.
    parameter: u32,
    pub(super) has_literals: bool,
}

/// An edge below a node: one literal segment or more, and the node that they lead to.
#[derive(Clone, Copy, Debug)]
struct Slot {
    parent: u32,
    start: u32,
    len: u32,
    child: Node,
}

/// Where an edge led: a node, and what is left of the path below it. `None` when nothing is, which
/// is not the same as one more segment that is empty.
pub(super) type Led<'t, 'r> = (&'t Node, Option<&'r [u8]>);

/// The tries of one table, one below each root.
#[derive(Debug, Default)]
pub(super) struct Trie {
    /// Open addressing, at most half full. INVARIANT: the hash is fixed and requests add nothing,
    /// so no request makes a look-up longer than the longest run that the plan itself has.
    slots: Vec<Slot>,
    hasher: FixedState,
    /// Roots, and nodes below parameters.
    others: Vec<Node>,
    /// Every segment once.
    text: Vec<u8>,
}

impl Node {
    fn new(id: u32) -> Self {
        Self { id, end: NONE, tail: NONE, parameter: NONE, has_literals: false }
    }
}

impl Slot {
    const EMPTY: Self = Self {
        parent: NONE,
        start: 0,
        len: 0,
        child: Node { id: NONE, end: NONE, tail: NONE, parameter: NONE, has_literals: false },
    };
}

impl Trie {
    pub(super) fn root(&self, root: u32) -> Option<&Node> {
        self.others.get(usize::try_from(root).ok()?)
    }

    pub(super) fn parameter(&self, node: &Node) -> Option<&Node> {
        // `NONE` is beyond the end.
        self.others.get(usize::try_from(node.parameter).ok()?)
    }

    /// Follows the edge that `rest`, whose first segment is `segment`, begins with.
    #[inline]
    pub(super) fn literal<'r>(
        &self,
        node: &Node,
        segment: &[u8],
        rest: &'r [u8],
    ) -> Option<Led<'_, 'r>> {
        self.edges(node, segment).find_map(|slot| {
            let below = rest.strip_prefix(self.text(slot)?)?;
            match below.split_first() {
                None => Some((&slot.child, None)),
                Some((b'/', below)) => Some((&slot.child, Some(below))),
                Some(_) => None,
            }
        })
    }

    /// The edges below a node that may begin with `segment`.
    #[inline]
    fn edges(&self, node: &Node, segment: &[u8]) -> impl Iterator<Item = &Slot> {
        let (id, home) = (node.id, self.home(node.id, segment));
        let (before, after) = self.slots.split_at_checked(home).unwrap_or_default();
        let run = after.iter().chain(before).take_while(|slot| slot.parent != NONE);
        run.filter(move |slot| slot.parent == id)
    }

    #[inline]
    fn text(&self, slot: &Slot) -> Option<&[u8]> {
        let (start, len) = (index(slot.start), index(slot.len));
        self.text.get(start..start.saturating_add(len))
    }

    /// Where an edge that begins with this segment stands, or the first of the places after which
    /// it does.
    #[inline]
    fn home(&self, parent: u32, segment: &[u8]) -> usize {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(segment);
        hasher.write_u32(parent);
        let place = u128::from(hasher.finish()) * self.slots.len() as u128;
        usize::try_from(place >> 64).unwrap_or(0)
    }
}

/// A trie in the making.
#[derive(Debug, Default)]
pub(super) struct Growing<'p> {
    nodes: Vec<Sprout<'p>>,
    literals: HashMap<(u32, &'p str), u32, FixedState>,
    others: Vec<u32>,
}

/// A node, and what decides whether edges pass it by.
#[derive(Debug)]
struct Sprout<'p> {
    node: Node,
    /// A root, or below a parameter: something refers to it by itself.
    is_other: bool,
    literals: u32,
    /// The last literal below.
    below: Option<(&'p str, u32)>,
}

impl<'p> Sprout<'p> {
    /// Where the path goes on, when it can only go on, and only by one literal.
    fn only_way(&self) -> Option<(&'p str, u32)> {
        let Node { end, tail, parameter, .. } = self.node;
        let stands = self.is_other || self.literals > 1 || [end, tail, parameter] != [NONE; 3];
        self.below.filter(|_| !stands)
    }
}

/// An edge in the making.
struct Edge<'p> {
    parent: u32,
    first: &'p str,
    text: Cow<'p, str>,
    child: u32,
}

impl<'p> Growing<'p> {
    /// A new root. It is known by this number until the trie is finished.
    pub(super) fn root(&mut self) -> u32 {
        self.push_other()
    }

    pub(super) fn child(&mut self, node: u32, segment: &'p Segment) -> u32 {
        match segment {
            Segment::Literal(text) => {
                if let Some(child) = self.literals.get(&(node, text.as_str())) {
                    return *child;
                }
                let child = self.push(false);
                self.literals.insert((node, text), child);
                if let Some(sprout) = self.nodes.get_mut(index(node)) {
                    sprout.node.has_literals = true;
                    sprout.literals += 1;
                    sprout.below = Some((text, child));
                }
                child
            }
            Segment::Parameter(_) => {
                let known = self.node_mut(node).map_or(NONE, |node| node.parameter);
                if known != NONE {
                    return known;
                }
                let child = self.push_other();
                if let Some(node) = self.node_mut(node) {
                    node.parameter = child;
                }
                child
            }
        }
    }

    pub(super) fn node_mut(&mut self, node: u32) -> Option<&mut Node> {
        self.nodes.get_mut(index(node)).map(|sprout| &mut sprout.node)
    }

    /// The finished trie, and for every root's number its place in it.
    pub(super) fn finish(mut self) -> (Trie, HashMap<u32, u32, FixedState>) {
        let places: HashMap<u32, u32, _> = self.others.iter().copied().zip(0..).collect();
        let edges = self.edges();
        for Sprout { node, .. } in self.nodes.iter_mut().filter(|s| s.node.parameter != NONE) {
            node.parameter = places.get(&node.parameter).copied().unwrap_or(NONE);
        }
        let node = |id: u32| self.nodes.get(index(id)).map(|sprout| sprout.node);
        let mut trie = Trie {
            slots: vec![Slot::EMPTY; edges.len() * 2],
            others: self.others.iter().filter_map(|id| node(*id)).collect(),
            ..Trie::default()
        };
        let mut starts: HashMap<&str, u32, FixedState> = HashMap::default();
        for Edge { parent, first, text, child } in &edges {
            let all = &mut trie.text;
            let start = *starts.entry(text).or_insert_with(|| {
                all.extend_from_slice(text.as_bytes());
                number(all.len() - text.len())
            });
            let Some(child) = node(*child) else { continue };
            let slot = Slot { parent: *parent, start, len: number(text.len()), child };
            trie.place(slot, first.as_bytes());
        }
        trie.text.shrink_to_fit();
        (trie, places)
    }

    /// In an order that depends on the plan only.
    fn edges(&self) -> Vec<Edge<'p>> {
        let way = |id: u32| self.nodes.get(index(id)).and_then(Sprout::only_way);
        let steps =
            self.literals.iter().map(|((parent, segment), child)| (*child, *parent, *segment));
        let mut steps: Vec<_> = steps.filter(|(_, parent, _)| way(*parent).is_none()).collect();
        steps.sort_unstable_by_key(|(child, ..)| *child);
        let edge = |(mut child, parent, first): (u32, u32, &'p str)| {
            let mut text = Cow::Borrowed(first);
            while let Some((segment, below)) = way(child) {
                text.to_mut().push('/');
                text.to_mut().push_str(segment);
                child = below;
            }
            Edge { parent, first, text, child }
        };
        steps.into_iter().map(edge).collect()
    }

    fn push_other(&mut self) -> u32 {
        let id = self.push(true);
        self.others.push(id);
        id
    }

    fn push(&mut self, is_other: bool) -> u32 {
        let id = number(self.nodes.len());
        self.nodes.push(Sprout { node: Node::new(id), is_other, literals: 0, below: None });
        id
    }
}

impl Trie {
    fn place(&mut self, slot: Slot, segment: &[u8]) {
        let home = self.home(slot.parent, segment).min(self.slots.len());
        let (before, after) = self.slots.split_at_mut(home);
        let free = after.iter_mut().chain(before).find(|other| other.parent == NONE);
        if let Some(free) = free {
            *free = slot;
        }
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// INVARIANT: a plan that is small enough for `build` has fewer nodes and less text than this
/// counts.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}
