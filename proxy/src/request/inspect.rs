//! Step three, continued: what a protocol block looks at, read before anything is connected.
//!
//! INVARIANT: what was read is held in [`Held`] and stands in front of what follows when the body
//! is forwarded. Pingora asks for the body of a request that was read to its end only when it has
//! kept a copy, and keeps at most 64 KiB; so the copy begins late enough to hold the end, and a
//! body whose end it cannot hold is refused here instead of being waited for.

use bytes::{Bytes, BytesMut};
use http::Version;
use http::header::{CONTENT_LENGTH, EXPECT};
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use sallygate_compiler::content::git::{self, Progress, Push};
use sallygate_compiler::content::{
    Content, Inspection, Reading, Unreadable, json_rpc, read_graphql,
};

use super::authorize::too_large;
use super::parse::RequestHead;
use super::{Exchange, fetch, matching};
use crate::denial::{Code, Denial};
use crate::limits::ms;

/// What Pingora keeps of a body.
const COPY_BYTES_MAX: u64 = 64 * 1024;

/// The part of a request body that was read for a look at it.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Before Pingora kept a copy.
    before: BytesMut,
    /// Since then.
    since: BytesMut,
    copies: bool,
    /// The next piece that is forwarded is the first of its attempt.
    due: bool,
}

impl Held {
    fn len(&self) -> u64 {
        (self.before.len() + self.since.len()) as u64
    }

    pub(super) fn bytes(&self) -> Bytes {
        if self.since.is_empty() {
            return self.before.clone().freeze();
        }
        Bytes::from([&self.before[..], &self.since[..]].concat())
    }

    /// Another attempt begins: the body is forwarded from its start.
    pub(super) fn again(&mut self) {
        self.due = true;
    }
}

/// Reads what `kind` asks for, into `content`. Fails only when the body cannot be had.
pub(super) async fn read(
    kind: Inspection,
    session: &mut Session,
    x: &mut Exchange,
    (head, content): (&RequestHead, &mut Content),
) -> Result<(), Denial> {
    let failed = match kind {
        Inspection::GitCommands => {
            let read = push(session, x).await?;
            let failed = read.as_ref().err().copied();
            content.git = read.as_ref().map_or(Reading::Unreadable, Push::reading);
            x.push = read.ok();
            failed
        }
        Inspection::GitWants => {
            let read = fetch::read(session, x, head).await?;
            let failed = read.as_ref().err().copied();
            content.wants = read.unwrap_or(Reading::Unreadable);
            failed
        }
        Inspection::Graphql => {
            let body = if head.method == "GET" { Bytes::new() } else { whole(session, x).await? };
            let headers = &session.as_downstream().req_header().headers;
            let read = read_graphql(&matching::key(head, headers), &body);
            let failed = read.as_ref().err().copied();
            content.graphql = Reading::of(read);
            failed
        }
        Inspection::JsonRpc => {
            let read = json_rpc::read(&whole(session, x).await?);
            let failed = read.as_ref().err().copied();
            content.json_rpc = Reading::of(read);
            failed
        }
    };
    x.unclear = x.unclear.or(failed);
    Ok(())
}

/// Puts what was read in front of the first piece of an attempt.
pub(super) fn put_in_front(session: &Session, body: &mut Option<Bytes>, x: &mut Exchange) {
    let Some(held) = x.held.as_mut().filter(|held| held.due) else { return };
    held.due = false;
    // A copy that is whole is itself the first piece.
    let copied = held.copies && !session.as_downstream().retry_buffer_truncated();
    let front = if copied { held.before.clone().freeze() } else { held.bytes() };
    if front.is_empty() {
        return;
    }
    *body = Some(match body.take() {
        Some(piece) => Bytes::from([front, piece].concat()),
        None => front,
    });
}

/// Throws away the rest of a refused push: git reads the answer only when it has sent everything.
pub(super) async fn discard(session: &mut Session, x: &mut Exchange) {
    let mut left = x.shared.limits.git_discard_bytes_max;
    let downstream = session.as_downstream_mut();
    while left > 0 && !downstream.is_body_done() {
        match downstream.read_request_body().await {
            Ok(Some(piece)) => {
                x.slot.body(piece.len() as u64, false);
                left = left.saturating_sub(piece.len() as u64);
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// When to look again at commands that were not whole: a look costs what there is to look at, so
/// one with every piece would let pieces of one byte cost the square of the bound.
#[derive(Debug, Default)]
struct Looks {
    due: u64,
}

impl Looks {
    /// Whether twice as much is there as at the last look.
    fn is_due(&mut self, read: u64) -> bool {
        let is_due = read >= self.due;
        if is_due {
            self.due = read.saturating_mul(2);
        }
        is_due
    }
}

/// The commands in front of a pack; the pack itself stays where it is.
async fn push(session: &mut Session, x: &mut Exchange) -> Result<Result<Push, Unreadable>, Denial> {
    if is_encoded(session) {
        return Ok(Err(Unreadable("the push is encoded")));
    }
    let max = x.shared.limits.git_commands_bytes_max;
    begin(session, x).await;
    let mut looks = Looks::default();
    let (push, length) = loop {
        let more = read_piece(session, x, u64::MAX).await?;
        let read = x.held.as_ref().map_or(0, Held::len);
        if more && read <= max && !looks.is_due(read) {
            continue;
        }
        let bytes = x.held.as_ref().map(Held::bytes).unwrap_or_default();
        match git::read_push(&bytes) {
            Ok(Progress::Whole(push, length)) => break (push, length),
            Ok(Progress::Incomplete) if more && read > max => return Err(too_large(max)),
            Ok(Progress::Incomplete) if more => {}
            Ok(Progress::Incomplete) => {
                return Ok(Err(Unreadable("the push ends in its commands")));
            }
            Err(unclear) => return Ok(Err(unclear)),
        }
    };
    if push.commands.is_empty() {
        // Without commands nothing may follow: whatever does is no push that anybody understands.
        while read_piece(session, x, max).await? {}
        if x.held.as_ref().map_or(0, Held::len) > length as u64 {
            return Ok(Err(Unreadable("a push without commands carries something")));
        }
    }
    can_be_forwarded(session, x)?;
    Ok(Ok(push))
}

/// The whole body.
pub(super) async fn whole(session: &mut Session, x: &mut Exchange) -> Result<Bytes, Denial> {
    let max = x.shared.limits.inspect_body_bytes_max;
    if content_length(session.as_downstream()).is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    begin(session, x).await;
    while read_piece(session, x, max).await? {}
    can_be_forwarded(session, x)?;
    Ok(x.held.as_ref().map(Held::bytes).unwrap_or_default())
}

/// Tells a client that waits for it to send its body (RFC 9110 §10.1.1).
async fn begin(session: &mut Session, x: &mut Exchange) {
    if x.held.is_some() {
        return;
    }
    x.held = Some(Held { due: true, ..Held::default() });
    let downstream = session.as_downstream_mut();
    downstream.set_read_timeout(Some(ms(x.shared.limits.body_grace_ms)));
    let head = downstream.req_header();
    let expects = head.version != Version::HTTP_2 && head.headers.contains_key(EXPECT);
    if expects && !downstream.is_body_done() {
        // The client may be gone; then reading fails.
        let _ = downstream.write_continue_response().await;
    }
}

/// One piece more; `false` at the end of the body.
async fn read_piece(session: &mut Session, x: &mut Exchange, max: u64) -> Result<bool, Denial> {
    let downstream = session.as_downstream_mut();
    let Some(held) = x.held.as_mut() else { return Ok(false) };
    let length = content_length(downstream);
    if downstream.is_body_done() {
        x.slot.body(0, true);
        return Ok(false);
    }
    let left = length.map(|length| length.saturating_sub(held.len()));
    if !held.copies && left.is_none_or(|left| left <= COPY_BYTES_MAX) {
        downstream.enable_retry_buffering();
        held.copies = true;
    }
    let piece = downstream.read_request_body().await.map_err(|_| unreadable(x))?;
    let Some(held) = x.held.as_mut() else { return Ok(false) };
    let Some(piece) = piece else {
        x.slot.body(0, true);
        return Ok(false);
    };
    x.slot.body(piece.len() as u64, false);
    let part = if held.copies { &mut held.since } else { &mut held.before };
    part.extend_from_slice(&piece);
    if held.len() > max { Err(too_large(max)) } else { Ok(true) }
}

/// By the INVARIANT above: a body that was read to its end must have its end in Pingora's copy.
fn can_be_forwarded(session: &mut Session, x: &Exchange) -> Result<(), Denial> {
    let downstream = session.as_downstream_mut();
    let empty = x.held.as_ref().is_none_or(|held| held.len() == 0);
    if empty || !downstream.is_body_done() || downstream.get_retry_buffer().is_some() {
        return Ok(());
    }
    let detail = format!(
        "a body that a rule looks into has a Content-Length, or at most {COPY_BYTES_MAX} bytes"
    );
    Err(Denial::new(Code::RequestTooLarge, detail))
}

fn unreadable(x: &Exchange) -> Denial {
    let detail = "the request body broke off, or did not come in time";
    x.slot.refusal().unwrap_or_else(|| Denial::new(Code::BadFraming, detail))
}

fn is_encoded(session: &Session) -> bool {
    let headers = &session.as_downstream().req_header().headers;
    let mut codings = headers.get_all(http::header::CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn content_length(downstream: &ServerSession) -> Option<u64> {
    downstream.req_header().headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_one_byte_cost_few_looks() {
        let mut looks = Looks::default();
        let taken = (1..=1u64 << 20).filter(|read| looks.is_due(*read)).count();
        assert_eq!(taken, 21);
        // A large first piece is looked at as it comes.
        assert!(Looks::default().is_due(64 * 1024));
    }
}
