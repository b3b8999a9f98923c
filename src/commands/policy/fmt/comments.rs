//! What stands between values: comments are kept, blank lines are at most one.

/// The text before a key or a header: its comments, each on a line of its own.
pub(super) fn before(raw: &str, first: First) -> String {
    let lines: Vec<&str> = raw.split('\n').map(str::trim).collect();
    // The last piece is the indentation of what follows, not a line.
    let lines = lines.split_last().map_or(&[][..], |(_, lines)| lines);
    let mut text = String::new();
    let mut blank = match first {
        First::OfFile | First::InTable => false,
        First::Header => true,
        First::No => lines.first().is_some_and(|line| line.is_empty()),
    };
    let mut any = false;
    for line in lines {
        if line.is_empty() {
            blank |= any;
            continue;
        }
        push_blank(&mut text, &mut blank);
        text.push_str(line);
        text.push('\n');
        any = true;
    }
    // A blank line between a comment and what follows it says that they are not about each other.
    push_blank(&mut text, &mut blank);
    text
}

/// Where something stands, as far as blank lines before it go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// At the top of the file: never a blank line.
    OfFile,
    /// Directly below a header: never a blank line.
    InTable,
    /// A header: always a blank line.
    Header,
    /// Anything else: a blank line where there was one.
    No,
}

fn push_blank(text: &mut String, blank: &mut bool) {
    if std::mem::take(blank) {
        text.push('\n');
    }
}

/// A comment behind a value or a header, on the same line.
pub(super) fn behind(raw: &str) -> String {
    match raw.find('#').and_then(|at| raw.get(at..)) {
        Some(comment) => format!("  {}", comment.trim_end()),
        None => String::new(),
    }
}

/// What stands before an element of a list that is written one below the other.
pub(super) fn in_list(raw: &str, indent: &str) -> String {
    let mut text = String::new();
    for (line, at) in raw.split('\n').map(str::trim).zip(0usize..) {
        if !line.starts_with('#') {
            continue;
        }
        // A comment on the line of the element before it stays there.
        if at == 0 {
            text.push(' ');
        } else {
            text.push('\n');
            text.push_str(indent);
        }
        text.push_str(line);
    }
    text
}
