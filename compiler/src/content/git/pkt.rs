//! pkt-lines (gitprotocol-common): four hex digits, which count themselves, and what they count.

use super::Unreadable;

/// What begins a run of bytes, and what is behind it.
pub(super) enum Line<'b> {
    Incomplete,
    /// `0000`
    Flush(&'b [u8]),
    /// `0001`
    Delimiter(&'b [u8]),
    Data(&'b [u8], &'b [u8]),
}

pub(super) const MISPLACED: Unreadable = Unreadable("a pkt-line has no business here");

/// The first pkt-line of the bytes.
pub(super) fn line(bytes: &[u8]) -> Result<Line<'_>, Unreadable> {
    let Some((digits, rest)) = bytes.split_at_checked(4) else { return Ok(Line::Incomplete) };
    let mut length = 0;
    for digit in digits {
        let digit = crate::canonical::hex(*digit).ok_or(Unreadable("a pkt-line has no length"))?;
        length = length << 4 | usize::from(digit);
    }
    match length {
        0 => return Ok(Line::Flush(rest)),
        1 => return Ok(Line::Delimiter(rest)),
        _ => {}
    }
    let length = length.checked_sub(4).filter(|length| *length > 0).ok_or(MISPLACED)?;
    Ok(rest
        .split_at_checked(length)
        .map_or(Line::Incomplete, |(data, after)| Line::Data(data, after)))
}

/// What one pkt-line of a `side-band-64k` stream carries.
pub(super) const SIDEBAND_BYTES: usize = 65_515;

pub(super) fn band(number: u8, content: &[u8]) -> Vec<u8> {
    let content = content.get(..SIDEBAND_BYTES).unwrap_or(content);
    data(&[&[number], content].concat())
}

/// One pkt-line with this content.
pub(super) fn data(content: &[u8]) -> Vec<u8> {
    let mut line = format!("{:04x}", content.len() + 4).into_bytes();
    line.extend_from_slice(content);
    line
}

/// What git prints as `remote error`, at whatever place of an answer it stands.
pub fn error(message: &str) -> Vec<u8> {
    let message = message.get(..SIDEBAND_BYTES).unwrap_or(message);
    data(format!("ERR {message}\n").as_bytes())
}
