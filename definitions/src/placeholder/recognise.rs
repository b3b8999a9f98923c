//! Whether there is a placeholder in some bytes, and whose. Costs one search for the mark where
//! there is none, and allocates nothing.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::key::{CODE_BYTES, MARK, Owner, PlaceholderKey};
use super::shape::Shape;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));

/// A placeholder that is known by its whole text.
#[derive(Clone, PartialEq, Eq)]
pub struct Known {
    text: Box<[u8]>,
    code_at: usize,
}

// It opens nothing, but belongs to one sandbox.
impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known(…)")
    }
}

impl Known {
    pub fn new(key: &PlaceholderKey, owner: &Owner<'_>, shape: &Shape) -> Self {
        let (text, code_at) = key.placeholder(owner, shape);
        Self { text: text.into_bytes().into(), code_at }
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }

    fn code(&self) -> &[u8] {
        self.text.get(self.code_at..self.code_at + CODE_BYTES).unwrap_or_default()
    }
}

/// Whose placeholder was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The index of the one that is known.
    Own(usize),
    /// One that this installation made for somebody else.
    Foreign,
}

/// A placeholder in some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub start: usize,
    pub end: usize,
    pub whose: Whose,
    /// Whether all of its text is there; else only its code is.
    pub whole: bool,
}

/// Knows the placeholders of one sandbox, and that others are somebody's.
#[derive(Clone, Debug, Default)]
pub struct Recogniser {
    keys: Vec<PlaceholderKey>,
    own: Vec<Known>,
}

impl Recogniser {
    pub fn new(keys: Vec<PlaceholderKey>, own: Vec<Known>) -> Self {
        Self { keys, own }
    }

    pub fn own(&self) -> &[Known] {
        &self.own
    }

    /// The first placeholder at or behind `from`.
    pub fn find(&self, bytes: &[u8], from: usize) -> Option<Found> {
        let mut from = from;
        loop {
            let at = from + FINDER.find(bytes.get(from..)?)?;
            let code = bytes.get(at..at + CODE_BYTES)?;
            if let Some(found) = self.at(bytes, (at, code)) {
                return Some(found);
            }
            from = at + 1;
        }
    }

    /// Whether there is one, however its characters are spelled.
    pub fn finds(&self, bytes: &[u8]) -> Option<Whose> {
        if let Some(found) = self.find(bytes, 0) {
            return Some(found.whose);
        }
        if !super::has_needless_escape(bytes) {
            return None;
        }
        [super::Spelling::Percent, super::Spelling::Json, super::Spelling::Any]
            .into_iter()
            .find_map(|spelling| self.find(super::View::of(bytes, spelling).bytes(), 0))
            .map(|found| found.whose)
    }

    fn at(&self, bytes: &[u8], (at, code): (usize, &[u8])) -> Option<Found> {
        let own = self.own.iter().position(|known| known.code() == code);
        if let Some((index, known)) = own.and_then(|index| Some((index, self.own.get(index)?))) {
            let start = at.checked_sub(known.code_at);
            let whole = start.filter(|start| {
                bytes.get(*start..).is_some_and(|rest| rest.starts_with(known.text()))
            });
            let (start, end) = match whole {
                Some(start) => (start, start + known.text.len()),
                None => (at, at + CODE_BYTES),
            };
            return Some(Found { start, end, whose: Whose::Own(index), whole: whole.is_some() });
        }
        let made = self.keys.iter().any(|key| key.made(code));
        let (start, end) = (at, at + CODE_BYTES);
        made.then_some(Found { start, end, whose: Whose::Foreign, whole: false })
    }

    /// Where one that is not whole begins, when only the end of `bytes` keeps it from being so.
    pub(super) fn cut_off(&self, bytes: &[u8], found: &Found) -> Option<usize> {
        let Whose::Own(index) = found.whose else { return None };
        let known = self.own.get(index)?;
        let start = found.start.checked_sub(known.code_at)?;
        known.text.starts_with(bytes.get(start..)?).then_some(start)
    }

    /// Whether `tail` may go on to be a placeholder with what comes next: the beginning of a code,
    /// or of one that is known.
    pub(super) fn may_become(&self, tail: &[u8], knows: Knows) -> bool {
        begins_code(tail)
            || knows == Knows::Texts
                && self
                    .own
                    .iter()
                    .any(|known| tail.len() < known.text.len() && known.text.starts_with(tail))
    }
}

/// Whether the beginnings of whole texts count, or codes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knows {
    Codes,
    Texts,
}

/// Whether `tail` may be the beginning of a code.
fn begins_code(tail: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    match tail.strip_prefix(MARK) {
        Some(rest) => tail.len() < CODE_BYTES && rest.iter().all(is_digit),
        None => MARK.starts_with(tail),
    }
}

/// Whether a text is long enough for a code.
pub fn may_hold_code(length: usize) -> bool {
    length >= CODE_BYTES
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "placeholders are ASCII")]
mod tests {
    use super::*;

    fn known(sandbox: &str, shape: &str) -> Known {
        let owner = Owner {
            organization: "org",
            sandbox,
            connection: "gh",
            secret_type: "api_key",
            slot: None,
        };
        Known::new(&key(1), &owner, &Shape::parse(shape).unwrap())
    }

    fn key(byte: u8) -> PlaceholderKey {
        PlaceholderKey::from_bytes([byte; 32])
    }

    fn recogniser() -> Recogniser {
        Recogniser::new(vec![key(1)], vec![known("own", "ghp_{alphanumeric:40}")])
    }

    fn text(known: &Known) -> String {
        String::from_utf8(known.text().to_vec()).unwrap()
    }

    #[test]
    fn a_placeholder_is_found_with_its_bounds_and_its_owner() {
        let recogniser = recogniser();
        let own = text(&recogniser.own()[0]);
        let foreign = text(&known("other", "sk-{hex:36}"));
        let find = |bytes: &str| recogniser.find(bytes.as_bytes(), 0);
        let found = find(&format!("a {own} b")).unwrap();
        assert_eq!((found.start, found.end, found.whole), (2, 2 + own.len(), true));
        assert_eq!(found.whose, Whose::Own(0));
        let found = find(&format!("Bearer {foreign}")).unwrap();
        assert_eq!((found.start, found.end, found.whose), (10, 46, Whose::Foreign));
        // Without its beginning or its end it is still its owner's, and not whole.
        for cut in [&own[1..], &own[..own.len() - 1], &own[4..40]] {
            let found = find(cut).unwrap();
            assert_eq!((found.whose, found.whole), (Whose::Own(0), false), "{cut}");
        }
        // A false mark in front hides nothing.
        let marked = format!("5a11e9a7e{}", &own[4..]);
        assert_eq!(find(&marked).map(|f| f.whose), Some(Whose::Own(0)));
        let marked = format!("5a11e9a7e0123456789abcdef{own}");
        assert_eq!(find(&marked).map(|f| f.whole), Some(true));
    }

    #[test]
    fn what_nobody_made_is_no_placeholder() {
        let recogniser = recogniser();
        let own = text(&recogniser.own()[0]);
        let other_key = Recogniser::new(vec![key(2)], Vec::new());
        assert_eq!(other_key.find(own.as_bytes(), 0), None);
        for bytes in [
            "",
            "5a11e9a7e",
            "5a11e9a7e000000000000000000000000000",
            &own[..39],
            &own.to_uppercase(),
            &format!("{}-{}", &own[..20], &own[20..]),
            &own.chars().rev().collect::<String>(),
        ] {
            assert_eq!(recogniser.find(bytes.as_bytes(), 0), None, "{bytes}");
        }
    }

    #[test]
    fn a_spelling_with_needless_escapes_hides_nothing() {
        let recogniser = recogniser();
        let own = text(&recogniser.own()[0]);
        let percent: String = own.bytes().map(|b| format!("%{b:02x}")).collect();
        let json: String = own.bytes().map(|b| format!("\\u{b:04x}")).collect();
        let mixed = format!("{}%{:02X}{}", &own[..10], own.as_bytes()[10], &own[11..]);
        for bytes in [&own, &percent, &json, &mixed] {
            assert_eq!(recogniser.finds(bytes.as_bytes()), Some(Whose::Own(0)), "{bytes}");
        }
        for bytes in
            [percent.replace('%', "%25"), json.replace('\\', "\\\\"), own.replace('9', "8")]
        {
            assert_eq!(recogniser.finds(bytes.as_bytes()), None, "{bytes}");
        }
    }
}
