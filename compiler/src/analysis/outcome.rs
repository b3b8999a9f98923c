//! What becomes of a request, comparable between plans.

use std::collections::HashMap;

use serde::Serialize;

use crate::plan::{Action, Clear, Injection, Limits, Plan, Route, Timeouts, Upstream, Usage};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Allow,
    Hold,
    Deny,
    Tunnel,
    NoRoute,
    Passthrough,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny => "deny",
            Self::Tunnel => "tunnel",
            Self::NoRoute => "no_route",
            Self::Passthrough => "passthrough",
        }
    }

    /// Whether anything is let out.
    pub fn lets_out(self) -> bool {
        match self {
            Self::Allow | Self::Hold | Self::Tunnel | Self::Passthrough => true,
            Self::Deny | Self::NoRoute => false,
        }
    }

    pub(super) fn of(action: Action) -> Self {
        match action {
            Action::Allow => Self::Allow,
            Action::Hold => Self::Hold,
            Action::Deny => Self::Deny,
            Action::Tunnel => Self::Tunnel,
        }
    }
}

/// Everything that a route does to a request that it takes.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Effect<'p> {
    action: Action,
    upstream: &'p Upstream,
    inject: Vec<(Injection, String)>,
    clear: &'p Clear,
    limits: Limits,
    usage: Option<&'p Usage>,
    timeouts: Timeouts,
}

impl<'p> Effect<'p> {
    pub(super) fn of(plan: &'p Plan, route: &'p Route) -> Self {
        let inject = |injection: &Injection| {
            let references: Vec<_> =
                injection.credentials().map(|at| plan.credentials.get(at)).collect();
            let references = serde_json::to_string(&references).unwrap_or_default();
            // Of the indexes only what they stand for counts.
            let username_credential = injection.username_credential.map(|_| 0);
            let same = Injection { credential: 0, username_credential, ..injection.clone() };
            (same, references)
        };
        Self {
            action: route.action,
            upstream: &route.upstream,
            inject: route.inject.iter().map(inject).collect(),
            clear: &route.clear,
            limits: route.limits.clone(),
            usage: route.usage.as_ref(),
            timeouts: route.timeouts,
        }
    }
}

/// Whether it makes no difference which of the two takes a request. A deny is a deny.
pub(super) fn same_effect(a: (&Plan, &Route), b: (&Plan, &Route)) -> bool {
    let denies = a.1.action == Action::Deny && b.1.action == Action::Deny;
    denies || Effect::of(a.0, a.1) == Effect::of(b.0, b.1)
}

/// Numbers for effects, the same for the same effect.
#[derive(Debug, Default)]
pub(super) struct Effects<'p>(HashMap<Effect<'p>, u64>);

impl<'p> Effects<'p> {
    /// One number for every route of a plan. All denies have one effect.
    pub(super) fn of(&mut self, plan: &'p Plan) -> Vec<u64> {
        let mut number = |route: &'p Route| {
            if route.action == Action::Deny {
                return 0;
            }
            let fresh = u64::try_from(self.0.len()).unwrap_or(u64::MAX) + 1;
            *self.0.entry(Effect::of(plan, route)).or_insert(fresh)
        };
        plan.egress_routes.iter().map(&mut number).collect()
    }
}
