//! Prometheus metrics: names and labels in one place, labels from closed sets only.
//!
//! Never a label: a raw host, a path, a sandbox, a user. Route ids come from plans, and the
//! number of series per metric is capped.

use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Routes that get series of their own; the rest share `other`.
const ROUTE_SERIES_MAX: usize = 2000;

const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
const OVERHEAD_SECONDS: &[f64] =
    &[0.000_001, 0.000_005, 0.00001, 0.000_025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1];

/// Every metric of the data plane.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    routes: AtomicUsize,
    pub(crate) requests: IntCounterVec,
    pub(crate) duration: HistogramVec,
    pub(crate) overhead: Histogram,
    pub(crate) upstream_errors: IntCounterVec,
    pub(crate) upstream_connections: IntCounterVec,
    pub(crate) tls_handshakes: IntCounterVec,
    pub(crate) leaf_certificates: IntCounterVec,
    pub(crate) credential_resolutions: IntCounterVec,
    pub(crate) rate_limited: IntCounterVec,
    pub(crate) plan_info: IntGaugeVec,
    pub(crate) plan_loaded: IntGauge,
    pub(crate) plan_compile: Histogram,
    pub(crate) audit_records: IntCounterVec,
    pub(crate) audit_queue: IntGauge,
    pub(crate) connections: IntGauge,
}

/// The two series that an allowed exchange touches, looked up once per route.
#[derive(Debug)]
pub(crate) struct RouteSeries {
    pub(crate) h1: (IntCounter, Histogram),
    pub(crate) h2: (IntCounter, Histogram),
}

impl Metrics {
    /// Registers everything. Fails only when two metrics share a name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let r = Registry::new();
        let metrics = Self {
            requests: counters(&r, "sallygate_requests_total", "Exchanges by outcome.",
                &["verdict", "code", "route", "profile", "protocol"])?,
            duration: histograms(&r, "sallygate_request_duration_seconds", "From the request head to the end of the response.",
                &["route", "protocol"], SECONDS)?,
            overhead: histograms(&r, "sallygate_proxy_overhead_seconds", "Time spent in the proxy's own steps, apart from the upstream's.",
                &["phase"], OVERHEAD_SECONDS)?
                .with_label_values(&["decide"]),
            upstream_errors: counters(&r, "sallygate_upstream_errors_total", "Upstream failures by reason.", &["reason"])?,
            upstream_connections: counters(&r, "sallygate_upstream_connections_total", "Upstream connections used, new or from the pool.", &["state"])?,
            tls_handshakes: counters(&r, "sallygate_tls_handshakes_total", "TLS handshakes with sandboxes.", &["side", "version", "result"])?,
            leaf_certificates: counters(&r, "sallygate_leaf_certificates_total", "Leaf certificates by where they came from.", &["source"])?,
            credential_resolutions: counters(&r, "sallygate_credential_resolutions_total", "Credentials asked for at their source.", &["target", "result"])?,
            rate_limited: counters(&r, "sallygate_rate_limited_total", "Requests over a limit.", &["scope"])?,
            plan_info: gauges(&r, "sallygate_plan_info", "Plans in force.", &["profile", "digest"])?,
            plan_loaded: gauge(&r, "sallygate_plan_loaded_timestamp_seconds", "When the plans in force were loaded.")?,
            plan_compile: histogram(&r, "sallygate_plan_compile_duration_seconds", "Time to index a plan.")?,
            audit_records: counters(&r, "sallygate_audit_records_total", "Audit records by outcome.", &["sink", "result"])?,
            audit_queue: gauge(&r, "sallygate_audit_queue_records", "Audit records waiting to be written.")?,
            connections: gauge(&r, "sallygate_connections", "Connections of sandboxes that are open.")?,
            routes: AtomicUsize::new(0),
            registry: r,
        };
        let info = gauges(&metrics.registry, "sallygate_build_info", "Version of this process.", &["version"])?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(metrics)
    }

    /// The text exposition format.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // Writing into memory cannot fail; an empty page says as much as a panic.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }

    /// Series for one route; beyond the cap all routes share one.
    pub(crate) fn route(&self, route: &str, profile: &str) -> RouteSeries {
        let n = self.routes.fetch_add(1, Ordering::Relaxed);
        let route = if n < ROUTE_SERIES_MAX { route } else { "other" };
        let series = |protocol| {
            (
                self.requests.with_label_values(&["allow", "ok", route, profile, protocol]),
                self.duration.with_label_values(&[route, protocol]),
            )
        };
        RouteSeries { h1: series("h1"), h2: series("h2") }
    }
}

fn counters(r: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauges(r: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauge(r: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let metric = IntGauge::new(name, help)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histogram(r: &Registry, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
    let metric = Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histograms(r: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<HistogramVec, prometheus::Error> {
    let metric = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}
