//! Reads numbers out of a JSON answer while it passes, without keeping it.
//!
//! Bytes go in as they come, in pieces of any size; a few hundred bytes of state remember where in
//! the document they are. What is not JSON is let go by: it has no numbers, and the answer is none
//! of ours to judge.

/// Nesting beyond this is not followed: no provider's usage lies there.
const DEPTH_MAX: usize = 256;
/// A longer number is not a count of anything.
const NUMBER_BYTES_MAX: usize = 24;
/// No segment of a pointer is longer, so no longer key is one.
const KEY_BYTES_MAX: usize = 64;
/// Counts above this are as good as infinite, and their price still fits.
const COUNT_MAX: u64 = 1_000_000_000_000;

/// How the answer holds its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One document, or one after the other.
    Json,
    /// `text/event-stream`: one document in the data of each event.
    Events,
}

/// Finds the last number at each of a list of places.
#[derive(Debug)]
pub(crate) struct Reader {
    form: Form,
    line: Line,
    json: Scanner,
}

/// Where in a line of an event stream the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes of `data:` have been seen.
    Name(usize),
    Data,
    Other,
    /// A line has ended in `\r`: a `\n` belongs to it.
    Return,
}

const DATA: &[u8] = b"data:";

impl Reader {
    /// A reader of the numbers at `pointers`, each a list of segments.
    pub(crate) fn new(form: Form, pointers: &[Vec<String>]) -> Self {
        Self { form, line: Line::Name(0), json: Scanner::new(pointers) }
    }

    /// Takes the next bytes of the answer.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self.form {
            Form::Json => bytes.iter().for_each(|byte| self.json.push(*byte)),
            Form::Events => bytes.iter().for_each(|byte| self.event_byte(*byte)),
        }
    }

    /// Takes the end of the answer: a number at the very end ends with it.
    pub(crate) fn finish(&mut self) {
        self.json.push(b'\n');
    }

    /// The last number found at each place.
    pub(crate) fn found(&self) -> impl Iterator<Item = Option<u64>> + '_ {
        self.json.places.iter().map(|place| place.found)
    }

    /// WHATWG HTML §9.2.5: lines end in CR, LF or both, an empty line ends an event.
    fn event_byte(&mut self, byte: u8) {
        let is_end = byte == b'\n' || byte == b'\r';
        if self.line == Line::Return {
            self.line = Line::Name(0);
            if byte == b'\n' {
                return;
            }
        }
        if is_end {
            if self.line == Line::Name(0) {
                self.json.reset();
            } else if self.line == Line::Data {
                self.json.push(b'\n');
            }
            self.line = if byte == b'\r' { Line::Return } else { Line::Name(0) };
            return;
        }
        self.line = match self.line {
            Line::Name(seen) if DATA.get(seen) == Some(&byte) => {
                if seen + 1 == DATA.len() {
                    Line::Data
                } else {
                    Line::Name(seen + 1)
                }
            }
            Line::Name(_) | Line::Other | Line::Return => Line::Other,
            Line::Data => {
                self.json.push(byte);
                Line::Data
            }
        };
    }
}

/// A place that is looked for.
#[derive(Debug)]
struct Place {
    segments: Vec<String>,
    /// How many of its segments lead to where the scanner is.
    matched: usize,
    found: Option<u64>,
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
    InNumber,
    InWord,
    /// Not JSON, or deeper than is followed: nothing is read until the next document.
    Lost,
}

/// One JSON document, byte by byte.
#[derive(Debug)]
struct Scanner {
    places: Vec<Place>,
    levels: Vec<Level>,
    state: State,
    escaped: bool,
    /// The key or the number that is being read.
    text: Vec<u8>,
    /// Whether `text` is too long, or escaped, and so nothing that is looked for.
    is_other: bool,
}

impl Scanner {
    fn new(pointers: &[Vec<String>]) -> Self {
        let place =
            |segments: &Vec<String>| Place { segments: segments.clone(), matched: 0, found: None };
        Self {
            places: pointers.iter().map(place).collect(),
            levels: Vec::new(),
            state: State::Value,
            escaped: false,
            text: Vec::with_capacity(KEY_BYTES_MAX),
            is_other: false,
        }
    }

    /// Begins the next document; what was found stays until it is found again.
    fn reset(&mut self) {
        self.levels.clear();
        self.state = State::Value;
        self.escaped = false;
        self.begin_text();
        self.places.iter_mut().for_each(|place| place.matched = 0);
    }

    fn begin_text(&mut self) {
        self.text.clear();
        self.is_other = false;
    }

    fn push(&mut self, byte: u8) {
        match self.state {
            State::InKey | State::InText => self.string_byte(byte),
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
            (State::Value, b'"') => self.state = State::InText,
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
        if self.state == State::InText {
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

    fn number_byte(&mut self, byte: u8) {
        if matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') {
            self.keep(byte, NUMBER_BYTES_MAX);
            return;
        }
        let depth = self.levels.len();
        let number = if self.is_other { None } else { count(&self.text) };
        if let Some(number) = number {
            let here = |place: &&mut Place| {
                place.matched == depth && place.segments.len() == depth && depth > 0
            };
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(form: Form, pointers: &[&[&str]], pieces: &[&[u8]]) -> Vec<Option<u64>> {
        let owned = |p: &&[&str]| p.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let pointers: Vec<_> = pointers.iter().map(owned).collect();
        let mut reader = Reader::new(form, &pointers);
        pieces.iter().for_each(|piece| reader.push(piece));
        reader.finish();
        reader.found().collect()
    }

    #[test]
    fn a_number_is_found_only_at_its_place() {
        let at: &[&str] = &["usage", "total"];
        let rows: &[(&str, Option<u64>)] = &[
            (r#"{"usage":{"total":12}}"#, Some(12)),
            (r#"{"a":[{"total":1}],"usage":{"x":{"total":3},"total":4}}"#, Some(4)),
            (r#"{"usage" : { "total" : 1.2e1 } }"#, Some(12)),
            (r#"{"usage":{"total":1.5}}"#, Some(2)),
            (r#"{"usage":{"total":1},"usage":{"total":2}}"#, Some(2)),
            (r#"{"usage":{"total":9}} {"usage":{"total":5}}"#, Some(5)),
            (r#"{"text":"\"usage\":{\"total\":7}","usage":{"total":8}}"#, Some(8)),
            (r#"{"usage":{"total":"12"}}"#, None),
            (r#"{"usage":{"total":[12]}}"#, None),
            (r#"{"usage":{"total":-1}}"#, None),
            (r#"{"usage":{"totals":1}}"#, None),
            (r#"{"x":{"usage":{"total":1}}}"#, None),
            (r#"[{"usage":{"total":1}}]"#, None),
            (r#"{"usage":[{"total":1}]}"#, None),
            (r#"{"usage":]{"total":1}}"#, None),
            ("<html>usage total 12</html>", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(read(Form::Json, &[at], &[text.as_bytes()]), [*expected], "{text}");
        }
        assert_eq!(read(Form::Json, &[&["a", "1"]], &[br#"{"a":[5,6,7]}"#]), [Some(6)]);
    }

    #[test]
    fn of_events_the_last_one_that_tells_it_counts() {
        let stream = b"event: x\r\ndata: {\"u\":{\"n\":1}}\r\n\r\n: {\"u\":{\"n\":9}}\n\
            data: {\"u\":\ndata: {\"n\":2}}\n\nid: 4\ndata: {\"u\":{\"n\": broken\n\n\
            data: {\"v\":3}\n\ndata: [DONE]\n\n";
        assert_eq!(read(Form::Events, &[&["u", "n"]], &[stream]), [Some(2)]);
        for cut in 0..stream.len() {
            let (a, b) = stream.split_at(cut);
            assert_eq!(read(Form::Events, &[&["u", "n"]], &[a, b]), [Some(2)], "cut at {cut}");
        }
    }

    /// Answers in the shape that <https://docs.anthropic.com/en/api/messages> and
    /// <https://docs.anthropic.com/en/docs/build-with-claude/streaming> document: a stream says in
    /// its first event what went in, and in its last what came out.
    #[test]
    fn the_tokens_of_a_message_are_found_streamed_and_not() {
        let at: &[&[&str]] = &[
            &["usage", "input_tokens"],
            &["message", "usage", "input_tokens"],
            &["usage", "output_tokens"],
        ];
        let whole = br#"{"id":"msg_1","type":"message","role":"assistant",
            "content":[{"type":"text","text":"\"usage\":{\"input_tokens\":9}"}],
            "stop_reason":"end_turn","usage":{"input_tokens":2095,"output_tokens":503}}"#;
        assert_eq!(read(Form::Json, at, &[whole]), [Some(2095), None, Some(503)]);
        let stream = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\
            \"content\":[],\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n\
            event: ping\ndata: {\"type\": \"ping\"}\n\n\
            event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
            \"delta\":{\"type\":\"text_delta\",\"text\":\"{\\\"usage\\\":1}\"}}\n\n\
            event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\
            \"usage\":{\"output_tokens\":7}}\n\n\
            event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":15}}\n\n\
            event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
        for size in [1, 7, stream.len()] {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            assert_eq!(read(Form::Events, at, &pieces), [None, Some(25), Some(15)], "{size}");
        }
        let broken_off = stream.split_at(stream.len() / 2).0;
        assert_eq!(read(Form::Events, at, &[broken_off]), [None, Some(25), None]);
    }

    #[test]
    fn what_is_nested_too_deep_is_let_go_by() {
        let deep = "[".repeat(100_000);
        assert_eq!(read(Form::Json, &[&["a"]], &[deep.as_bytes(), b"{\"a\":1}"]), [None]);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0u64..1_000_000).prop_map(Value::from),
            "[a-c\"\\\\{}:, ]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|m| json!(m)),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_finds_what_serde_json_finds_however_the_bytes_come(
            document in value(),
            path in prop::collection::vec("[a-c0-2]", 1..4),
            pretty in any::<bool>(),
            size in 1usize..9,
        ) {
            let text = if pretty {
                serde_json::to_string_pretty(&document).unwrap()
            } else {
                document.to_string()
            };
            let expected = document.pointer(&format!("/{}", path.join("/"))).and_then(Value::as_u64);
            let mut reader = Reader::new(Form::Json, &[path]);
            text.as_bytes().chunks(size).for_each(|piece| reader.push(piece));
            reader.finish();
            prop_assert_eq!(reader.found().collect::<Vec<_>>(), [expected]);
        }

        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>, events: bool) {
            let form = if events { Form::Events } else { Form::Json };
            let _ = read(form, &[&["a", "b"]], &[&bytes]);
        }
    }
}
