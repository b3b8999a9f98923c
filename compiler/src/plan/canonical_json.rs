//! RFC 8785 canonical JSON in one pass over what is serialized.
//!
//! Members are written where they stand and put in order when their object ends, so that a plan of
//! 100 000 routes is neither held a second time as a tree of values nor asked for its bytes one
//! write at a time, which `serde_json_canonicalizer` does. That crate stays the measure: numbers
//! that are no small integer are its business, and a test compares with it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// Integers up to here are written by JavaScript as they are by everybody.
const PLAIN_INTEGER_MAX: u64 = 1 << 53;

pub(super) fn to_string(value: &impl Serialize) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Canonical::default()))?;
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

/// Keeps everything until the outermost value has ended.
#[derive(Default)]
struct Canonical {
    out: Vec<u8>,
    scratch: Vec<u8>,
    objects: Vec<Open>,
    /// Arrays and objects that have begun.
    depth: usize,
    /// A key is being written.
    in_key: bool,
    /// Of objects that have ended: their members go on being useful.
    spare: Vec<Vec<Member>>,
}

struct Open {
    members: Vec<Member>,
    /// Where its first member begins.
    start: usize,
    /// Whether its keys are ASCII without escapes, so that their bytes say their order.
    plain: bool,
}

/// A key with its quotes, and the end of the value behind it.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    key_end: usize,
    end: usize,
}

impl Canonical {
    fn key_is_not_plain(&mut self) {
        if let Some(open) = self.objects.last_mut().filter(|_| self.in_key) {
            open.plain = false;
        }
    }

    fn push(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    /// A value that is no part of another is handed over at its end.
    fn end<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.depth == 0 {
            writer.write_all(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    fn scalar<W: ?Sized + Write>(&mut self, writer: &mut W, text: &[u8]) -> io::Result<()> {
        self.push(text);
        self.end(writer)
    }

    fn integer<W: ?Sized + Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        if value > PLAIN_INTEGER_MAX {
            return self.number(writer, &value);
        }
        write!(self.out, "{value}")?;
        self.end(writer)
    }

    fn signed<W: ?Sized + Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        match u64::try_from(value) {
            Ok(value) => self.integer(writer, value),
            Err(_) => self.number(writer, &value),
        }
    }

    fn number<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        value: &impl Serialize,
    ) -> io::Result<()> {
        let text = serde_json_canonicalizer::to_string(value).map_err(io::Error::other)?;
        self.scalar(writer, text.as_bytes())
    }

    /// Puts the members of the object that ends here in order.
    fn sort(&mut self) {
        let Some(Open { mut members, start, plain }) = self.objects.pop() else { return };
        let out = &self.out;
        // Without the quote at the end, which is less than some letters are.
        let key = |m: &Member| out.get(m.start..m.key_end.wrapping_sub(1)).unwrap_or_default();
        let compare = |a: &Member, b: &Member| match plain {
            true => key(a).cmp(key(b)),
            false => units(key(a)).cmp(&units(key(b))),
        };
        if !members.is_sorted_by(|a, b| compare(a, b).is_lt()) {
            members.sort_unstable_by(compare);
            self.scratch.clear();
            for member in &members {
                if !self.scratch.is_empty() {
                    self.scratch.push(b',');
                }
                self.scratch
                    .extend_from_slice(out.get(member.start..member.end).unwrap_or_default());
            }
            self.out.truncate(start);
            self.out.extend_from_slice(&self.scratch);
        }
        members.clear();
        self.spare.push(members);
    }
}

/// The UTF-16 code units of what a key means, which RFC 8785 sorts by; its last quote is missing.
fn units(key: &[u8]) -> Vec<u16> {
    let text: String = serde_json::from_slice(&[key, b"\""].concat()).unwrap_or_default();
    text.encode_utf16().collect()
}

/// Forwards every width of integer to the widest.
macro_rules! integers {
    ($($name:ident: $type:ty => $to:ident;)*) => {$(
        fn $name<W: ?Sized + Write>(&mut self, writer: &mut W, value: $type) -> io::Result<()> {
            self.$to(writer, value.into())
        }
    )*};
}

impl Formatter for Canonical {
    integers! {
        write_u8: u8 => integer; write_u16: u16 => integer;
        write_u32: u32 => integer; write_u64: u64 => integer;
        write_i8: i8 => signed; write_i16: i16 => signed;
        write_i32: i32 => signed; write_i64: i64 => signed;
    }

    fn write_u128<W: ?Sized + Write>(&mut self, writer: &mut W, value: u128) -> io::Result<()> {
        self.number(writer, &value)
    }

    fn write_i128<W: ?Sized + Write>(&mut self, writer: &mut W, value: i128) -> io::Result<()> {
        self.number(writer, &value)
    }

    fn write_f32<W: ?Sized + Write>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        self.number(writer, &value)
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        self.number(writer, &value)
    }

    fn write_number_str<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        value: &str,
    ) -> io::Result<()> {
        let number: f64 = value.parse().map_err(io::Error::other)?;
        self.number(writer, &number)
    }

    fn write_null<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.scalar(writer, b"null")
    }

    fn write_bool<W: ?Sized + Write>(&mut self, writer: &mut W, value: bool) -> io::Result<()> {
        self.scalar(writer, if value { b"true" } else { b"false" })
    }

    fn begin_string<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.push(b"\"");
        Ok(())
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.scalar(writer, b"\"")
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        _writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if self.in_key && !fragment.is_ascii() {
            self.key_is_not_plain();
        }
        self.push(fragment.as_bytes());
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        _writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.key_is_not_plain();
        let text: &[u8] = match escape {
            CharEscape::Quote => b"\\\"",
            CharEscape::ReverseSolidus => b"\\\\",
            CharEscape::Solidus => b"/",
            CharEscape::Backspace => b"\\b",
            CharEscape::FormFeed => b"\\f",
            CharEscape::LineFeed => b"\\n",
            CharEscape::CarriageReturn => b"\\r",
            CharEscape::Tab => b"\\t",
            CharEscape::AsciiControl(byte) => return write!(self.out, "\\u{byte:04x}"),
        };
        self.push(text);
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.push(b"[");
        Ok(())
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        self.scalar(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        _writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.push(if first { b"" } else { b"," });
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.push(b"{");
        let members = self.spare.pop().unwrap_or_default();
        self.objects.push(Open { members, start: self.out.len(), plain: true });
        Ok(())
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        _writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.push(if first { b"" } else { b"," });
        self.in_key = true;
        let start = self.out.len();
        if let Some(open) = self.objects.last_mut() {
            open.members.push(Member { start, key_end: start, end: start });
        }
        Ok(())
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.in_key = false;
        let key_end = self.out.len();
        if let Some(member) = self.objects.last_mut().and_then(|open| open.members.last_mut()) {
            member.key_end = key_end;
        }
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.push(b":");
        Ok(())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        let end = self.out.len();
        if let Some(member) = self.objects.last_mut().and_then(|open| open.members.last_mut()) {
            member.end = end;
        }
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        self.sort();
        self.scalar(writer, b"}")
    }

    fn write_raw_fragment<W: ?Sized + Write>(
        &mut self,
        _writer: &mut W,
        _fragment: &str,
    ) -> io::Result<()> {
        Err(io::Error::other("what is written already has no canonical form"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (0_u64..100).prop_map(Value::from),
            any::<f64>().prop_map(|number| json!(number)),
        ];
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number,
            any::<String>().prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 64, 8, |inner| {
            let key = prop_oneof![any::<String>(), "[a-c\"\\\\\u{e000}\u{10000}]{0,3}"];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((key, inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_written_is_what_the_reference_writes(value in value()) {
            let expected = serde_json_canonicalizer::to_string(&value).unwrap();
            prop_assert_eq!(to_string(&value).unwrap(), expected);
        }
    }

    #[test]
    fn members_stand_in_order_of_utf_16_code_units() {
        // The example of RFC 8785, section 3.2.3.
        let text = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        let written = to_string(&value).unwrap();
        let order: Vec<&str> = written.split(':').skip(1).filter_map(|v| v.get(..1)).collect();
        assert_eq!(order.concat(), "2467153", "{written}");
    }
}
