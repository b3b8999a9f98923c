//! Follows the field blocks of HTTP/2 requests for the one thing that is not told above: a fragment
//! in `:path`, which the `http` crate cuts off where it should be refused.
//!
//! A block is walked (RFC 7541 §6), not decoded: strings are passed over, but for the value of a
//! path. Of the dynamic table only is kept which entries are paths, and which have a fragment: an
//! index says how many insertions ago an entry was made, so neither sizes nor evictions matter.

use memchr::memchr;

/// Entries of the static table (RFC 7541 appendix A): `:path /` and `:path /index.html`.
const STATIC_PATHS: [u32; 2] = [4, 5];
const STATIC_ENTRIES: u32 = 61;
const PATH: &[u8] = b":path";
/// The same in the Huffman code.
const CODED_PATH: &[u8] = &[0xb9, 0x58, 0xd3, 0x3f];

/// Where in a block its reader stands, and what of earlier blocks may be referred to.
///
/// INVARIANT: our SETTINGS leave the dynamic table at 4 096 bytes, so it has 128 entries at most:
/// one bit of each word, the latest entry first.
#[derive(Debug, Default)]
pub(super) struct PathWatch {
    state: State,
    field: Field,
    has_fragment: bool,
    paths: u128,
    fragments: u128,
}

/// The literal field that is being read.
#[derive(Clone, Copy, Debug, Default)]
struct Field {
    is_inserted: bool,
    is_path: bool,
    has_fragment: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// A field, or an update of the table's size.
    #[default]
    Start,
    Integer(Meaning, u32, u32),
    /// The length of a string.
    Length(Part),
    Text(Part, Text),
}

/// What an integer says.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    Indexed,
    NameIndex,
    TableSize,
    Length(Part, Coding),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Name,
    Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Plain,
    Huffman,
}

/// A string, as far as it is still to come.
#[derive(Clone, Copy, Debug)]
struct Text {
    left: u32,
    coding: Coding,
    /// Of a name: how much of it is that of a path; `None` when it is another one.
    matched: Option<usize>,
    bits: Bits,
}

impl PathWatch {
    /// Takes the next bytes of a block.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Text(part, text) => self.text(part, text, bytes),
                State::Start => {
                    self.begin(*first);
                    rest
                }
                State::Length(part) => {
                    let coding = if first & 0x80 == 0 { Coding::Plain } else { Coding::Huffman };
                    self.integer(Meaning::Length(part, coding), u32::from(first & 0x7f), 0x7f);
                    rest
                }
                State::Integer(meaning, value, shift) => {
                    self.more(*first, meaning, value, shift);
                    rest
                }
            };
        }
    }

    /// Ends a block; the answer is whether its path had a fragment.
    pub(super) fn end(&mut self) -> bool {
        self.state = State::Start;
        std::mem::take(&mut self.has_fragment)
    }

    fn begin(&mut self, first: u8) {
        let (meaning, mask) = match first {
            0x80.. => (Meaning::Indexed, 0x7f),
            0x40.. => (Meaning::NameIndex, 0x3f),
            0x20.. => (Meaning::TableSize, 0x1f),
            _ => (Meaning::NameIndex, 0x0f),
        };
        self.field = Field { is_inserted: (0x40..0x80).contains(&first), ..Field::default() };
        self.integer(meaning, u32::from(first & mask), u32::from(mask));
    }

    /// The bits of an integer that its first byte has (RFC 7541 §5.1).
    fn integer(&mut self, meaning: Meaning, value: u32, mask: u32) {
        if value == mask {
            self.state = State::Integer(meaning, value, 0);
        } else {
            self.meet(meaning, value);
        }
    }

    fn more(&mut self, byte: u8, meaning: Meaning, value: u32, shift: u32) {
        // What is beyond all bounds ends the connection above, whatever is made of it here.
        let value = value.saturating_add(u32::from(byte & 0x7f) << shift);
        if byte & 0x80 == 0 {
            self.meet(meaning, value);
        } else {
            self.state = State::Integer(meaning, value, (shift + 7).min(24));
        }
    }

    fn meet(&mut self, meaning: Meaning, value: u32) {
        self.state = match meaning {
            Meaning::TableSize => State::Start,
            Meaning::Indexed => {
                self.has_fragment |= dynamic(self.fragments, value);
                State::Start
            }
            Meaning::NameIndex if value == 0 => State::Length(Part::Name),
            Meaning::NameIndex => {
                self.field.is_path = STATIC_PATHS.contains(&value) || dynamic(self.paths, value);
                State::Length(Part::Value)
            }
            Meaning::Length(part, coding) => {
                let text = Text { left: value, coding, matched: Some(0), bits: Bits::default() };
                if value == 0 { self.behind(part, text) } else { State::Text(part, text) }
            }
        };
    }

    /// Reads of a string what is there of it; the rest of `bytes` lies behind it.
    fn text<'a>(&mut self, part: Part, mut text: Text, bytes: &'a [u8]) -> &'a [u8] {
        let length = usize::try_from(text.left).unwrap_or(usize::MAX).min(bytes.len());
        let (piece, rest) = bytes.split_at(length);
        match part {
            Part::Name => text.compare(piece),
            Part::Value if self.field.is_path => self.field.has_fragment |= text.search(piece),
            Part::Value => {}
        }
        text.left -= u32::try_from(length).unwrap_or(text.left);
        self.state = if text.left == 0 { self.behind(part, text) } else { State::Text(part, text) };
        rest
    }

    /// What follows a string.
    fn behind(&mut self, part: Part, text: Text) -> State {
        if part == Part::Name {
            self.field.is_path = text.matched == Some(text.path().len());
            return State::Length(Part::Value);
        }
        self.has_fragment |= self.field.has_fragment;
        if self.field.is_inserted {
            self.paths = self.paths << 1 | u128::from(self.field.is_path);
            self.fragments = self.fragments << 1 | u128::from(self.field.has_fragment);
        }
        State::Start
    }
}

/// What a word says about the entry of the dynamic table with this index.
fn dynamic(word: u128, index: u32) -> bool {
    let age = index.checked_sub(STATIC_ENTRIES + 1);
    age.is_some_and(|age| word.checked_shr(age).unwrap_or_default() & 1 == 1)
}

impl Text {
    const fn path(&self) -> &'static [u8] {
        match self.coding {
            Coding::Plain => PATH,
            Coding::Huffman => CODED_PATH,
        }
    }

    fn compare(&mut self, piece: &[u8]) {
        let expected = self.matched.and_then(|at| self.path().get(at..at + piece.len()));
        self.matched = self.matched.filter(|_| expected == Some(piece)).map(|at| at + piece.len());
    }

    /// Whether there is a `#` in this piece.
    fn search(&mut self, piece: &[u8]) -> bool {
        match self.coding {
            Coding::Plain => memchr(b'#', piece).is_some(),
            Coding::Huffman => {
                piece.iter().fold(false, |found, byte| self.bits.take(*byte) | found)
            }
        }
    }
}

/// Bits of the Huffman code that are no whole symbol yet.
#[derive(Clone, Copy, Debug, Default)]
struct Bits {
    word: u64,
    count: u32,
}

/// How many symbols have a code of each length from 5 to 30 (RFC 7541 appendix B).
const SYMBOLS: [u32; 26] =
    [10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0, 4];
const SHORTEST: u32 = 5;
/// `#` is the first of the symbols with 12 bits.
const HASH: (u32, u64) = (12, 0xffa);

/// By length: all codes of this length or a shorter one are below, read as 32 bits. The code is
/// canonical: codes of one length follow each other, and the next length's follow them.
const LIMITS: [u64; 26] = {
    let mut limits = [0; 26];
    let (mut first, mut i) = (0u64, 0);
    while i < limits.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, in bounds")]
        {
            let behind = first + SYMBOLS[i] as u64;
            limits[i] = behind << (32 - SHORTEST - i as u32);
            first = behind << 1;
        }
        i += 1;
    }
    limits
};

impl Bits {
    /// Takes eight bits more; whether a `#` came to its end.
    fn take(&mut self, byte: u8) -> bool {
        self.word = self.word << 8 | u64::from(byte);
        self.count += 8;
        let mut found = false;
        while let Some(length) = self.symbol() {
            self.count -= length;
            let code = self.word >> self.count;
            found |= (length, code) == HASH;
            self.word &= (1 << self.count) - 1;
        }
        found
    }

    /// The length of the symbol that the bits begin with, if it is whole.
    fn symbol(&self) -> Option<u32> {
        let padded = self.word << (40 - self.count) >> 8;
        let shorter = LIMITS.iter().take_while(|limit| padded >= **limit).count();
        let length = SHORTEST + u32::try_from(shorter).unwrap_or(u32::MAX - SHORTEST);
        (length <= self.count).then_some(length)
    }
}

#[cfg(test)]
mod tests;
