//! Path patterns, as a trie of whole segments.
//!
//! A literal segment costs one look into one array, in which the node that it leads to stands
//! beside it: usually one cache line. Nothing here grows once a table is made.

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

/// A literal segment below a node, and the node that it leads to.
#[derive(Clone, Copy, Debug)]
struct Slot {
    parent: u32,
    start: u32,
    len: u32,
    child: Node,
}

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

    #[inline]
    pub(super) fn literal(&self, node: &Node, segment: &[u8]) -> Option<&Node> {
        let mut at = self.home(node.id, segment);
        loop {
            let slot = self.slots.get(at)?;
            if slot.parent == node.id && self.is_text(slot, segment) {
                return Some(&slot.child);
            }
            if slot.parent == NONE {
                return None;
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    #[inline]
    fn is_text(&self, slot: &Slot, segment: &[u8]) -> bool {
        let (start, len) = (index(slot.start), index(slot.len));
        len == segment.len() && self.text.get(start..start + len) == Some(segment)
    }

    /// Where a segment below a node stands, or the first of the places after which it does.
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
    nodes: Vec<Node>,
    literals: HashMap<(u32, &'p str), u32, FixedState>,
    others: Vec<u32>,
}

impl<'p> Growing<'p> {
    /// A new root. It is known by this number until the trie is finished.
    pub(super) fn root(&mut self) -> u32 {
        let root = self.push();
        self.others.push(root);
        root
    }

    pub(super) fn child(&mut self, node: u32, segment: &'p Segment) -> u32 {
        match segment {
            Segment::Literal(text) => {
                if let Some(child) = self.literals.get(&(node, text.as_str())) {
                    return *child;
                }
                let child = self.push();
                self.literals.insert((node, text), child);
                if let Some(node) = self.node_mut(node) {
                    node.has_literals = true;
                }
                child
            }
            Segment::Parameter(_) => {
                let known = self.node_mut(node).map_or(NONE, |node| node.parameter);
                if known != NONE {
                    return known;
                }
                let child = self.push();
                self.others.push(child);
                if let Some(node) = self.node_mut(node) {
                    node.parameter = child;
                }
                child
            }
        }
    }

    pub(super) fn node_mut(&mut self, node: u32) -> Option<&mut Node> {
        self.nodes.get_mut(index(node))
    }

    /// The finished trie, and for every root's number its place in it.
    pub(super) fn finish(mut self) -> (Trie, HashMap<u32, u32>) {
        let places: HashMap<u32, u32> = self.others.iter().copied().zip(0..).collect();
        for node in &mut self.nodes {
            node.parameter = places.get(&node.parameter).copied().unwrap_or(NONE);
        }
        let node = |id: u32| self.nodes.get(index(id)).copied();
        let mut trie = Trie {
            slots: vec![Slot::EMPTY; self.literals.len() * 2],
            others: self.others.iter().filter_map(|id| node(*id)).collect(),
            ..Trie::default()
        };
        let mut starts: HashMap<&str, u32> = HashMap::new();
        for ((parent, segment), child) in &self.literals {
            let text = &mut trie.text;
            let start = *starts.entry(segment).or_insert_with(|| {
                text.extend_from_slice(segment.as_bytes());
                number(text.len() - segment.len())
            });
            let Some(child) = node(*child) else { continue };
            let slot = Slot { parent: *parent, start, len: number(segment.len()), child };
            trie.place(slot, segment.as_bytes());
        }
        trie.text.shrink_to_fit();
        (trie, places)
    }

    fn push(&mut self) -> u32 {
        let id = number(self.nodes.len());
        self.nodes.push(Node::new(id));
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
