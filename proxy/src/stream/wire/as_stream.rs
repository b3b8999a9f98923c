//! A [`Wire`] in the place of one of Pingora's own streams.

use std::sync::Arc;

use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::ALPN;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID,
};

use super::Wire;

#[async_trait::async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        self.close().await;
    }
}

impl UniqueID for Wire {
    fn id(&self) -> i32 {
        self.id
    }
}

impl Ssl for Wire {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.is_h2().then_some(ALPN::H2)
    }
}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl Peek for Wire {}
