//! Prometheus metrics: names and labels in one place, labels from closed sets only.
//!
//! Never a label: a raw host, a path, a sandbox, a user. Route ids come from plans, and the
//! number of series per metric is capped.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Routes that get series of their own; the rest share `other`.
const ROUTE_SERIES_MAX: usize = 2000;
/// Connections that get series of their own; the rest share `other`.
const CONNECTION_SERIES_MAX: usize = 2000;

const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    120.0,
];
const OVERHEAD_SECONDS: &[f64] = &[
    0.000_001, 0.000_005, 0.00001, 0.000_025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005,
    0.025, 0.1,
];

/// What a metric is called and what it tells.
#[derive(Clone, Copy, Debug)]
pub struct MetricSpec {
    /// Prometheus name.
    pub name: &'static str,
    /// Prometheus type.
    pub kind: MetricKind,
    /// Label names; their values come from closed sets.
    pub labels: &'static [&'static str],
    /// One line for people.
    pub help: &'static str,
}

/// Type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl MetricKind {
    /// As Prometheus calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

const REQUESTS: MetricSpec = MetricSpec {
    name: "sallygate_requests_total",
    kind: MetricKind::Counter,
    labels: &["verdict", "code", "route", "profile", "protocol"],
    help: "Exchanges by outcome.",
};
const DURATION: MetricSpec = MetricSpec {
    name: "sallygate_request_duration_seconds",
    kind: MetricKind::Histogram,
    labels: &["route", "protocol"],
    help: "From the request head to the end of the response.",
};
const OVERHEAD: MetricSpec = MetricSpec {
    name: "sallygate_proxy_overhead_seconds",
    kind: MetricKind::Histogram,
    labels: &["phase"],
    help: "Time spent in the proxy's own steps, apart from the upstream's.",
};
const UPSTREAM_ERRORS: MetricSpec = MetricSpec {
    name: "sallygate_upstream_errors_total",
    kind: MetricKind::Counter,
    labels: &["reason"],
    help: "Upstream failures by reason.",
};
const UPSTREAM_CONNECTIONS: MetricSpec = MetricSpec {
    name: "sallygate_upstream_connections_total",
    kind: MetricKind::Counter,
    labels: &["state"],
    help: "Upstream connections used, new or from the pool.",
};
const TLS_HANDSHAKES: MetricSpec = MetricSpec {
    name: "sallygate_tls_handshakes_total",
    kind: MetricKind::Counter,
    labels: &["side", "version", "result"],
    help: "TLS handshakes with sandboxes.",
};
const LEAF_CERTIFICATES: MetricSpec = MetricSpec {
    name: "sallygate_leaf_certificates_total",
    kind: MetricKind::Counter,
    labels: &["source"],
    help: "Leaf certificates by where they came from.",
};
const CREDENTIAL_RESOLUTIONS: MetricSpec = MetricSpec {
    name: "sallygate_credential_resolutions_total",
    kind: MetricKind::Counter,
    labels: &["target", "result"],
    help: "Credentials asked for at their source.",
};
const RATE_LIMITED: MetricSpec = MetricSpec {
    name: "sallygate_rate_limited_total",
    kind: MetricKind::Counter,
    labels: &["scope"],
    help: "Requests over a limit.",
};
const PLACEHOLDER_MISUSE: MetricSpec = MetricSpec {
    name: "sallygate_placeholder_misuse_total",
    kind: MetricKind::Counter,
    labels: &["place", "owner"],
    help: "Placeholders seen where no credential comes in their place.",
};
const MODEL_TOKENS: MetricSpec = MetricSpec {
    name: "sallygate_llm_tokens_total",
    kind: MetricKind::Counter,
    labels: &["connection", "kind"],
    help: "Tokens that answers of models told, each under one kind.",
};
const MODEL_SPEND: MetricSpec = MetricSpec {
    name: "sallygate_llm_spend_micros_total",
    kind: MetricKind::Counter,
    labels: &["connection"],
    help: "What those tokens cost at the prices of the target, in millionths.",
};
const MODEL_ANSWERS: MetricSpec = MetricSpec {
    name: "sallygate_llm_answers_total",
    kind: MetricKind::Counter,
    labels: &["connection", "result"],
    help: "Answers where models may have run, by whether they told tokens.",
};
const PLAN_INFO: MetricSpec = MetricSpec {
    name: "sallygate_plan_info",
    kind: MetricKind::Gauge,
    labels: &["profile", "digest"],
    help: "Plans in force.",
};
const PLAN_LOADED: MetricSpec = MetricSpec {
    name: "sallygate_plan_loaded_timestamp_seconds",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "When the plans in force were loaded.",
};
const PLAN_COMPILE: MetricSpec = MetricSpec {
    name: "sallygate_plan_compile_duration_seconds",
    kind: MetricKind::Histogram,
    labels: &[],
    help: "Time to index the plans that were published.",
};
const AUDIT_RECORDS: MetricSpec = MetricSpec {
    name: "sallygate_audit_records_total",
    kind: MetricKind::Counter,
    labels: &["sink", "result"],
    help: "Audit records by outcome.",
};
const AUDIT_QUEUE: MetricSpec = MetricSpec {
    name: "sallygate_audit_queue_records",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "Audit records waiting to be written.",
};
const CONNECTIONS: MetricSpec = MetricSpec {
    name: "sallygate_connections",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "Connections of sandboxes that are open.",
};
const BUILD_INFO: MetricSpec = MetricSpec {
    name: "sallygate_build_info",
    kind: MetricKind::Gauge,
    labels: &["version"],
    help: "Version of this process.",
};

/// Every metric of the data plane.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    routes: AtomicUsize,
    connections_named: Mutex<HashSet<String>>,
    pub(crate) requests: IntCounterVec,
    pub(crate) duration: HistogramVec,
    pub(crate) overhead: Histogram,
    pub(crate) upstream_errors: IntCounterVec,
    /// New connections, and connections from the pool: looked up once.
    pub(crate) upstream_taken: [IntCounter; 2],
    pub(crate) tls_handshakes: IntCounterVec,
    pub(crate) leaf_certificates: IntCounterVec,
    pub(crate) credential_resolutions: IntCounterVec,
    pub(crate) rate_limited: IntCounterVec,
    pub(crate) placeholder_misuse: IntCounterVec,
    pub(crate) model_tokens: IntCounterVec,
    pub(crate) model_spend: IntCounterVec,
    pub(crate) model_answers: IntCounterVec,
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
    /// Every metric, in the order of the reference.
    pub const SPECS: &'static [MetricSpec] = &[
        REQUESTS,
        DURATION,
        OVERHEAD,
        UPSTREAM_ERRORS,
        UPSTREAM_CONNECTIONS,
        TLS_HANDSHAKES,
        LEAF_CERTIFICATES,
        CREDENTIAL_RESOLUTIONS,
        RATE_LIMITED,
        PLACEHOLDER_MISUSE,
        MODEL_TOKENS,
        MODEL_SPEND,
        MODEL_ANSWERS,
        PLAN_INFO,
        PLAN_LOADED,
        PLAN_COMPILE,
        AUDIT_RECORDS,
        AUDIT_QUEUE,
        CONNECTIONS,
        BUILD_INFO,
    ];

    /// Registers everything. Fails only when two metrics share a name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let r = Registry::new();
        gauges(&r, &BUILD_INFO)?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let upstream = counters(&r, &UPSTREAM_CONNECTIONS)?;
        Ok(Self {
            requests: counters(&r, &REQUESTS)?,
            duration: histograms(&r, &DURATION, SECONDS)?,
            overhead: histograms(&r, &OVERHEAD, OVERHEAD_SECONDS)?.with_label_values(&["decide"]),
            upstream_errors: counters(&r, &UPSTREAM_ERRORS)?,
            upstream_taken: [
                upstream.with_label_values(&["new"]),
                upstream.with_label_values(&["reused"]),
            ],
            tls_handshakes: counters(&r, &TLS_HANDSHAKES)?,
            leaf_certificates: counters(&r, &LEAF_CERTIFICATES)?,
            credential_resolutions: counters(&r, &CREDENTIAL_RESOLUTIONS)?,
            rate_limited: counters(&r, &RATE_LIMITED)?,
            placeholder_misuse: counters(&r, &PLACEHOLDER_MISUSE)?,
            model_tokens: counters(&r, &MODEL_TOKENS)?,
            model_spend: counters(&r, &MODEL_SPEND)?,
            model_answers: counters(&r, &MODEL_ANSWERS)?,
            plan_info: gauges(&r, &PLAN_INFO)?,
            plan_loaded: gauge(&r, &PLAN_LOADED)?,
            plan_compile: histogram(&r, &PLAN_COMPILE)?,
            audit_records: counters(&r, &AUDIT_RECORDS)?,
            audit_queue: gauge(&r, &AUDIT_QUEUE)?,
            connections: gauge(&r, &CONNECTIONS)?,
            routes: AtomicUsize::new(0),
            connections_named: Mutex::default(),
            registry: r,
        })
    }

    /// The text exposition format.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // Writing into memory cannot fail; an empty page says as much as a panic.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }

    /// The label of a connection; beyond the cap all connections share one.
    pub(crate) fn connection<'c>(&self, connection: &'c str) -> &'c str {
        let mut named = self.connections_named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.contains(connection) {
            return connection;
        }
        if named.len() >= CONNECTION_SERIES_MAX {
            return "other";
        }
        named.insert(connection.to_owned());
        connection
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

fn counters(r: &Registry, spec: &MetricSpec) -> Result<IntCounterVec, prometheus::Error> {
    let metric = IntCounterVec::new(Opts::new(spec.name, spec.help), spec.labels)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauges(r: &Registry, spec: &MetricSpec) -> Result<IntGaugeVec, prometheus::Error> {
    let metric = IntGaugeVec::new(Opts::new(spec.name, spec.help), spec.labels)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauge(r: &Registry, spec: &MetricSpec) -> Result<IntGauge, prometheus::Error> {
    let metric = IntGauge::new(spec.name, spec.help)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histogram(r: &Registry, spec: &MetricSpec) -> Result<Histogram, prometheus::Error> {
    let options = HistogramOpts::new(spec.name, spec.help).buckets(SECONDS.to_vec());
    let metric = Histogram::with_opts(options)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histograms(
    r: &Registry,
    spec: &MetricSpec,
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(spec.name, spec.help).buckets(buckets.to_vec());
    let metric = HistogramVec::new(options, spec.labels)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}
