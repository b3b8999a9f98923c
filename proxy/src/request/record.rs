//! Step seven: what happened.

use std::time::{Duration, Instant};

use super::usage::{self, Ending};
use super::{Exchange, Permit, Shared};
use crate::clock;
use crate::denial::Denial;
use crate::id::ExchangeId;
use crate::record::{AddressText, Durations, Event, Timestamp};

/// Records the exchange that Pingora brought to an end.
pub(super) fn finish(shared: &Shared, ending: Ending, x: &mut Exchange) {
    usage::settle(ending, x);
    x.recorded = true;
    x.slot.leave();
    write(shared, x);
}

/// Records an exchange that was cut off: the plan changed, the sandbox was revoked, or the task ended.
pub(super) fn cut_off(x: &mut Exchange) {
    x.recorded = true;
    usage::settle(Ending::BrokenOff, x);
    if x.denial.is_none() {
        x.denial = x.slot.refusal();
    }
    let shared = std::sync::Arc::clone(&x.shared);
    write(&shared, x);
}

fn write(shared: &Shared, x: &Exchange) {
    let durations = durations(x);
    count(shared, x, &durations);
    let route = x.permit.as_ref().and_then(Permit::route);
    let head = x.head.as_deref();
    let denial = x.denial.as_ref();
    let sandbox = x.sandbox.as_deref();
    let credential = route.and_then(|r| r.injections.first()).map(|i| i.cell.connection());
    let (id, time) = (x.id.text(), Timestamp::new(x.began_wall));
    let address = AddressText::new(x.upstream_address);
    shared.recorder.record(&Event {
        time: time.as_str(),
        request_id: id.id(),
        decision: id.decision(),
        sandbox: sandbox.map_or("", |s| &s.id),
        profile: sandbox.map_or("", |s| &s.plan.profile),
        plan: sandbox.map_or("", |s| &s.plan.digest),
        mode: head.map_or("", |h| h.mode.as_str()),
        protocol: if head.is_some_and(|h| h.is_h2) { "h2" } else { "h1" },
        upstream_protocol: match (x.upstream_address, x.upstream_h2) {
            (None, _) => "",
            (Some(_), true) => "h2",
            (Some(_), false) => "h1",
        },
        method: head.map_or("", |h| h.method.as_str()),
        host: head.map_or("", |h| h.authority.host.as_str()),
        port: head.map(|h| h.authority.port).unwrap_or_default(),
        route: denial
            .and_then(|d| d.route.as_deref())
            .or(route.map(|r| &*r.id))
            .unwrap_or_default(),
        template: route.map_or("", |r| &r.template),
        path: head.filter(|_| shared.raw_path).map(|h| h.target.path()),
        verdict: verdict(denial, x.status),
        code: code(denial, x.status),
        detail: denial.map_or("", |d| &d.detail),
        status: x.status,
        // Only what really left counts as a use of the credential.
        credential: credential.filter(|_| x.upstream_address.is_some()).unwrap_or_default(),
        credential_cache: x.credential_cache,
        upstream_address: address.as_str(),
        upstream_reused: x.upstream_reused,
        bytes_in: x.bytes_in,
        bytes_out: x.bytes_out,
        durations_us: durations,
    });
}

fn verdict(denial: Option<&Denial>, status: u16) -> &'static str {
    match denial {
        Some(d) if d.is_failure() => "error",
        Some(_) => "deny",
        None if status == 0 => "error",
        None => "allow",
    }
}

fn code(denial: Option<&Denial>, status: u16) -> &'static str {
    match denial {
        Some(d) => d.code.as_str(),
        None if status == 0 => "client_closed",
        None => "ok",
    }
}

fn durations(x: &Exchange) -> Durations {
    let t = &x.timings;
    let between = |from: Option<Instant>, to: Option<Instant>| match (from, to) {
        (Some(from), Some(to)) => micros(to.saturating_duration_since(from)),
        _ => 0,
    };
    Durations {
        identify: between(Some(t.began), t.identified),
        matching: between(t.identified, t.matched),
        credential: between(t.matched, t.resolved),
        connect: if x.upstream_reused { 0 } else { between(t.connecting, t.connected) },
        first_byte: between(t.connected, t.answered),
        total: micros(clock::now().saturating_duration_since(t.began)),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn count(shared: &Shared, x: &Exchange, durations: &Durations) {
    let is_h2 = x.head.as_ref().is_some_and(|h| h.is_h2);
    let seconds = |us: u64| us as f64 / 1e6;
    let route = x.permit.as_ref().and_then(Permit::route);
    let metrics = &shared.metrics;
    if let (Some(route), None) = (route, &x.denial)
        && x.status != 0
    {
        let (requests, duration) = if is_h2 { &route.series.h2 } else { &route.series.h1 };
        requests.inc();
        duration.observe(seconds(durations.total));
        let own = durations.identify + durations.matching + durations.credential;
        metrics.overhead.observe(seconds(own));
        return;
    }
    let code = code(x.denial.as_ref(), x.status);
    let verdict = verdict(x.denial.as_ref(), x.status);
    let profile = x.sandbox.as_ref().map_or("", |s| &*s.plan.profile);
    let protocol = if is_h2 { "h2" } else { "h1" };
    let route = route.map_or("", |r| &*r.id);
    metrics.requests.with_label_values(&[verdict, code, route, profile, protocol]).inc();
    if code.starts_with("upstream_") {
        metrics.upstream_errors.with_label_values(&[code]).inc();
    }
}

/// What is known of something that ended before, or outside of, an exchange of Pingora's.
#[derive(Debug, Default)]
pub(crate) struct Outcome<'a> {
    pub(crate) id: ExchangeId,
    pub(crate) sandbox: &'a str,
    pub(crate) profile: &'a str,
    pub(crate) plan: &'a str,
    pub(crate) mode: &'a str,
    /// `h1` when nothing else is said.
    pub(crate) protocol: &'a str,
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) route: &'a str,
    pub(crate) denial: Option<&'a Denial>,
    pub(crate) status: u16,
    pub(crate) upstream_address: String,
    pub(crate) bytes: (u64, u64),
    pub(crate) began: Option<(Instant, Duration)>,
}

impl Outcome<'_> {
    /// Writes the record.
    pub(crate) fn record(self, shared: &Shared) {
        let (began, wall) = self.began.unwrap_or_else(|| (clock::now(), clock::wall()));
        let total = micros(clock::now().saturating_duration_since(began));
        let code = self.denial.map_or("ok", |d| d.code.as_str());
        let verdict = verdict(self.denial, 200);
        let route = self.denial.and_then(|d| d.route.as_deref()).unwrap_or(self.route);
        shared
            .metrics
            .requests
            .with_label_values(&[verdict, code, self.route, self.profile, "tcp"])
            .inc();
        let (id, time) = (self.id.text(), Timestamp::new(wall));
        shared.recorder.record(&Event {
            time: time.as_str(),
            request_id: id.id(),
            decision: id.decision(),
            sandbox: self.sandbox,
            profile: self.profile,
            plan: self.plan,
            mode: self.mode,
            protocol: if self.protocol.is_empty() { "h1" } else { self.protocol },
            method: self.method,
            host: self.host,
            port: self.port,
            route,
            verdict,
            code,
            detail: self.denial.map_or("", |d| &d.detail),
            status: self.status,
            upstream_address: &self.upstream_address,
            bytes_in: self.bytes.0,
            bytes_out: self.bytes.1,
            durations_us: Durations { total, ..Durations::default() },
            ..Event::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_of_milliseconds_whatever_they_are() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1, "1970-01-01T00:00:00.001Z"),
            (1_500, "1970-01-01T00:00:01.500Z"),
            (1_790_000_000_120, "2026-09-21T14:13:20.120Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::new(Duration::from_millis(millis)).as_str(), text);
        }
    }
}
