//! The commands of a push, read while its bytes arrive.

use std::collections::BTreeSet;

use sallygate_compiler::block::RefPattern;
use sallygate_compiler::content::git::{Change, Progress, Push, read_push, refusal};

/// Prefixes that are tried one by one.
const PREFIXES_MAX: usize = 400;

/// How bytes are cut does not matter, what stands behind the commands does not either, and what is
/// read can be written and read again.
pub fn push(bytes: &[u8]) {
    match read_push(bytes) {
        Ok(Progress::Incomplete) => {}
        Ok(Progress::Whole(push, length)) => {
            assert!(length <= bytes.len(), "more was read than there is");
            whole(&push, bytes.get(..length).unwrap_or_default());
        }
        Err(_) => {
            let more = [bytes, b"0000"].concat();
            assert!(read_push(&more).is_err(), "what cannot be read is mended by more");
        }
    }
}

fn whole(push: &Push, commands: &[u8]) {
    let again = Ok(Progress::Whole(push.clone(), commands.len()));
    assert_eq!(read_push(commands), again, "it depends on what follows");
    assert_eq!(read_push(&[commands, b"PACK"].concat()), again, "it depends on what follows");
    for end in (0..commands.len()).rev().take(PREFIXES_MAX) {
        let part = commands.get(..end).unwrap_or_default();
        assert_eq!(read_push(part), Ok(Progress::Incomplete), "it depends on how it is cut");
    }
    let names: BTreeSet<&str> = push.commands.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names.len(), push.commands.len(), "a reference is changed twice");
    for name in names {
        let any = RefPattern::parse("refs/**").is_some_and(|any| any.matches(name));
        assert!(any, "`{name}` is not under `refs/`");
        let own = RefPattern::parse(name).is_some_and(|own| own.matches(name));
        assert!(own, "`{name}` cannot be named in a policy");
    }
    if let Ok(Progress::Whole(read, _)) = read_push(&written(push)) {
        assert_eq!(read.commands, push.commands, "it is not read back as it is written");
    } else {
        assert!(push.commands.is_empty(), "what was read cannot be written");
    }
    if let Some(answer) = refusal(push, "no", "not this one") {
        assert_lines(&answer);
    }
}

fn written(push: &Push) -> Vec<u8> {
    let (none, some) = ("0".repeat(40), "1".repeat(40));
    let mut bytes = Vec::new();
    for command in &push.commands {
        let (old, new) = match command.change {
            Change::Create => (&none, &some),
            Change::Move => (&some, &some),
            Change::Delete => (&some, &none),
        };
        let line = format!("{old} {new} {}\n", command.name);
        bytes.extend(format!("{:04x}{line}", line.len() + 4).into_bytes());
    }
    bytes.extend(b"0000");
    bytes
}

/// Nothing but whole pkt-lines.
pub(crate) fn assert_lines(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let digits = bytes.get(..4).and_then(|digits| str::from_utf8(digits).ok());
        let length = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let length = length.map(|length| length.max(4)).filter(|length| *length <= bytes.len());
        assert!(length.is_some(), "an answer that is not made of pkt-lines");
        bytes = bytes.get(length.unwrap_or(bytes.len())..).unwrap_or_default();
    }
}
