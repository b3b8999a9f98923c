//! HTTP/2 connections inside a tunnel: every stream is an exchange of its own.

use std::sync::Arc;
use std::time::Duration;

use pingora::apps::HttpServerApp;
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{self, H2Accept, H2Options, HttpSession};
use tokio::task::JoinSet;

use super::Front;
use super::http1::record_refused;
use crate::clock;
use crate::denial::{Code, Denial};
use crate::id::ExchangeId;
use crate::limits::{Limits, ms};
use crate::request::{CURRENT, Connection, Slot};
use crate::stream::Wire;

/// Malformed requests after which a connection has lost its credit.
const MALFORMED_MAX: usize = 32;
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Serves one connection until it ends, is idle for too long, or the process shuts down.
pub(super) async fn serve(wire: Wire, connection: Arc<Connection>, front: &Arc<Front>) {
    let limits = Arc::clone(&front.shared.limits);
    let hello = server::handshake(Box::new(wire), Some(options(&limits)));
    let Ok(Ok(mut h2)) = tokio::time::timeout(ms(limits.head_ms), hello).await else { return };
    let digest = Arc::new(Digest::default());
    let mut shutdown = front.shutdown.clone();
    let mut is_shutting_down = false;
    let mut malformed = 0;
    let mut streams = JoinSet::new();
    let idle = ms(limits.keepalive_ms);
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = HttpSession::from_h2_conn(&mut h2, Arc::clone(&digest)) => accepted,
            Some(_) = streams.join_next() => continue,
            _ = shutdown.changed(), if !is_shutting_down => {
                h2.graceful_shutdown();
                is_shutting_down = true;
                continue;
            }
            () = tokio::time::sleep(idle), if streams.is_empty() => return,
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                let session = ServerSession::new_http2(session);
                streams.spawn(exchange(session, Arc::clone(&connection), Arc::clone(front)));
            }
            Ok(Some(H2Accept::Rejected)) => {
                malformed += 1;
                let denial = Denial::new(Code::BadFraming, "the HTTP/2 request is malformed");
                record_refused(ExchangeId::new(), &connection, front, &denial);
                if malformed >= MALFORMED_MAX {
                    return;
                }
            }
            // Streams that are still answering need the connection driven; it is gone.
            Ok(None) | Err(_) => return,
        }
    }
}

/// Custom options lose Pingora's safe defaults: every bound is stated here.
fn options(limits: &Limits) -> H2Options {
    let mut options = H2Options::new();
    let u32_of = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    options
        .max_header_list_size(u32_of(limits.h2_header_list_bytes))
        .max_concurrent_streams(u32_of(limits.h2_streams_max))
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(256 * 1024)
        .max_concurrent_reset_streams(50)
        .max_pending_accept_reset_streams(20);
    options
}

/// One exchange through Pingora. Dropping it resets the stream and leaves its siblings alone.
async fn exchange(mut session: ServerSession, connection: Arc<Connection>, front: Arc<Front>) {
    let mut changes = front.shared.store.subscribe();
    let slot = Arc::new(Slot::default());
    let has_body = !session.is_body_empty();
    let current = (connection, Arc::clone(&slot));
    CURRENT
        .scope(current, async {
            tokio::select! {
                biased;
                _ = front.proxy.process_new_http(session, &front.shutdown) => {}
                _ = slot.revoked(&front.shared, &mut changes) => {}
                () = stalled(&slot, &front.shared.limits), if has_body => {}
            }
        })
        .await;
}

/// Returns when the request body comes slower than it may.
async fn stalled(slot: &Slot, limits: &Limits) {
    let began = clock::now();
    let mut deadline = began + ms(limits.body_grace_ms);
    loop {
        tokio::time::sleep_until(deadline.into()).await;
        if slot.is_body_done() {
            return std::future::pending().await;
        }
        let earned = Duration::from_secs(slot.body_bytes() / limits.body_bytes_per_second.max(1));
        deadline = began + ms(limits.body_grace_ms) + earned;
        if clock::now() >= deadline {
            let detail = "the request body did not come in time";
            slot.refuse(Denial::new(Code::BadFraming, detail));
            return;
        }
    }
}
