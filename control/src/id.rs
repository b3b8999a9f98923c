//! Identifiers of rows: a prefix that says of what, and a UUIDv7 in Crockford base32. They sort by
//! the time at which they were made.

use std::fmt;

use aws_lc_rs::rand;

use crate::token::NoRandomness;

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const DIGITS: usize = 26;

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdKind {
    Organisation,
    ApiToken,
    Connection,
    Credential,
    Profile,
    Binding,
    Sandbox,
    SandboxToken,
    SandboxEvent,
    OutboxEntry,
    AuditEntry,
    User,
    Session,
    WebhookEvent,
    WebhookEndpoint,
    WebhookEndpointSecret,
    WebhookTrigger,
    WebhookDelivery,
    Proxy,
    ProxyEnrollment,
    Instance,
    Approval,
    SigningKey,
}

impl IdKind {
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Organisation => "org_",
            Self::ApiToken => "tok_",
            Self::Connection => "icn_",
            Self::Credential => "icr_",
            Self::Profile => "sbp_",
            Self::Binding => "ibd_",
            Self::Sandbox => "sbx_",
            Self::SandboxToken => "stk_",
            Self::SandboxEvent => "sev_",
            Self::OutboxEntry => "out_",
            Self::AuditEntry => "aud_",
            Self::User => "usr_",
            Self::Session => "ses_",
            Self::WebhookEvent => "iwe_",
            Self::WebhookEndpoint => "whe_",
            Self::WebhookEndpointSecret => "whs_",
            Self::WebhookTrigger => "wht_",
            Self::WebhookDelivery => "whd_",
            Self::Proxy => "prx_",
            Self::ProxyEnrollment => "pen_",
            Self::Instance => "ins_",
            Self::Approval => "apr_",
            Self::SigningKey => "sgk_",
        }
    }
}

/// An identifier of the given kind, as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(String);

/// The text is no identifier of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier that begins with `{0}`")]
pub struct NotAnId(&'static str);

impl Id {
    /// A new identifier, made at `unix_ms`.
    pub fn new(kind: IdKind, unix_ms: i64) -> Result<Self, NoRandomness> {
        let mut random = [0u8; 10];
        rand::fill(&mut random).map_err(|_| NoRandomness)?;
        let noise = random.iter().fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
        let ms = u128::try_from(unix_ms).unwrap_or(0) & ((1 << 48) - 1);
        Ok(Self::of(kind, ms << 80 | noise))
    }

    /// Version 7 and variant 10 are set as RFC 9562 wants them.
    fn of(kind: IdKind, bits: u128) -> Self {
        let uuid = bits & !(0xF << 76) & !(0b11 << 62) | 0x7 << 76 | 0b10 << 62;
        let mut text = String::with_capacity(kind.prefix().len() + DIGITS);
        text.push_str(kind.prefix());
        for digit in (0..DIGITS).rev() {
            let value = usize::try_from(uuid >> (digit * 5) & 31).unwrap_or(0);
            text.push(CROCKFORD.get(value).copied().map_or('0', char::from));
        }
        Self(text)
    }

    /// Reads an identifier that came from outside.
    pub fn parse(kind: IdKind, text: &str) -> Result<Self, NotAnId> {
        let digits = text.strip_prefix(kind.prefix()).ok_or(NotAnId(kind.prefix()))?;
        let fine = digits.len() == DIGITS && digits.bytes().all(|byte| CROCKFORD.contains(&byte));
        if fine { Ok(Self(text.to_owned())) } else { Err(NotAnId(kind.prefix())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_it_is_of_and_sorts_by_time() {
        let early = Id::new(IdKind::Connection, 1_000).unwrap();
        let late = Id::new(IdKind::Connection, 2_000).unwrap();
        assert!(early < late, "{early} {late}");
        assert_eq!(Id::parse(IdKind::Connection, early.as_str()), Ok(early.clone()));
        assert_eq!(early.as_str().len(), 30);
        assert_ne!(Id::new(IdKind::Connection, 1_000).unwrap(), early);
    }

    #[test]
    fn an_id_is_a_uuid_of_version_7() {
        let text = Id::of(IdKind::Sandbox, u128::MAX);
        // All bits set but those of version and variant: …7FFF-BFFF… in hexadecimal.
        let value = text.as_str().bytes().skip(4).fold(0u128, |bits, byte| {
            let digit = CROCKFORD.iter().position(|known| *known == byte).unwrap();
            bits << 5 | u128::try_from(digit).unwrap()
        });
        assert_eq!(format!("{value:032x}"), "ffffffffffff7fffbfffffffffffffff");
    }

    #[test]
    fn what_is_not_an_id_of_the_kind_is_refused() {
        let good = Id::new(IdKind::Profile, 1).unwrap();
        for text in [
            "",
            "sbp_",
            good.as_str().strip_prefix("sbp_").unwrap(),
            &good.as_str().to_lowercase(),
            &format!("{good}0"),
            &good.as_str().replace("sbp_", "org_"),
            "sbp_0000000000000000000000000I",
            "sbp_0000000000000000000000000'",
        ] {
            assert!(Id::parse(IdKind::Profile, text).is_err(), "{text}");
        }
    }
}
