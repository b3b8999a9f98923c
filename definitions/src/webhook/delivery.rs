//! One call of a webhook, as it came in.

use std::fmt;

use super::verify::Refusal;

/// A delivery that nobody has verified. Headers stand as they came, by any spelling of their names.
#[derive(Clone, Copy)]
pub struct Delivery<'d> {
    pub headers: &'d [(&'d str, &'d [u8])],
    pub query: Option<&'d str>,
    pub body: &'d [u8],
}

impl fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and query may hold the secret itself.
        let (headers, bytes) = (self.headers.len(), self.body.len());
        f.debug_struct("Delivery").field("headers", &headers).field("bytes", &bytes).finish()
    }
}

impl<'d> Delivery<'d> {
    /// The one value of a header. Two are refused: another reader might take the other one.
    pub fn header(&self, name: &str) -> Result<Option<&'d [u8]>, Refusal> {
        let mut values = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some((_, value)), None) => Ok(Some(value)),
            (Some(_), Some(_)) => Err(Refusal::Repeated),
        }
    }

    pub(super) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The one value of a header that is text without surrounding white space.
    pub(super) fn text(&self, name: &str) -> Option<&'d str> {
        let value = self.header(name).ok().flatten()?;
        std::str::from_utf8(value).ok().map(str::trim).filter(|text| !text.is_empty())
    }
}

/// How a delivery proved whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// By a signature.
    Signature,
    /// By the secret itself, in the header that is preferred.
    Preferred,
    /// By the secret itself, in another header.
    Fallback,
    /// By the secret itself, in the query.
    Legacy,
}

impl Transport {
    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Preferred => "preferred",
            Self::Fallback => "fallback",
            Self::Legacy => "legacy",
        }
    }
}

/// Evidence that a delivery was verified: only `verify` makes one.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedDelivery<'d> {
    delivery: Delivery<'d>,
    transport: Transport,
}

impl<'d> VerifiedDelivery<'d> {
    pub(super) fn new(delivery: Delivery<'d>, transport: Transport) -> Self {
        Self { delivery, transport }
    }

    pub fn delivery(&self) -> &Delivery<'d> {
        &self.delivery
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }
}
