//! A body that passes in pieces: placeholders that may be there are put in place, and where there
//! is another, nothing of it goes on.
//!
//! INVARIANT: what was handed out together with what is held back is what came in, with whole
//! placeholders replaced. What may be the beginning of a placeholder is held back until it is known
//! whether it is one, so none is ever cut in two; that is at most [`SHAPE_BYTES_MAX`] characters.
//!
//! [`SHAPE_BYTES_MAX`]: super::SHAPE_BYTES_MAX

use std::sync::Arc;

use zeroize::Zeroizing;

use super::recognise::{Found, Knows, Recogniser, Whose};
use super::view::{Spelling, View, begun, has_needless_escape};
use super::{CODE_BYTES, SHAPE_BYTES_MAX};

/// What comes in the place of a placeholder.
pub struct Substitute {
    /// The index of the placeholder in [`Recogniser::own`].
    pub own: usize,
    /// As it is written in this body.
    pub text: Zeroizing<Vec<u8>>,
}

// It is a secret.
impl std::fmt::Debug for Substitute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Substitute").field("own", &self.own).finish_non_exhaustive()
    }
}

/// A placeholder that has no business in this body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misuse(pub Whose);

/// One body under way.
#[derive(Debug)]
pub struct Stream {
    recogniser: Arc<Recogniser>,
    substitutes: Vec<Substitute>,
    /// Which escapes the reader of the body undoes.
    spelling: Spelling,
    held: Vec<u8>,
}

/// What becomes of a piece.
#[derive(Debug, PartialEq, Eq)]
pub enum Passed {
    /// So much of the beginning of the piece goes on as it is; the rest is held back.
    AsItIs(usize),
    /// This goes on in its place.
    Instead(Vec<u8>),
}

impl Stream {
    /// Without substitutes, no placeholder may be there at all.
    pub fn new(
        recogniser: Arc<Recogniser>,
        substitutes: Vec<Substitute>,
        spelling: Spelling,
    ) -> Self {
        Self { recogniser, substitutes, spelling, held: Vec::new() }
    }

    /// Takes the next piece; `end`: it is the last one. Where nothing was held back and the piece
    /// is nothing special, nothing is copied.
    pub fn push(&mut self, piece: &[u8], end: bool) -> Result<Passed, Misuse> {
        if !self.held.is_empty() {
            let mut all = std::mem::take(&mut self.held);
            all.extend_from_slice(piece);
            if !self.is_plain(&all) {
                return self.rewrite(&all, end).map(Passed::Instead);
            }
            let cut = if end { all.len() } else { self.plain_cut(&all) };
            self.held = all.split_off(cut);
            return Ok(Passed::Instead(all));
        }
        if !self.is_plain(piece) {
            return self.rewrite(piece, end).map(Passed::Instead);
        }
        let cut = if end { piece.len() } else { self.plain_cut(piece) };
        self.held.extend_from_slice(piece.get(cut..).unwrap_or_default());
        Ok(Passed::AsItIs(cut))
    }

    /// Neither a placeholder nor anything that could be a spelling of one.
    fn is_plain(&self, bytes: &[u8]) -> bool {
        self.recogniser.find(bytes, 0).is_none() && !has_needless_escape(bytes)
    }

    /// From where plain bytes are held back.
    fn plain_cut(&self, bytes: &[u8]) -> usize {
        let end = begun(bytes).unwrap_or(bytes.len());
        self.first_begun(bytes.get(..end).unwrap_or_default()).unwrap_or(end)
    }

    /// Where the first placeholder begins that the end of `bytes` cuts off.
    fn first_begun(&self, bytes: &[u8]) -> Option<usize> {
        let (knows, longest) = match self.substitutes.is_empty() {
            true => (Knows::Codes, CODE_BYTES),
            false => (Knows::Texts, SHAPE_BYTES_MAX),
        };
        let from = bytes.len().saturating_sub(longest);
        (from..bytes.len())
            .find(|at| bytes.get(*at..).is_some_and(|tail| self.recogniser.may_become(tail, knows)))
    }

    /// The slow way: over the bytes as a reader understands them.
    fn rewrite(&mut self, bytes: &[u8], end: bool) -> Result<Vec<u8>, Misuse> {
        let view = View::of(bytes, self.spelling);
        let mut out = Vec::with_capacity(bytes.len());
        let (mut done, mut from, mut judged) = (0, 0, bytes.len());
        while let Some(found) = self.recogniser.find(view.bytes(), from) {
            let text = self.substitute(&found).ok_or(Misuse(found.whose))?;
            let start = view.origin(found.start);
            if !found.whole {
                let begins = self.recogniser.cut_off(view.bytes(), &found).filter(|_| !end);
                // Whether it is whole will be seen.
                judged = view.origin(begins.ok_or(Misuse(found.whose))?);
                break;
            }
            out.extend_from_slice(self.clean(bytes.get(done..start).unwrap_or_default())?);
            out.extend_from_slice(text);
            (done, from) = (view.origin(found.end), found.end);
        }
        self.clean(bytes.get(done..judged).unwrap_or_default())?;
        let rest = bytes.get(done..).unwrap_or_default();
        let cut = if end { bytes.len() } else { done + self.cut(rest) };
        out.extend_from_slice(bytes.get(done..cut).unwrap_or_default());
        self.held.extend_from_slice(bytes.get(cut..).unwrap_or_default());
        Ok(out)
    }

    /// What another reader would see is not known to be replaced rightly: it does not pass.
    fn clean<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8], Misuse> {
        self.recogniser.finds(bytes).map_or(Ok(bytes), |whose| Err(Misuse(whose)))
    }

    /// From where bytes are held back, whoever reads them.
    fn cut(&self, bytes: &[u8]) -> usize {
        let cut = |spelling| {
            let view = View::of(bytes, spelling);
            let at = self.first_begun(view.bytes()).unwrap_or(view.bytes().len());
            view.origin(at)
        };
        let all = [Spelling::Plain, Spelling::Percent, Spelling::Json, Spelling::Any];
        all.into_iter().map(cut).min().unwrap_or(bytes.len())
    }

    /// What comes in the place of what was found, if it is one that may be there.
    fn substitute(&self, found: &Found) -> Option<&[u8]> {
        let Whose::Own(own) = found.whose else { return None };
        let substitute = self.substitutes.iter().find(|substitute| substitute.own == own);
        substitute.map(|substitute| substitute.text.as_slice())
    }
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "placeholders are ASCII")]
mod tests {
    use proptest::prelude::*;

    use super::super::{Known, Owner, PlaceholderKey, Shape};
    use super::*;

    const SHAPES: [&str; 3] =
        ["ghp_{alphanumeric:40}", "{hex:36}", "s5a-{digits:3}.{base64url:50}x"];

    fn known(sandbox: &str, shape: &str) -> Known {
        let owner = Owner {
            organization: "org",
            sandbox,
            connection: shape,
            secret_type: "api_key",
            slot: None,
        };
        let key = PlaceholderKey::from_bytes([1; 32]);
        Known::new(&key, &owner, &Shape::parse(shape).unwrap())
    }

    fn text(sandbox: &str, shape: usize) -> String {
        String::from_utf8(known(sandbox, SHAPES[shape]).text().to_vec()).unwrap()
    }

    const SECRETS: [&str; 2] = ["first secret", "5a11e9a7e"];

    /// The first two placeholders of the sandbox are replaced; nothing else is.
    fn stream(swaps: bool, spelling: Spelling) -> Stream {
        let own = SHAPES.map(|shape| known("own", shape)).to_vec();
        let keys = vec![PlaceholderKey::from_bytes([1; 32])];
        let recogniser = Arc::new(Recogniser::new(keys, own));
        let substitute =
            |own: usize| Substitute { own, text: Zeroizing::new(SECRETS[own].as_bytes().to_vec()) };
        let substitutes = if swaps { vec![substitute(0), substitute(1)] } else { Vec::new() };
        Stream::new(recogniser, substitutes, spelling)
    }

    /// What goes out when the body comes in these pieces.
    fn run(mut stream: Stream, pieces: &[&[u8]]) -> Result<Vec<u8>, Misuse> {
        let mut out = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            match stream.push(piece, at + 1 == pieces.len())? {
                Passed::AsItIs(length) => out.extend_from_slice(&piece[..length]),
                Passed::Instead(bytes) => out.extend_from_slice(&bytes),
            }
            assert!(stream.held.len() <= SHAPE_BYTES_MAX * 6 + 6, "{}", stream.held.len());
        }
        Ok(out)
    }

    fn whole(swaps: bool, spelling: Spelling, body: &str) -> Result<String, Misuse> {
        let out = run(stream(swaps, spelling), &[body.as_bytes()])?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_may_be_there_is_replaced_and_nothing_else_is() {
        let (first, second) = (text("own", 0), text("own", 1));
        let check = |body: String, expected: &str| {
            assert_eq!(whole(true, Spelling::Json, &body).as_deref(), Ok(expected), "{body}");
        };
        check(String::new(), "");
        check("nothing 5a11e9a7e special".to_owned(), "nothing 5a11e9a7e special");
        check(first.clone(), SECRETS[0]);
        check(format!("{first}{second}{first}"), "first secret5a11e9a7efirst secret");
        check(format!("a\"{second}\\"), "a\"5a11e9a7e\\");
        check(
            format!("{}\\u00{:02x}{}", &first[..9], first.as_bytes()[9], &first[10..]),
            SECRETS[0],
        );
        check(format!("100%{first}"), "100%first secret");
    }

    #[test]
    fn what_may_not_be_there_ends_the_body() {
        let (first, second, third) = (text("own", 0), text("own", 1), text("own", 2));
        let (foreign, percent) = (text("other", 0), format!("%{:02x}", first.as_bytes()[9]));
        for body in [
            third.clone(),
            format!("{first}{third}"),
            foreign.clone(),
            format!("a{foreign}b"),
            first[1..].to_owned(),
            format!("x{}", &first[..first.len() - 1]),
            // A reader of JSON leaves this as it is, and another one does not.
            format!("{}{percent}{}", &first[..9], &first[10..]),
            format!("{}%{:02x}{}", &second[..3], second.as_bytes()[3], &second[4..]),
        ] {
            assert!(whole(true, Spelling::Json, &body).is_err(), "{body}");
        }
        for body in [first, second, third, foreign] {
            assert!(whole(false, Spelling::Json, &body).is_err(), "{body}");
        }
    }

    /// Pieces of bodies: placeholders, parts and spellings of them, and what looks like them.
    fn fragment() -> impl Strategy<Value = String> {
        let texts: Vec<String> = (0..3).map(|shape| text("own", shape)).collect();
        let (all, cut, foreign) = (texts.clone(), texts.clone(), text("other", 1));
        prop_oneof![
            4 => (0..2usize).prop_map(move |at| texts[at].clone()),
            2 => (0..3usize, 1..45usize).prop_map(move |(at, length)| {
                cut[at].get(..length).unwrap_or(&cut[at][..9]).to_owned()
            }),
            1 => (0..3usize, 0..60usize).prop_map(move |(at, index)| {
                let text = &all[at];
                let spelled = |(i, b): (usize, u8)| match i == index % text.len() {
                    true => format!("\\u00{b:02x}"),
                    false => char::from(b).to_string(),
                };
                text.bytes().enumerate().map(spelled).collect()
            }),
            1 => Just(foreign),
            4 => "[5ae1 %7u0g\\\\h_p9\"]{0,12}",
            2 => Just("5a11e9a7e".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn a_body_in_pieces_is_as_the_whole(
            fragments in proptest::collection::vec(fragment(), 0..6),
            cuts in proptest::collection::vec(0..400usize, 0..12),
            swaps in any::<bool>(),
            spelling in prop_oneof![
                Just(Spelling::Plain), Just(Spelling::Percent), Just(Spelling::Json)
            ],
        ) {
            let body = fragments.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(body.len())).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &body[w[0]..w[1]]).collect();
            let whole = run(stream(swaps, spelling), &[&body]);
            let split = run(stream(swaps, spelling), &pieces);
            prop_assert_eq!(whole.is_err(), split.is_err());
            if let (Ok(whole), Ok(split)) = (whole, split) {
                prop_assert_eq!(whole, split);
            }
        }

        #[test]
        fn nothing_that_passes_holds_a_placeholder(
            fragments in proptest::collection::vec(fragment(), 0..6),
            swaps in any::<bool>(),
        ) {
            let body = fragments.concat();
            let stream = stream(swaps, Spelling::Json);
            let recogniser = Arc::clone(&stream.recogniser);
            if let Ok(out) = run(stream, &[body.as_bytes()]) {
                prop_assert_eq!(recogniser.finds(&out), None);
            }
        }
    }
}
