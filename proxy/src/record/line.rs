//! Writes an [`Event`] as one line of JSON, the way serde does it, at a fraction of the cost.
//!
//! A record is written for every exchange, and nearly all of its text needs no escaping: one pass
//! that the compiler vectorizes says so, and one copy takes it over. What does need escaping is
//! left to serde. A test holds both to the same bytes.

use super::{Durations, Event};

/// Digits of the largest number.
const DIGITS_MAX: usize = 20;

/// Appends the event to `out`. There is no line feed in it: JSON escapes those.
pub(super) fn write(out: &mut Vec<u8>, event: &Event<&str>) {
    parties(out, event);
    request(out, event);
    outcome(out, event);
    durations(out, &event.durations_us);
    out.push(b'}');
}

fn parties(out: &mut Vec<u8>, event: &Event<&str>) {
    text(out, br#"{"time":"#, event.time);
    text(out, br#","requestId":"#, event.request_id);
    text(out, br#","decision":"#, event.decision);
    text(out, br#","sandbox":"#, event.sandbox);
    text(out, br#","profile":"#, event.profile);
    text(out, br#","plan":"#, event.plan);
}

fn request(out: &mut Vec<u8>, event: &Event<&str>) {
    text(out, br#","mode":"#, event.mode);
    text(out, br#","protocol":"#, event.protocol);
    text(out, br#","upstreamProtocol":"#, event.upstream_protocol);
    text(out, br#","method":"#, event.method);
    text(out, br#","host":"#, event.host);
    number(out, br#","port":"#, u64::from(event.port));
    text(out, br#","route":"#, event.route);
    text(out, br#","template":"#, event.template);
    if let Some(path) = event.path {
        text(out, br#","path":"#, path);
    }
}

fn outcome(out: &mut Vec<u8>, event: &Event<&str>) {
    text(out, br#","verdict":"#, event.verdict);
    text(out, br#","code":"#, event.code);
    text(out, br#","detail":"#, event.detail);
    number(out, br#","status":"#, u64::from(event.status));
    text(out, br#","credential":"#, event.credential);
    text(out, br#","credentialCache":"#, event.credential_cache);
    text(out, br#","upstreamAddress":"#, event.upstream_address);
    out.extend_from_slice(match event.upstream_reused {
        true => br#","upstreamReused":true"#,
        false => br#","upstreamReused":false"#,
    });
    number(out, br#","bytesIn":"#, event.bytes_in);
    number(out, br#","bytesOut":"#, event.bytes_out);
}

fn durations(out: &mut Vec<u8>, us: &Durations) {
    number(out, br#","durationsUs":{"identify":"#, us.identify);
    number(out, br#","matching":"#, us.matching);
    number(out, br#","credential":"#, us.credential);
    number(out, br#","connect":"#, us.connect);
    number(out, br#","firstByte":"#, us.first_byte);
    number(out, br#","total":"#, us.total);
    out.push(b'}');
}

fn text(out: &mut Vec<u8>, key: &[u8], value: &str) {
    out.extend_from_slice(key);
    // No early exit: a whole block is looked at in a few instructions.
    let is_special = |b: u8| (b < b' ') | (b == b'"') | (b == b'\\');
    if value.bytes().fold(false, |found, b| found | is_special(b)) {
        // Writing a string into memory cannot fail.
        let _ = serde_json::to_writer(out, value);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

pub(crate) fn number(out: &mut Vec<u8>, key: &[u8], value: u64) {
    out.extend_from_slice(key);
    let mut digits = [b'0'; DIGITS_MAX];
    let (mut rest, mut used) = (value, 0);
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(DIGITS_MAX - used..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_what_serde_writes(event: &Event<&str>) -> Result<(), TestCaseError> {
        let mut ours = Vec::new();
        write(&mut ours, event);
        let ours = String::from_utf8(ours).unwrap();
        prop_assert!(!ours.contains('\n'));
        prop_assert_eq!(ours, serde_json::to_string(event).unwrap());
        Ok(())
    }

    #[test]
    fn an_empty_event_is_written_as_serde_writes_it() {
        is_what_serde_writes(&Event::default()).unwrap();
    }

    proptest! {
        #[test]
        fn any_event_is_written_as_serde_writes_it(
            words in proptest::collection::vec("[ -~]{0,20}|[\\x00-\\x7f]{0,8}|\\PC{0,8}", 20),
            path in proptest::option::of("\\PC{0,20}"),
            (port, status, upstream_reused) in any::<(u16, u16, bool)>(),
            n in proptest::collection::vec(any::<u64>(), 8),
        ) {
            let word = |i: usize| words[i].as_str();
            is_what_serde_writes(&Event {
                time: word(0), request_id: word(1), decision: word(2), sandbox: word(3),
                profile: word(4), plan: word(5), mode: word(6), protocol: word(7),
                upstream_protocol: word(8), method: word(9), host: word(10), port,
                route: word(11), template: word(12), path: path.as_deref(), verdict: word(13),
                code: word(14), detail: word(15), status, credential: word(16),
                credential_cache: word(17), upstream_address: word(18), upstream_reused,
                bytes_in: n[0], bytes_out: n[1],
                durations_us: Durations {
                    identify: n[2], matching: n[3], credential: n[4], connect: n[5],
                    first_byte: n[6], total: n[7],
                },
            })?;
        }
    }
}
