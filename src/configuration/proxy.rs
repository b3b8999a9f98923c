//! `[proxy]` and the other tables that say how a proxy runs: `[admin]`, `[tls]`, `[audit]`, `[dns]`,
//! `[limits]`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use sallygate_compiler::read::Table;
use sallygate_proxy::config::{CaFiles, ProxyConfig, UnixListen};
use sallygate_proxy::limits::{LimitSpec, Limits};

use super::{address_at, addresses, file};

pub(super) fn settings(root: &mut Table<'_>, base: &Path, data_dir: &Path) -> ProxyConfig {
    let mut config = ProxyConfig {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 8089))],
        unix: Vec::new(),
        admin: SocketAddr::from(([127, 0, 0, 1], 8090)),
        egress_prefix: "egress".into(),
        deny_in_tunnel: true,
        drain_seconds: 30,
        ca: CaFiles { certificate: data_dir.join("ca.pem"), key: data_dir.join("ca-key.pem") },
        audit: data_dir.join("audit.jsonl"),
        budgets: data_dir.join("budgets.json"),
        raw_path: false,
        dns: Vec::new(),
        operator_token: fs::read_to_string(data_dir.join("operator.token"))
            .unwrap_or_default()
            .trim()
            .into(),
        limits: Limits::default(),
    };
    if let Some(mut table) = root.table("proxy") {
        proxy_table(&mut table, base, &mut config);
        table.finish();
    }
    if let Some(mut table) = root.table("admin") {
        if let Some(address) = table.string("listen") {
            address_at(&table, "listen", &address, &mut config.admin);
        }
        table.finish();
    }
    if let Some(mut table) = root.table("tls") {
        file(&mut table, "ca_cert", base, &mut config.ca.certificate);
        file(&mut table, "ca_key", base, &mut config.ca.key);
        table.finish();
    }
    if let Some(mut table) = root.table("audit") {
        file(&mut table, "path", base, &mut config.audit);
        config.raw_path = table.boolean("raw_path").is_some_and(|raw| raw.value);
        table.finish();
    }
    if let Some(mut table) = root.table("dns") {
        let servers = table.strings("servers").unwrap_or_default();
        config.dns = addresses(&table, "servers", &servers);
        table.finish();
    }
    if let Some(mut table) = root.table("limits") {
        limits(&mut table, &mut config.limits);
        table.finish();
    }
    config
}

fn proxy_table(table: &mut Table<'_>, base: &Path, config: &mut ProxyConfig) {
    if let Some(listen) = table.strings("listen") {
        config.listen = addresses(table, "listen", &listen);
    }
    if let Some(prefix) = table.string("egress_prefix") {
        let is_segment = |p: &str| {
            !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if is_segment(&prefix.value) {
            config.egress_prefix = prefix.value;
        } else {
            table.refuse_at(
                "egress_prefix",
                prefix.span,
                "BAD_VALUE",
                "`egress_prefix` is one path segment of letters, digits, `-`, `_` and `.`",
            );
        }
    }
    if let Some(deny) = table.boolean("deny_in_tunnel") {
        config.deny_in_tunnel = deny.value;
    }
    if let Some(seconds) = table.integer("drain_seconds", 0..=3600) {
        config.drain_seconds = seconds.value.unsigned_abs();
    }
    for mut socket in table.tables("unix") {
        let (path, sandbox) = (socket.required_string("path"), socket.required_string("sandbox"));
        if let (Some(path), Some(sandbox)) = (path, sandbox) {
            config.unix.push(UnixListen { path: base.join(path.value), sandbox: sandbox.value });
        }
        socket.finish();
    }
}

fn limits(table: &mut Table<'_>, limits: &mut Limits) {
    for LimitSpec { name, low, high, .. } in Limits::SPECS {
        let bound = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        if let Some(value) = table.integer(name, bound(*low)..=bound(*high)) {
            limits.set(name, value.value.unsigned_abs());
        }
    }
}
