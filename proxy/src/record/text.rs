//! The texts of a record that are made anew for every exchange, without an allocation.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `2026-01-02T03:04:05`: all of a time that stays the same for a second.
const SECOND_BYTES: usize = 19;
/// The longest IPv6 address in brackets, with a scope and a port.
const ADDRESS_BYTES: usize = 64;

/// RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timestamp([u8; SECOND_BYTES + 5]);

impl Timestamp {
    /// A time since the Unix epoch.
    pub(crate) fn new(since_epoch: Duration) -> Self {
        let millis = since_epoch.subsec_millis();
        let digit = |n: u32| b'0' + u8::try_from(n % 10).unwrap_or_default();
        let fraction = [b'.', digit(millis / 100), digit(millis / 10), digit(millis), b'Z'];
        let mut text = [0; SECOND_BYTES + 5];
        let bytes = second(since_epoch.as_secs()).into_iter().chain(fraction);
        text.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The calendar is asked once a second.
fn second(unix: u64) -> [u8; SECOND_BYTES] {
    thread_local! {
        static LAST: Cell<(u64, [u8; SECOND_BYTES])> = const { Cell::new((u64::MAX, [0; SECOND_BYTES])) };
    }
    let (last, text) = LAST.get();
    if last == unix {
        return text;
    }
    let time = i64::try_from(unix).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    let mut line = [b'0'; 32];
    // Written into memory that is large enough: cannot fail.
    let _ = time.unwrap_or(OffsetDateTime::UNIX_EPOCH).format_into(&mut &mut line[..], &Rfc3339);
    let text = line.first_chunk().copied().unwrap_or([b'0'; SECOND_BYTES]);
    LAST.set((unix, text));
    text
}

/// An address and port as text; empty when there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddressText {
    text: [u8; ADDRESS_BYTES],
    length: usize,
}

impl AddressText {
    pub(crate) fn new(address: Option<SocketAddr>) -> Self {
        let mut this = Self { text: [0; ADDRESS_BYTES], length: 0 };
        if let Some(address) = address
            && write!(this, "{address}").is_err()
        {
            this.length = 0;
        }
        this
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.text.get(..self.length).unwrap_or_default()).unwrap_or_default()
    }
}

impl Write for AddressText {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let end = self.length + piece.len();
        self.text.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(piece.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_timestamp_is_the_time_that_the_calendar_says(millis in 0u64..253_402_300_800_000) {
            let text = Timestamp::new(Duration::from_millis(millis));
            prop_assert_eq!(text.as_str().len(), 24);
            let read = OffsetDateTime::parse(text.as_str(), &Rfc3339).unwrap();
            prop_assert_eq!(read.unix_timestamp_nanos(), i128::from(millis) * 1_000_000);
        }

        #[test]
        fn an_address_is_written_as_it_is_displayed(ip in any::<std::net::IpAddr>(), port in any::<u16>()) {
            let address = SocketAddr::new(ip, port);
            let text = AddressText::new(Some(address));
            prop_assert_eq!(text.as_str(), address.to_string());
        }
    }

    #[test]
    fn the_longest_address_fits_and_none_is_empty() {
        let ip = std::net::Ipv6Addr::from([0xabcd; 8]);
        let longest = std::net::SocketAddrV6::new(ip, u16::MAX, 0, u32::MAX).into();
        assert_eq!(AddressText::new(Some(longest)).as_str(), SocketAddr::to_string(&longest));
        assert_eq!(AddressText::new(None).as_str(), "");
    }
}
