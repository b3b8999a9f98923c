//! URLs that carry a signature of somebody else's.

use super::canonical::unescaped;

/// Whether, and by what, a URL is signed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presigned {
    No,
    /// `X-Amz-Signature`, of Signature Version 4 or 4A.
    Version4,
    /// `Signature` beside `AWSAccessKeyId`.
    Version2,
}

/// What the query of a request says. Names are compared without regard to case: a sandbox that writes
/// them otherwise means the same.
pub fn presigned(query: &str) -> Presigned {
    let has = |wanted: &str| {
        query.split('&').any(|pair| {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            unescaped(name).eq_ignore_ascii_case(wanted.as_bytes())
        })
    };
    if has("X-Amz-Signature") || has("X-Amz-Credential") || has("X-Amz-Algorithm") {
        Presigned::Version4
    } else if has("AWSAccessKeyId") && has("Signature") {
        Presigned::Version2
    } else {
        Presigned::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_signed_is_told_by_its_query() {
        for (query, expected) in [
            ("", Presigned::No),
            ("list-type=2&prefix=X-Amz-Signature", Presigned::No),
            ("Signature=x", Presigned::No),
            ("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00", Presigned::Version4),
            ("x-amz-signature=00", Presigned::Version4),
            ("X-Amz-Sig%6eature=00", Presigned::Version4),
            ("X%2DAmz%2DCredential", Presigned::Version4),
            ("X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256", Presigned::Version4),
            ("AWSAccessKeyId=a&Expires=1&Signature=b", Presigned::Version2),
        ] {
            assert_eq!(presigned(query), expected, "{query}");
        }
    }
}
