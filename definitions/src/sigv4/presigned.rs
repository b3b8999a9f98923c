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

/// The query without what signs it: the rest stays as it was written.
pub fn unsigned(query: &str) -> String {
    let version = presigned(query);
    let is_of_it = |pair: &str| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        let name = unescaped(name);
        let is_one_of =
            |names: &[&str]| names.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()));
        match version {
            Presigned::No => false,
            Presigned::Version4 => is_one_of(&VERSION_4),
            Presigned::Version2 => is_one_of(&VERSION_2),
        }
    };
    query.split('&').filter(|pair| !is_of_it(pair)).collect::<Vec<_>>().join("&")
}

const VERSION_4: [&str; 8] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "X-Amz-Region-Set",
];
const VERSION_2: [&str; 4] = ["AWSAccessKeyId", "Signature", "Expires", "x-amz-security-token"];

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

    #[test]
    fn what_signs_a_url_is_taken_away_and_nothing_else() {
        for (query, expected) in [
            ("", ""),
            ("a=1&&Signature=x&Expires=1", "a=1&&Signature=x&Expires=1"),
            (
                "versionId=1&X-Amz-Algorithm=a&X-Amz-Credential=b&x-amz-date=c&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Signature=0&X-Amz-Security-Token=t&partNumber=2",
                "versionId=1&partNumber=2",
            ),
            ("X-Amz-Sig%6eature=00&X-Amz-Meta=1", "X-Amz-Meta=1"),
            ("AWSAccessKeyId=a&Expires=1&Signature=b&acl", "acl"),
        ] {
            assert_eq!(unsigned(query), expected, "{query}");
            assert_eq!(presigned(expected), Presigned::No);
        }
    }
}
