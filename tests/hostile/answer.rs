//! HTTP/1 answers, read from the bytes of a connection.

use super::find;

/// One answer, as far as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and header fields.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether it ended as it said it would.
    pub(crate) complete: bool,
}

impl Answer {
    /// The value of a field whose name is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The code of an answer that the proxy made itself.
    pub(crate) fn code(&self) -> Option<&str> {
        self.header("x-sallygate-code")
    }
}

/// Takes the next answer from the front of `buffer`; `None` when more must come first. At the end
/// of the stream (`ended`) what there is counts, incomplete.
pub(crate) fn take(buffer: &mut Vec<u8>, without_body: bool, ended: bool) -> Option<Answer> {
    let Some(end) = find(buffer, b"\r\n\r\n", 0) else {
        if !ended || buffer.is_empty() {
            return None;
        }
        let head = String::from_utf8_lossy(buffer).into_owned();
        buffer.clear();
        return Some(Answer { head, ..Answer::default() });
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut answer = Answer { status, head, ..Answer::default() };
    let (start, rest) = (end + 4, buffer.len());
    let opened = answer.head.ends_with(" Connection Established");
    let bodiless = without_body || opened || status < 200 || status == 204 || status == 304;
    let length = answer.header("content-length").and_then(|length| length.parse::<usize>().ok());
    let chunked = answer.header("transfer-encoding").is_some();
    let (used, complete) = match (bodiless, chunked, length) {
        (true, _, _) => (start, true),
        (false, true, _) => match chunks(&buffer[start..], &mut answer.body) {
            Some(used) => (start + used, true),
            None => (rest, false),
        },
        (false, false, Some(length)) => {
            let stop = rest.min(start + length);
            answer.body = buffer[start..stop].to_vec();
            (stop, stop == start + length)
        }
        (false, false, None) => {
            answer.body = buffer[start..].to_vec();
            (rest, ended)
        }
    };
    if !complete && !ended {
        return None;
    }
    answer.complete = complete;
    buffer.drain(..used);
    Some(answer)
}

/// Decodes a chunked body into `body`; the bytes it took, or `None` when it is not at its end.
pub(crate) fn chunks(bytes: &[u8], body: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        let line_end = find(bytes, b"\r\n", at)?;
        let line = String::from_utf8_lossy(&bytes[at..line_end]).into_owned();
        let size = line.split(';').next().and_then(|size| usize::from_str_radix(size, 16).ok())?;
        at = line_end + 2;
        if size == 0 {
            break;
        }
        body.extend_from_slice(&bytes[at..bytes.len().min(at + size)]);
        at += size + 2;
    }
    // Trailer fields, up to the empty line.
    loop {
        let line_end = find(bytes, b"\r\n", at)?;
        let empty = line_end == at;
        at = line_end + 2;
        if empty {
            return Some(at);
        }
    }
}
