//! Diagnostics as workflow commands of GitHub Actions, which shows them beside the line.

use super::Diagnostic;

/// `::error file=…,line=…,col=…,title=…::message`
pub(super) fn command(d: &Diagnostic) -> String {
    let place = d.place.as_ref().map_or_else(String::new, |p| {
        format!("file={},line={},col={},", property(&p.file), p.line, p.column)
    });
    let mut text = match (&d.place, &d.subject) {
        (None, Some(subject)) => format!("{subject}: {}", d.message),
        (Some(_) | None, _) => d.message.clone(),
    };
    let witness = d.witness.iter().map(|witness| format!("\nsuch a request: {witness}"));
    let related = d.related.iter().map(|related| match &related.place {
        Some(place) => format!("\n{}: {place}", related.message),
        None => format!("\n{}", related.message),
    });
    let help = d.help.iter().map(|help| format!("\nhelp: {help}"));
    text.extend(witness.chain(related).chain(help));
    format!("::{} {place}title={}::{}", d.severity.as_str(), property(&d.code), data(&text))
}

/// The escapes of the part after `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The escapes of a property, which a `,` or `:` would end.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;

    #[test]
    fn nothing_in_a_diagnostic_ends_its_command_early() {
        for (file, message, expected) in [
            ("a.toml", "no", "::error file=a.toml,line=2,col=3,title=C::no"),
            ("a,b:c.toml", "no", "::error file=a%2Cb%3Ac.toml,line=2,col=3,title=C::no"),
            ("a.toml", "x\n::error::y", "::error file=a.toml,line=2,col=3,title=C::x%0A::error::y"),
            ("a%0A.toml", "100%\r", "::error file=a%250A.toml,line=2,col=3,title=C::100%25%0D"),
        ] {
            let place =
                Place { file: file.into(), span: 0..1, line: 2, column: 3, field: "f".into() };
            let diagnostic = Diagnostic::error("C", message).at(place);
            assert_eq!(command(&diagnostic), expected, "{file} {message}");
        }
    }

    #[test]
    fn a_diagnostic_without_a_file_names_its_binding_and_everything_else_it_knows() {
        let diagnostic = Diagnostic::warning("C", "no").about("ibd_x", "bindingConfig.a");
        let diagnostic = diagnostic.witness("GET https://a.test/").related("the first", None);
        assert_eq!(
            command(&diagnostic.help("change it")),
            "::warning title=C::binding `ibd_x`, `bindingConfig.a`: no%0Asuch a request: GET \
             https://a.test/%0Athe first%0Ahelp: change it"
        );
    }
}
