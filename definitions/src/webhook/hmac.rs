//! HMAC-SHA256, and how signatures are written.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key, Tag};

use crate::contract::webhook::SignatureEncoding;

/// The length of a tag.
const TAG_BYTES: usize = 32;

/// The tag over `parts`, one after the other.
pub(super) fn tag(key: &[u8], parts: &[&[u8]]) -> Tag {
    let mut context = Context::with_key(&Key::new(HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    context.sign()
}

/// Whether one of `keys` made `given` over `parts`. An empty key is nobody's: anyone has it.
pub(super) fn is_signed<'k>(
    keys: impl Iterator<Item = &'k [u8]>,
    given: &[u8],
    parts: &[&[u8]],
) -> bool {
    // All keys are tried, so that time does not tell which of them it was.
    keys.filter(|key| !key.is_empty()).fold(false, |found, key| {
        found | verify_slices_are_equal(tag(key, parts).as_ref(), given).is_ok()
    })
}

/// The bytes of a signature, strictly in the form that providers write: hex in small letters, base64
/// with padding.
pub(super) fn decoded(text: &[u8], encoding: SignatureEncoding) -> Option<Vec<u8>> {
    let bytes = match encoding {
        SignatureEncoding::Hex => hex(text)?,
        SignatureEncoding::Base64 => base64(text)?,
    };
    (bytes.len() == TAG_BYTES).then_some(bytes)
}

pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
