//! Whether there are placeholders in the head of a request. One that has none costs a search for
//! the mark in what is long enough to hold one, and nothing is allocated.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use pingora::http::RequestHeader;
use sallygate_compiler::canonical::Target;
use sallygate_definitions::placeholder::{Recogniser, Whose, may_hold_code};

use super::{Sighting, Spot};

/// Longer ones are decoded into memory of their own.
const BASIC_BYTES: usize = 1024;

/// As lenient as any server may be.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Calls `see` for every part of the request that has a placeholder in it.
pub(super) fn scan(
    request: &RequestHeader,
    (host, target): (&str, &Target<'_>),
    recogniser: &Recogniser,
    see: &mut impl FnMut(Sighting),
) {
    if let Some(whose) = found(host.as_bytes(), recogniser) {
        see(Sighting { spot: Spot::Authority, whose });
    }
    let query = target.query().unwrap_or_default();
    for (spot, text) in [(Spot::Path, target.path()), (Spot::Query, query)] {
        if let Some(whose) = found(text.as_bytes(), recogniser) {
            see(Sighting { spot, whose });
        }
    }
    fields(request, recogniser, see);
}

/// The first placeholder of a request that stands in its target or its fields.
pub(super) fn first(request: &RequestHeader, recogniser: &Recogniser) -> Option<Sighting> {
    let raw = request.raw_path();
    let mark = raw.iter().position(|byte| *byte == b'?').unwrap_or(raw.len());
    let (path, query) = raw.split_at_checked(mark).unwrap_or_default();
    let target = [(Spot::Path, path), (Spot::Query, query)];
    let in_target = target
        .into_iter()
        .find_map(|(spot, bytes)| found(bytes, recogniser).map(|whose| Sighting { spot, whose }));
    in_target.or_else(|| {
        let mut first = None;
        fields(request, recogniser, &mut |sighting| first = first.or(Some(sighting)));
        first
    })
}

/// Whether a placeholder stands anywhere in a head.
pub(in crate::request) fn is_anywhere(request: &RequestHeader, recogniser: &Recogniser) -> bool {
    first(request, recogniser).is_some()
}

/// Whose placeholder stands in the bytes of a head that was not read, letters of any case.
pub(crate) fn in_bytes(bytes: &[u8], recogniser: &Recogniser) -> Option<Whose> {
    recogniser.finds(bytes).or_else(|| recogniser.finds(&bytes.to_ascii_lowercase()))
}

fn fields(request: &RequestHeader, recogniser: &Recogniser, see: &mut impl FnMut(Sighting)) {
    for (name, value) in &request.headers {
        // Names are lower-case, as codes are.
        let named = found(name.as_str().as_bytes(), recogniser);
        let plain = named.or_else(|| found(value.as_bytes(), recogniser));
        if let Some(whose) = plain {
            see(Sighting { spot: Spot::Header, whose });
        } else if let Some(whose) = in_basic(value.as_bytes(), recogniser) {
            see(Sighting { spot: Spot::Basic, whose });
        }
    }
}

fn found(bytes: &[u8], recogniser: &Recogniser) -> Option<Whose> {
    if !may_hold_code(bytes.len()) {
        return None;
    }
    recogniser.finds(bytes)
}

/// What stands behind `Basic`, where that is the scheme.
pub(super) fn basic(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    scheme.eq_ignore_ascii_case(b"basic ").then(|| rest.trim_ascii())
}

fn in_basic(value: &[u8], recogniser: &Recogniser) -> Option<Whose> {
    let text = basic(value).filter(|text| may_hold_code(text.len()))?;
    let mut buffer = [0; BASIC_BYTES];
    if let Ok(length) = LENIENT.decode_slice(text, &mut buffer) {
        return recogniser.finds(buffer.get(..length)?);
    }
    let is_url_safe = text.iter().any(|byte| matches!(byte, b'-' | b'_'));
    if text.len() <= BASIC_BYTES && !is_url_safe {
        // It is no base64: nobody reads anything in it.
        return None;
    }
    let standard = |byte: &u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    };
    let text: Vec<u8> = text.iter().map(standard).collect();
    recogniser.finds(&LENIENT.decode(text).ok()?)
}
