//! What policy may know of a request: canonical facts only, borrowed from the request.

use std::fmt;

use crate::canonical::{Host, Scheme, Target};

/// The facts of one request that a route may name.
#[derive(Clone, Copy)]
pub struct MatchKey<'a> {
    pub scheme: Scheme,
    pub host: &'a Host,
    pub port: u16,
    pub method: &'a str,
    pub target: &'a Target<'a>,
    pub headers: &'a dyn Headers,
}

impl fmt::Debug for MatchKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without query and headers: they may hold secrets.
        let Self { scheme, host, port, method, target, headers: _ } = self;
        let port = (*port != scheme.default_port()).then(|| format!(":{port}"));
        let port = port.unwrap_or_default();
        write!(f, "{method} {scheme}://{host}{port}{}", target.path())
    }
}

/// What a header condition may read.
pub trait Headers {
    /// The value of the header with this lower-case name.
    fn value(&self, name: &str) -> HeaderValue<'_>;
}

/// One value and no other, or the reason why there is none to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderValue<'a> {
    None,
    One(&'a [u8]),
    Many,
}

/// A request without headers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn value(&self, _name: &str) -> HeaderValue<'_> {
        HeaderValue::None
    }
}

impl Headers for http::HeaderMap {
    fn value(&self, name: &str) -> HeaderValue<'_> {
        let mut values = self.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => HeaderValue::None,
            (Some(value), None) => HeaderValue::One(value.as_bytes()),
            (Some(_), Some(_)) => HeaderValue::Many,
        }
    }
}
