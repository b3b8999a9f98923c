//! What an upstream saw: the other half of the audit log.

use aws_lc_rs::digest::{self, Context};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Request, Version};
use std::sync::{Arc, Mutex};

/// So much of a body is kept to be searched for canaries.
const BODY_KEPT_BYTES_MAX: usize = 64 * 1024;

/// One request as an upstream received it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Without the port.
    pub(crate) host: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) protocol: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body_bytes: u64,
    /// In hex; present once the body was read to its end.
    pub(crate) body_sha256: Option<String>,
    pub(crate) body_start: Vec<u8>,
    /// Why the upstream refused it.
    pub(crate) problem: Option<String>,
}

impl Seen {
    /// The first value of `name`, which is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn of<B>(request: &Request<B>) -> Self {
        let host = request.uri().host().map(str::to_owned).or_else(|| {
            let host = request.headers().get("host")?.to_str().ok()?;
            Some(host.split(':').next().unwrap_or(host).to_owned())
        });
        let headers = request.headers().iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        Self {
            method: request.method().to_string(),
            host: host.unwrap_or_default(),
            path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
            protocol: if request.version() == Version::HTTP_2 { "h2" } else { "http/1.1" }
                .to_owned(),
            headers: headers.collect(),
            ..Self::default()
        }
    }
}

/// All that one upstream saw, in order of arrival.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<Seen>>>);

impl Record {
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.0.lock().expect("no writer panicked").clone()
    }

    pub(crate) fn push(&self, seen: Seen) {
        self.0.lock().expect("no writer panicked").push(seen);
    }

    /// Records the head now and the body as it is read.
    pub(crate) fn open<B>(&self, request: &Request<B>) -> Entry {
        let mut all = self.0.lock().expect("no writer panicked");
        all.push(Seen::of(request));
        Entry { record: self.clone(), index: all.len() - 1, digest: Context::new(&digest::SHA256) }
    }
}

/// The record of one request whose body is still arriving.
pub(crate) struct Entry {
    record: Record,
    index: usize,
    digest: Context,
}

impl Entry {
    /// The next piece of the body, which is counted and hashed; `None` at its end or when it broke.
    pub(crate) async fn next(&mut self, body: &mut Incoming) -> Option<Bytes> {
        loop {
            let Some(frame) = body.frame().await else {
                let digest = hex(self.digest.clone().finish().as_ref());
                self.change(|seen| seen.body_sha256 = Some(digest));
                return None;
            };
            let Ok(data) = frame.ok()?.into_data() else { continue };
            self.digest.update(&data);
            self.change(|seen| {
                seen.body_bytes += data.len() as u64;
                let room = BODY_KEPT_BYTES_MAX - seen.body_start.len();
                seen.body_start.extend_from_slice(&data[..data.len().min(room)]);
            });
            return Some(data);
        }
    }

    /// Reads all of the body, keeping its first part only.
    pub(crate) async fn drain(&mut self, body: &mut Incoming) -> Seen {
        while self.next(body).await.is_some() {}
        self.seen()
    }

    pub(crate) fn seen(&self) -> Seen {
        self.record.all().swap_remove(self.index)
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.record.0.lock().expect("no writer panicked")[self.index]);
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}
