//! `docs/INTEGRATIONS.md`.

use std::fmt::Write;

use super::{Entry, word};

const HEAD: &str = "<!-- Made by `sallygate internal reference`; do not edit. -->\n\n\
    # Integration contracts\n\n\
    Every surface that crosses a boundary of Sallygate or of a provider. `planned` ones do not exist \
    yet. The same is told by `sallygate contracts` and served at `/contractz`.\n";

/// The page about these entries.
pub fn page(entries: &[Entry]) -> String {
    let mut text = HEAD.to_owned();
    let mut source = "";
    for entry in entries {
        if entry.source != source {
            source = &entry.source;
            let title = if source == super::OWN { "Sallygate".to_owned() } else { code(source) };
            line(&mut text, &format!("\n## {title}"));
        }
        section(&mut text, entry);
    }
    text
}

fn section(text: &mut String, entry: &Entry) {
    let it = &entry.contract;
    line(text, &format!("\n### `{}`\n", entry.id));
    let mut say = |what: &str, how: String| line(text, &format!("- {what}: {how}"));
    say("surface", code(&it.surface));
    say("what", format!("{}, {}, {}", word(&it.direction), word(&it.r#type), word(&it.stability)));
    say("auth", it.auth.clone());
    say("versioning", it.versioning.clone());
    say("owner", it.owner.clone());
    if let Some(mode) = &it.mode {
        say("mode", word(mode));
    }
    for (what, how) in [("trigger", &it.trigger), ("runtime readback", &it.runtime_readback)] {
        if let Some(how) = how {
            say(what, how.clone());
        }
    }
    for (what, items) in [
        ("secret transport", &it.secret_transport),
        ("protected routes", &it.protected_routes),
        ("tool families", &it.tool_families),
    ] {
        if !items.is_empty() {
            say(what, items.iter().map(|item| code(item)).collect::<Vec<_>>().join(", "));
        }
    }
    if let Some(path) = &it.verify_path {
        say("proved by", code(path));
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

fn code(text: &str) -> String {
    format!("`{text}`")
}
