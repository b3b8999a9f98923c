//! Diagnostics for people: the line that is meant, underlined, with a help below it.

use std::collections::HashMap;
use std::fmt::Write;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use sallygate_compiler::diagnostic::{Diagnostic, Diagnostics, Severity};

use crate::{environment, print};

const WIDTH: usize = 100;

/// For whom diagnostics are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// The lines that are meant, with help
    #[default]
    Human,
    /// One JSON array
    Json,
    /// Annotations of a GitHub workflow
    Github,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// Lists them on the output.
pub(crate) fn tell(found: &Diagnostics, format: Format) {
    match format {
        Format::Human if found.is_empty() => {}
        Format::Human => print::raw(render(found)),
        Format::Json => print::data(found.to_json()),
        Format::Github => print::raw(found.to_github()),
        Format::Sarif => print::data(found.to_sarif()),
    }
}

/// Every diagnostic with its source, and a last line that counts them.
pub(crate) fn render(diagnostics: &Diagnostics) -> String {
    let mut files = Files::default();
    let handler = handler();
    let mut text = String::new();
    for diagnostic in diagnostics.iter() {
        let report = Report { diagnostic, source: files.source(diagnostic) };
        if handler.render_report(&mut text, &report).is_err() {
            // A source that changed meanwhile has other lines: the plain form always works.
            let _ = writeln!(text, "{diagnostic}");
        }
    }
    text + &summary(diagnostics) + "\n"
}

fn handler() -> GraphicalReportHandler {
    let theme = match environment::wants_color() {
        true => GraphicalTheme::unicode(),
        false => GraphicalTheme::unicode_nocolor(),
    };
    GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false)
}

/// `2 errors, 1 warning`.
pub(crate) fn summary(diagnostics: &Diagnostics) -> String {
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match (errors, warnings) {
        (_, 0) => counted(errors, "error"),
        (0, _) => counted(warnings, "warning"),
        _ => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

/// `1 route`, `2 routes`.
pub(crate) fn counted(count: usize, word: &str) -> String {
    match (count, word.ends_with('x')) {
        (1, _) => format!("1 {word}"),
        (n, true) => format!("{n} {word}es"),
        (n, false) => format!("{n} {word}s"),
    }
}

/// The files that diagnostics point into, each read once.
#[derive(Default)]
struct Files(HashMap<String, Option<NamedSource<String>>>);

impl Files {
    fn source(&mut self, diagnostic: &Diagnostic) -> Option<NamedSource<String>> {
        let name = &diagnostic.place.as_ref()?.file;
        let read = || {
            let text = std::fs::read_to_string(name).ok()?;
            Some(NamedSource::new(name, text))
        };
        self.0.entry(name.clone()).or_insert_with(read).clone()
    }
}

struct Report<'d> {
    diagnostic: &'d Diagnostic,
    source: Option<NamedSource<String>>,
}

impl std::fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Report").field(self.diagnostic).finish()
    }
}

impl std::fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(&self.diagnostic.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        let subject = self.diagnostic.subject.iter().filter(|_| self.diagnostic.place.is_none());
        let subject = subject.map(|subject| format!("about {subject}"));
        let witness = self.diagnostic.witness.iter().map(|w| format!("such a request: {w}"));
        let elsewhere = self.diagnostic.related.iter().filter(|r| !self.is_here(r.place.as_ref()));
        let elsewhere = elsewhere.map(|related| match &related.place {
            Some(place) => format!("{}: {place}", related.message),
            None => related.message.clone(),
        });
        let help = self.diagnostic.help.iter().cloned();
        let lines: Vec<String> = help.chain(subject).chain(witness).chain(elsewhere).collect();
        (!lines.is_empty()).then(|| Box::new(lines.join("\n")) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.diagnostic.place.as_ref()?;
        let field = (!place.field.is_empty()).then(|| place.field.clone());
        let first = LabeledSpan::new_primary_with_span(field, place.span.clone());
        let here = self.diagnostic.related.iter().filter_map(|related| {
            let place = related.place.as_ref().filter(|place| self.is_here(Some(place)))?;
            Some(LabeledSpan::new_with_span(Some(related.message.clone()), place.span.clone()))
        });
        Some(Box::new(std::iter::once(first).chain(here)))
    }
}

impl Report<'_> {
    fn is_here(&self, place: Option<&sallygate_compiler::diagnostic::Place>) -> bool {
        let own = self.diagnostic.place.as_ref().map(|place| &place.file);
        place.is_some_and(|place| own == Some(&place.file))
    }
}
