//! Parameters of a query or a form, read strictly.

/// A name that stands there twice, or an escape that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclear;

/// The one value of a parameter.
pub(super) fn value(text: &str, name: &str) -> Result<Option<String>, Unclear> {
    let mut found = None;
    for pair in text.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decoded(key)? != name {
            continue;
        }
        if found.is_some() {
            return Err(Unclear);
        }
        found = Some(decoded(value)?);
    }
    Ok(found)
}

fn decoded(text: &str) -> Result<String, Unclear> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let byte = digit().zip(digit()).map(|(high, low)| high << 4 | low);
                byte.and_then(|byte| u8::try_from(byte).ok()).ok_or(Unclear)?
            }
            other => other,
        });
    }
    String::from_utf8(out).map_err(|_| Unclear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_there_once_and_clearly() {
        for (text, expected) in [
            ("secret=a%20b+c", Ok(Some("a b c"))),
            ("x=1&s%65cret=é", Ok(Some("é"))),
            ("secret", Ok(Some(""))),
            ("", Ok(None)),
            ("Secret=a", Ok(None)),
            ("secret=a&secret=a", Err(Unclear)),
            ("secret=a&s%65cret=b", Err(Unclear)),
            ("secret=%", Err(Unclear)),
            ("secret=%zz", Err(Unclear)),
            ("secret=%ff", Err(Unclear)),
        ] {
            let expected = expected.map(|found| found.map(str::to_owned));
            assert_eq!(value(text, "secret"), expected, "{text}");
        }
    }
}
