//! Follows one JSON document byte by byte, with an eye on some places of it.

/// Nesting beyond this is not followed: no provider's usage lies there.
const DEPTH_MAX: usize = 256;
/// A longer number is not a count of anything.
const NUMBER_BYTES_MAX: usize = 24;
/// No segment of a pointer is longer, so no longer key is one.
const KEY_BYTES_MAX: usize = 64;
/// No name that is looked for is longer.
const NAME_BYTES_MAX: usize = sallygate_compiler::plan::MODEL_BYTES_MAX;
/// Counts above this are as good as infinite, and their price still fits.
const COUNT_MAX: u64 = 1_000_000_000_000;

/// A place that is looked for.
#[derive(Debug)]
struct Place {
    segments: Vec<String>,
    /// How many of its segments lead to where the scanner is.
    matched: usize,
    /// Whether a text is looked for, and not a number.
    is_name: bool,
    found: Option<u64>,
    name: Option<String>,
}

impl Place {
    fn is_here(&self, depth: usize) -> bool {
        self.matched == depth && self.segments.len() == depth && depth > 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Object,
    /// With the index of the element that comes.
    Array(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value may come.
    Value,
    /// In an object: a key or the end.
    Key,
    InKey,
    AfterKey,
    /// After a value: a comma or an end.
    After,
    InText,
    /// In a text that is looked for.
    InName,
    InNumber,
    InWord,
    /// Not JSON, or deeper than is followed: nothing is read until the next document.
    Lost,
}

/// One JSON document, byte by byte.
#[derive(Debug)]
pub(super) struct Scanner {
    places: Vec<Place>,
    levels: Vec<Level>,
    state: State,
    escaped: bool,
    /// The key, the name or the number that is being read.
    text: Vec<u8>,
    /// Whether `text` is too long, or escaped, and so nothing that is looked for.
    is_other: bool,
}

impl Scanner {
    pub(super) fn new(numbers: &[Vec<String>], names: &[Vec<String>]) -> Self {
        let place = |segments: &Vec<String>, is_name| Place {
            segments: segments.clone(),
            matched: 0,
            is_name,
            found: None,
            name: None,
        };
        let numbers = numbers.iter().map(|segments| place(segments, false));
        let names = names.iter().map(|segments| place(segments, true));
        Self {
            places: numbers.chain(names).collect(),
            levels: Vec::new(),
            state: State::Value,
            escaped: false,
            text: Vec::with_capacity(KEY_BYTES_MAX),
            is_other: false,
        }
    }

    /// Begins the next document; what was found stays until it is found again.
    pub(super) fn reset(&mut self) {
        self.levels.clear();
        self.state = State::Value;
        self.escaped = false;
        self.begin_text();
        self.places.iter_mut().for_each(|place| place.matched = 0);
    }

    /// The last number found at each place of one.
    pub(super) fn numbers(&self) -> impl Iterator<Item = Option<u64>> + '_ {
        self.places.iter().filter(|place| !place.is_name).map(|place| place.found)
    }

    /// The last text at the first of the places of names that has one.
    pub(super) fn name(&self) -> Option<&str> {
        self.places.iter().filter(|place| place.is_name).find_map(|place| place.name.as_deref())
    }

    fn begin_text(&mut self) {
        self.text.clear();
        self.is_other = false;
    }

    pub(super) fn push(&mut self, byte: u8) {
        match self.state {
            State::InKey | State::InText | State::InName => self.string_byte(byte),
            State::InNumber => self.number_byte(byte),
            State::InWord if byte.is_ascii_lowercase() => {}
            State::InWord => {
                self.state = State::After;
                self.end_value();
                self.push(byte);
            }
            State::Lost => {}
            State::Value | State::Key | State::AfterKey | State::After => self.sign(byte),
        }
    }

    fn sign(&mut self, byte: u8) {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return;
        }
        match (self.state, byte) {
            (State::Key, b'"') => {
                self.begin_text();
                self.state = State::InKey;
            }
            (State::AfterKey, b':') => self.state = State::Value,
            (State::Value, b'"') => self.begin_string(),
            (State::Value, b'{') => self.open(Level::Object),
            (State::Value, b'[') => self.open(Level::Array(0)),
            (State::Value, b'-' | b'0'..=b'9') => {
                self.begin_text();
                self.text.push(byte);
                self.state = State::InNumber;
            }
            (State::Value, b'a'..=b'z') => self.state = State::InWord,
            (State::After, b',') => self.comma(),
            (State::Key | State::After, b'}') => self.close(Level::Object),
            (State::Value | State::After, b']') => self.close(Level::Array(0)),
            _ => self.state = State::Lost,
        }
    }

    fn open(&mut self, level: Level) {
        if self.levels.len() >= DEPTH_MAX {
            self.state = State::Lost;
            return;
        }
        self.levels.push(level);
        match level {
            Level::Object => self.state = State::Key,
            Level::Array(_) => {
                self.state = State::Value;
                self.enter("0");
            }
        }
    }

    fn close(&mut self, level: Level) {
        let same = |now: &Level| std::mem::discriminant(now) == std::mem::discriminant(&level);
        if !self.levels.last().is_some_and(same) {
            self.state = State::Lost;
            return;
        }
        let depth = self.levels.len();
        self.leave(depth);
        self.levels.pop();
        self.state = State::After;
        self.end_value();
    }

    fn comma(&mut self) {
        let depth = self.levels.len();
        self.leave(depth);
        match self.levels.last_mut() {
            None => self.state = State::Lost,
            Some(Level::Object) => self.state = State::Key,
            Some(Level::Array(index)) => {
                *index = index.saturating_add(1);
                let index = index.to_string();
                self.state = State::Value;
                self.enter(&index);
            }
        }
    }

    /// The value that comes stands under `segment` of the innermost level.
    fn enter(&mut self, segment: &str) {
        let depth = self.levels.len();
        for place in &mut self.places {
            if place.matched + 1 == depth
                && place.segments.get(place.matched).is_some_and(|want| want == segment)
            {
                place.matched = depth;
            }
        }
    }

    fn leave(&mut self, depth: usize) {
        for place in self.places.iter_mut().filter(|place| place.matched == depth) {
            place.matched = depth.saturating_sub(1);
        }
    }

    /// A value has ended: the outermost one is a document, and another may follow.
    fn end_value(&mut self) {
        if self.levels.is_empty() {
            self.reset();
        }
    }

    fn begin_string(&mut self) {
        let depth = self.levels.len();
        self.state = State::InText;
        if self.places.iter().any(|place| place.is_name && place.is_here(depth)) {
            self.begin_text();
            self.state = State::InName;
        }
    }

    fn string_byte(&mut self, byte: u8) {
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
            self.is_other = true;
        } else if byte == b'"' {
            self.end_string();
        } else if self.state == State::InKey {
            self.keep(byte, KEY_BYTES_MAX);
        } else if self.state == State::InName {
            self.keep(byte, NAME_BYTES_MAX);
        }
    }

    fn keep(&mut self, byte: u8, max: usize) {
        if self.text.len() < max {
            self.text.push(byte);
        } else {
            self.is_other = true;
        }
    }

    fn end_string(&mut self) {
        if matches!(self.state, State::InText | State::InName) {
            if self.state == State::InName {
                self.end_name();
            }
            self.state = State::After;
            self.end_value();
            return;
        }
        self.state = State::AfterKey;
        let text = std::mem::take(&mut self.text);
        if let (false, Ok(key)) = (self.is_other, std::str::from_utf8(&text)) {
            self.enter(key);
        }
        self.text = text;
    }

    /// A name that is too long, escaped or not UTF-8 is none, also where one stood before.
    fn end_name(&mut self) {
        let depth = self.levels.len();
        let name = std::str::from_utf8(&self.text).ok().filter(|_| !self.is_other);
        let here = |place: &&mut Place| place.is_name && place.is_here(depth);
        for place in self.places.iter_mut().filter(here) {
            place.name = name.map(str::to_owned);
        }
    }

    fn number_byte(&mut self, byte: u8) {
        if matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') {
            self.keep(byte, NUMBER_BYTES_MAX);
            return;
        }
        let depth = self.levels.len();
        let number = if self.is_other { None } else { count(&self.text) };
        if let Some(number) = number {
            let here = |place: &&mut Place| !place.is_name && place.is_here(depth);
            self.places.iter_mut().filter(here).for_each(|place| place.found = Some(number));
        }
        self.state = State::After;
        self.end_value();
        self.push(byte);
    }
}

/// A number as a count: never less than what it says, and none for what is below zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is checked to lie within"
)]
fn count(text: &[u8]) -> Option<u64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if number.is_nan() || number < 0.0 {
        return None;
    }
    Some(number.ceil().min(COUNT_MAX as f64) as u64)
}
