//! What a fetch asks for, and what is let through of its answer.

use sallygate_compiler::content::git::{Fate, Fetch, Listed, Sieve, Want, read_fetch};

use crate::push::assert_lines;

/// Sizes of the pieces that an answer comes in.
const PIECES: [usize; 4] = [1, 3, 7, 64];

/// A request is read as a whole or not at all; what is let through of an answer is whole lines,
/// however it is cut, and names nothing that was dropped.
pub fn fetch(bytes: &[u8]) {
    if let Ok(read) = read_fetch(bytes) {
        assert!(bytes.ends_with(b"0000"), "it is read without its end");
        let more = [bytes, b"0000"].concat();
        assert!(read_fetch(&more).is_err(), "something follows, and is not read");
        if let Fetch::Wants(wants) = read {
            let full = |want: &Want| match want {
                Want::Reference(name) => name.starts_with("refs/"),
                Want::Object(_) => true,
            };
            assert!(wants.iter().all(full), "a name that no rule can be about");
        }
    }
    let whole = sifted(bytes, bytes.len().max(1));
    assert_lines(&whole);
    for size in PIECES {
        assert_eq!(sifted(bytes, size), whole, "it depends on how it is cut");
    }
}

fn sifted(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut sieve = Sieve::default();
    let mut out = Vec::new();
    let mut decide = |listed: &Listed<'_>| {
        assert!(listed.name.starts_with("refs/"), "a name that no rule can be about");
        if listed.name.contains('s') { Fate::Drop } else { Fate::Keep }
    };
    for piece in bytes.chunks(size) {
        out.extend(sieve.pass(piece, &mut decide));
    }
    out.extend(sieve.finish());
    out
}
