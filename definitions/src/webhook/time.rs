//! Times as providers write them.

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::contract::webhook::TimeUnit;

/// A larger number of seconds is a number of milliseconds: 100 000 000 000 s is the year 5138.
const SECONDS_MAX: i64 = 100_000_000_000;

/// A timestamp of plain digits, in milliseconds.
pub(super) fn stamp(digits: &[u8], unit: TimeUnit) -> Option<i64> {
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        TimeUnit::Seconds => number.checked_mul(1000),
        TimeUnit::Milliseconds => Some(number),
    }
}

/// A time in a payload as RFC 3339 in UTC: text of RFC 3339, GitLab's `2017-09-15 16:50:55 UTC`, or
/// a number of seconds or milliseconds.
pub(super) fn written(value: &Value) -> Option<String> {
    let time = match value {
        Value::String(text) => text_time(text)?,
        Value::Number(number) => number_time(number.as_i64()?)?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let time = time.checked_to_offset(time::UtcOffset::UTC)?;
    time.format(&Rfc3339).ok()
}

fn text_time(text: &str) -> Option<OffsetDateTime> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(time);
    }
    let plain = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let time = PrimitiveDateTime::parse(text.strip_suffix(" UTC")?, plain).ok()?;
    Some(time.assume_utc())
}

fn number_time(number: i64) -> Option<OffsetDateTime> {
    let millis =
        if number.checked_abs()? < SECONDS_MAX { number.checked_mul(1000)? } else { number };
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_is_written_in_one_way() {
        for (value, expected) in [
            (json!("2019-05-15T15:20:30-07:00"), Some("2019-05-15T22:20:30Z")),
            (json!("2024-01-02T03:04:05.678Z"), Some("2024-01-02T03:04:05.678Z")),
            (json!("2017-09-15 16:50:55 UTC"), Some("2017-09-15T16:50:55Z")),
            (json!(1_531_420_618), Some("2018-07-12T18:36:58Z")),
            (json!(1_531_420_618_500_i64), Some("2018-07-12T18:36:58.5Z")),
            (json!("yesterday"), None),
            (json!("2019-05-15"), None),
            (json!(null), None),
            (json!(true), None),
            (json!(1.5), None),
            (json!(i64::MIN), None),
            (json!(i64::MAX), None),
            (json!({}), None),
        ] {
            assert_eq!(written(&value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn a_timestamp_is_plain_digits() {
        for (text, expected) in [
            ("1614265330", Some(1_614_265_330_000)),
            ("0", Some(0)),
            ("", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("1.0", None),
            ("1e9", None),
            ("9999999999999999", None),
        ] {
            assert_eq!(stamp(text.as_bytes(), TimeUnit::Seconds), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(text in "\\PC{0,40}", number: i64) {
            let _ = written(&json!(text));
            let _ = written(&json!(number));
            let _ = stamp(text.as_bytes(), TimeUnit::Seconds);
        }
    }
}
