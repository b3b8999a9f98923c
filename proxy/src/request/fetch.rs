//! Fetches of git where a plan tells references apart: what they want, read before anything is
//! sent, and what they are shown, sifted on its way back.
//!
//! INVARIANT: a listing passes only through [`sift`], which asks the same table about every
//! reference that it asks about a fetch of it. What is shown is what may be fetched.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RANGE};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use sallygate_compiler::block::GitService;
use sallygate_compiler::canonical;
use sallygate_compiler::content::git::{self, Asked, Fate, Fetch, Greeting, Listed, Sieve, Want};
use sallygate_compiler::content::{Content, Inspection, Reading, Unreadable};
use sallygate_compiler::key::{self, Headers, MatchKey};
use sallygate_compiler::table::{RouteTable, Verdict};

use super::authorize::too_large;
use super::parse::RequestHead;
use super::{Exchange, inspect, matching};
use crate::denial::Denial;
use crate::limits::size;
use crate::listings::Repository;
use crate::plan::Sandbox;

/// A fetch under way.
#[derive(Debug, Default)]
pub(crate) struct Fetching {
    /// What of the answer is not to be passed on as it comes.
    watched: Option<Watched>,
    sifting: Option<Sifting>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    Greeting,
    Listing,
}

#[derive(Debug)]
enum Sifting {
    Greeting(Greeting),
    /// With how many references were let through.
    Listing(Sieve, usize),
}

/// Reads what a fetch wants.
pub(super) async fn read(
    session: &mut Session,
    x: &mut Exchange,
    head: &RequestHead,
) -> Result<Result<Reading<String>, Unreadable>, Denial> {
    let body = inspect::whole(session, x).await?;
    x.fetch = Some(Fetching::default());
    let max = x.shared.limits.inspect_body_bytes_max;
    let headers = &session.as_downstream().req_header().headers;
    let body = match decoded(headers, &body, max) {
        Ok(body) => body,
        Err(Undecoded::TooLarge) => return Err(too_large(max)),
        Err(Undecoded::Unclear) => return Ok(Err(Unreadable("the fetch is encoded"))),
    };
    let wants = match git::read_fetch(&body) {
        Ok(Fetch::List) => {
            x.fetch = Some(Fetching { watched: Some(Watched::Listing), sifting: None });
            return Ok(Ok(Reading::Nothing));
        }
        Ok(Fetch::Wants(wants)) if wants.is_empty() => return Ok(Ok(Reading::Nothing)),
        Ok(Fetch::Wants(wants)) => wants,
        Err(unclear) => return Ok(Err(unclear)),
    };
    Ok(references(&wants, head, x).map(Reading::Items))
}

/// The references that the wanted objects were shown under.
fn references(wants: &[Want], head: &RequestHead, x: &Exchange) -> Result<Vec<String>, Unreadable> {
    let sandbox = x.sandbox.as_deref().ok_or(NOT_SHOWN)?;
    let repository = repository(head, sandbox).ok_or(NOT_SHOWN)?;
    let name = |want: &Want| match want {
        Want::Reference(name) => Some(name.clone()),
        Want::Object(id) => {
            x.shared.listings.reference(&repository, id).map(|name| name.to_string())
        }
    };
    let mut names: Vec<String> =
        wants.iter().map(name).collect::<Option<Vec<_>>>().ok_or(NOT_SHOWN)?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

const NOT_SHOWN: Unreadable = Unreadable(
    "it wants an object that no reference showed which it may fetch; list the references again",
);

fn repository(head: &RequestHead, sandbox: &Sandbox) -> Option<Repository> {
    let (path, _) = head.target.path().rsplit_once('/')?;
    Some(Repository {
        sandbox: Arc::clone(&sandbox.id),
        scheme: head.scheme,
        authority: head.authority.wire(head.scheme),
        path: path.to_owned(),
    })
}

enum Undecoded {
    TooLarge,
    Unclear,
}

/// The body as the upstream will read it: git compresses all but the smallest.
fn decoded(headers: &http::HeaderMap, body: &Bytes, max: u64) -> Result<Bytes, Undecoded> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    match (codings.next().map(HeaderValue::as_bytes), codings.next()) {
        (None | Some(b"identity"), None) => return Ok(body.clone()),
        (Some(b"gzip"), None) => {}
        _ => return Err(Undecoded::Unclear),
    }
    let mut reader = flate2::bufread::GzDecoder::new(&body[..]);
    let mut plain = Vec::new();
    // One byte more tells that it is too much.
    let read = reader.by_ref().take(max.saturating_add(1)).read_to_end(&mut plain);
    if plain.len() > size(max) {
        return Err(Undecoded::TooLarge);
    }
    // Readers differ in what they make of bytes behind the end.
    if read.is_err() || !reader.into_inner().is_empty() {
        return Err(Undecoded::Unclear);
    }
    Ok(plain.into())
}

/// Has the answer to discovery looked at, where what is fetched next would be.
pub(super) fn watch_discovery(head: &RequestHead, table: &RouteTable, x: &mut Exchange) {
    let key = matching::key(head, &head.headers);
    if git::asks(&key) != Some(Asked::Discovery(GitService::UploadPack)) {
        return;
    }
    let above = head.target.path().strip_suffix("/info/refs").unwrap_or_default();
    let service = format!("{above}/{}", GitService::UploadPack.program());
    let Ok(target) = canonical::target(service.as_bytes()) else { return };
    let fetch = MatchKey { method: "POST", target: &target, ..key };
    if table.find(&fetch) == Verdict::Inspect(Inspection::GitWants) {
        x.fetch = Some(Fetching { watched: Some(Watched::Greeting), sifting: None });
    }
}

/// Why a refused request for discovery was refused, when another version of the protocol is all
/// that it would take.
pub(super) fn needs_version_2(head: &RequestHead, table: &RouteTable) -> Option<Unreadable> {
    let key = matching::key(head, &head.headers);
    if git::asks(&key) != Some(Asked::Discovery(GitService::UploadPack)) {
        return None;
    }
    let headers = Version2(&head.headers);
    let asked = MatchKey { headers: &headers, ..key };
    match table.find(&asked) {
        Verdict::Allow(_) | Verdict::Hold(_) => {
            Some(Unreadable("references are told apart in version 2 of git's protocol only"))
        }
        Verdict::Deny(_) | Verdict::NoRoute { .. } | Verdict::Passthrough | Verdict::Inspect(_) => {
            None
        }
    }
}

/// The headers of a request as if it asked for version 2.
struct Version2<'h>(&'h http::HeaderMap);

impl Headers for Version2<'_> {
    fn value(&self, name: &str) -> key::HeaderValue<'_> {
        if name == "git-protocol" {
            return key::HeaderValue::One(b"version=2");
        }
        self.0.value(name)
    }
}

fn watched(x: &Exchange) -> Option<Watched> {
    x.fetch.as_ref()?.watched
}

/// Asks for the whole answer, uncompressed, where it is looked at.
pub(super) fn ask_plainly(request: &mut RequestHeader, x: &Exchange) -> Result<()> {
    if watched(x).is_none() {
        return Ok(());
    }
    request.remove_header(&RANGE);
    request.insert_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
}

/// Begins to sift a final answer. What is left of it has another length.
pub(super) fn begin(response: &mut ResponseHeader, x: &mut Exchange) -> Result<(), &'static str> {
    let Some(watched) = watched(x) else { return Ok(()) };
    let status = response.status.as_u16();
    if status >= 300 {
        // Nothing is listed there.
        return Ok(());
    }
    let kind: &[u8] = match watched {
        Watched::Greeting => b"application/x-git-upload-pack-advertisement",
        Watched::Listing => b"application/x-git-upload-pack-result",
    };
    let is_kind = response.headers.get(CONTENT_TYPE).is_some_and(|v| v.as_bytes() == kind);
    let is_plain = response.headers.get_all(CONTENT_ENCODING).iter().all(|v| v == "identity");
    if status != 200 || !is_kind || !is_plain {
        return Err("the upstream's list of references cannot be read");
    }
    if response.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0") {
        response.remove_header(&CONTENT_LENGTH);
    }
    let sifting = match watched {
        Watched::Greeting => Sifting::Greeting(Greeting::default()),
        Watched::Listing => Sifting::Listing(Sieve::default(), 0),
    };
    if let Some(fetch) = &mut x.fetch {
        fetch.sifting = Some(sifting);
    }
    Ok(())
}

/// Leaves out of an answer what the sandbox may not see.
pub(super) fn sift(body: &mut Option<Bytes>, end: bool, x: &mut Exchange) {
    let Some(mut sifting) = x.fetch.as_mut().and_then(|fetch| fetch.sifting.take()) else { return };
    let bytes = body.take().unwrap_or_default();
    let mut out = match &mut sifting {
        Sifting::Greeting(greeting) => greeting.pass(&bytes),
        Sifting::Listing(sieve, passed) => listing(&bytes, sieve, passed, x),
    };
    if end {
        out.extend(match &mut sifting {
            Sifting::Greeting(greeting) => greeting.finish(),
            Sifting::Listing(sieve, _) => sieve.finish(),
        });
    }
    *body = (!out.is_empty()).then(|| out.into());
    if let Some(fetch) = &mut x.fetch {
        fetch.sifting = Some(sifting);
    }
}

fn listing(bytes: &[u8], sieve: &mut Sieve, passed: &mut usize, x: &Exchange) -> Vec<u8> {
    let (Some(head), Some(sandbox)) = (&x.head, &x.sandbox) else { return Vec::new() };
    let Some(repository) = repository(head, sandbox) else { return Vec::new() };
    let (listings, table) = (&x.shared.listings, &sandbox.plan.table);
    let mut shown = Vec::new();
    let out = sieve.pass(bytes, &mut |listed: &Listed<'_>| {
        if !may_fetch(table, head, listed.name) {
            return Fate::Drop;
        }
        *passed += 1;
        if *passed > listings.each_max() {
            return Fate::TooMany;
        }
        let name: Arc<str> = listed.name.into();
        shown.extend(listed.ids.iter().map(|id| (*id, Arc::clone(&name))));
        Fate::Keep
    });
    if !shown.is_empty() {
        // Before the sandbox sees them, and wants them.
        listings.note(&repository, shown);
    }
    out
}

fn may_fetch(table: &RouteTable, head: &RequestHead, reference: &str) -> bool {
    let wants = Reading::Items(vec![reference.to_owned()]);
    let content = Content { wants, ..Content::UNREADABLE };
    match table.find_read(&matching::key(head, &head.headers), &content) {
        Verdict::Allow(_) | Verdict::Hold(_) => true,
        Verdict::Deny(_) | Verdict::NoRoute { .. } | Verdict::Passthrough | Verdict::Inspect(_) => {
            false
        }
    }
}
