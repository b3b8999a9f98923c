//! Reads numbers and names out of a JSON answer while it passes, without keeping it.
//!
//! Bytes go in as they come, in pieces of any size; a few hundred bytes of state remember where in
//! the document they are. What is not JSON is let go by: it has no numbers, and the answer is none
//! of ours to judge.

use super::scan::Scanner;

/// How the answer holds its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One document, or one after the other.
    Json,
    /// `text/event-stream`: one document in the data of each event.
    Events,
}

/// Finds the last number at each of a list of places, and the last text at each of another.
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
    /// A reader of the numbers at `numbers` and the texts at `names`, each a list of segments.
    pub(crate) fn new(form: Form, numbers: &[Vec<String>], names: &[Vec<String>]) -> Self {
        Self { form, line: Line::Name(0), json: Scanner::new(numbers, names) }
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
        self.json.numbers()
    }

    /// The last text at the first of the places of names that has one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.json.name()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(form: Form, pointers: &[&[&str]], pieces: &[&[u8]]) -> Vec<Option<u64>> {
        let owned = |p: &&[&str]| p.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let pointers: Vec<_> = pointers.iter().map(owned).collect();
        let mut reader = Reader::new(form, &pointers, &[]);
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
    fn a_name_is_found_only_at_its_place_and_only_when_it_can_be_one() {
        let long = format!(r#"{{"model":"a","x":1}} {{"model":"{}"}}"#, "x".repeat(129));
        let fits = format!(r#"{{"model":"{}"}}"#, "x".repeat(128));
        let longest = "x".repeat(128);
        let rows: &[(&str, Option<&str>)] = &[
            (r#"{"model":"m-1"}"#, Some("m-1")),
            (r#"{"model":"a","model":"b"}"#, Some("b")),
            (r#"{"message":{"model":"deep"}}"#, Some("deep")),
            (r#"{"message":{"model":"deep"},"model":"m"}"#, Some("m")),
            (r#"{"text":"\"model\":\"x\"","model":"m"}"#, Some("m")),
            (&fits, Some(&longest)),
            (r#"{"model":"a\u0062"}"#, None),
            (r#"{"model":12}"#, None),
            (r#"{"model":null}"#, None),
            (r#"{"model":["m"]}"#, None),
            (r#"{"model":{"model":"m"}}"#, None),
            (r#"{"choices":[{"model":"m"}]}"#, None),
            (r#"{"x":{"message":{"model":"m"}}}"#, None),
            (r#"["model","m"]"#, None),
            (r#"{"model":"m"#, None),
            ("\"model\"", None),
            (&long, None),
        ];
        let places: [Vec<String>; 2] =
            [vec!["model".into()], vec!["message".into(), "model".into()]];
        for (text, expected) in rows {
            for size in [1, 3, text.len()] {
                let mut reader = Reader::new(Form::Json, &[], &places);
                text.as_bytes().chunks(size).for_each(|piece| reader.push(piece));
                reader.finish();
                assert_eq!(reader.name(), *expected, "{text} in pieces of {size}");
            }
        }
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
            let mut reader = Reader::new(Form::Json, &[path], &[]);
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
