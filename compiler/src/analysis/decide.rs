//! What a plan decides at one spot, as far as what is supposed settles it.

use super::facts::{Facts, Open, Spot};
use super::outcome::Outcome;
use super::tree::Tree;
use crate::canonical::{Host, Scheme};
use crate::pattern::HostPattern;
use crate::plan::{Action, Unmatched};

/// What one plan says about a host and port before any path is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'t, 'p> {
    pub(super) tree: &'t Tree<'p>,
    /// Routes by what they do.
    pub(super) effects: &'t [u64],
    tunnel: Option<u32>,
    unmatched: Outcome,
}

/// What is decided, and by which route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decided {
    pub(super) outcome: Outcome,
    pub(super) effect: u64,
    pub(super) route: Option<u32>,
}

impl Decided {
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.outcome, self.effect) == (other.outcome, other.effect)
    }
}

impl<'t, 'p> Origin<'t, 'p> {
    pub(super) fn new(
        tree: &'t Tree<'p>,
        effects: &'t [u64],
        (scheme, host, port): (Scheme, &Host, u16),
    ) -> Self {
        let unmatched = match tree.plan().unmatched {
            Unmatched::Passthrough if !tree.is_managed(host) => Outcome::Passthrough,
            Unmatched::Passthrough | Unmatched::Deny => Outcome::NoRoute,
        };
        // What is not https is not asked for through a tunnel.
        let tunnel = (scheme == Scheme::Https).then(|| tunnel(tree, host, port)).flatten();
        Self { tree, effects, tunnel, unmatched }
    }

    /// What decides every request here: the route, or that there is none.
    pub(super) fn everywhere(&self) -> (Option<u32>, Outcome) {
        (self.tunnel, self.unmatched)
    }

    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel.is_some()
    }

    /// `candidates` are those at the spot, in order of precedence, denies first.
    pub(super) fn decide(
        &self,
        spot: &Spot,
        facts: &Facts,
        candidates: &[u32],
    ) -> Result<Decided, Open> {
        if let Some(tunnel) = self.tunnel {
            return Ok(self.decided(Outcome::Tunnel, tunnel));
        }
        for &at in candidates {
            let Some(route) = self.tree.route(at) else { continue };
            if facts.takes(spot, route)? {
                return Ok(self.decided(Outcome::of(route.action), at));
            }
        }
        Ok(Decided { outcome: self.unmatched, effect: 0, route: None })
    }

    fn decided(&self, outcome: Outcome, at: u32) -> Decided {
        Decided { outcome, effect: self.effect(at), route: Some(at) }
    }

    fn effect(&self, at: u32) -> u64 {
        let effect = usize::try_from(at).ok().and_then(|at| self.effects.get(at));
        effect.copied().unwrap_or_default()
    }
}

/// The tunnel that a CONNECT would be given.
pub(super) fn tunnel(tree: &Tree<'_>, host: &Host, port: u16) -> Option<u32> {
    let pattern = HostPattern::Exact(host.as_str().to_owned());
    let tls = tree.chain(Scheme::Https, &pattern, port);
    let first = *tls.first()?.tunnels.first()?;
    let clear = tree.chain(Scheme::Http, &pattern, port);
    let denied = |at: &u32| tree.route(*at).is_some_and(|r| r.action == Action::Deny);
    let denies = tls.iter().chain(&clear).flat_map(|level| &level.routes).any(denied);
    (!denies).then_some(first)
}
