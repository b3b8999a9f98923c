//! Puts diagnostics where their authors can go: a place in a file where there is one, and always
//! the binding and the field.

use super::Compiler;
use crate::diagnostic::{Diagnostic, Place, Subject};
use crate::table::{Finding, RouteIndex};

impl Compiler<'_> {
    /// Adds a diagnostic about a binding, with the place of its field.
    pub(super) fn report(&mut self, mut diagnostic: Diagnostic) {
        if diagnostic.place.is_none()
            && let Some(subject) = &diagnostic.subject
        {
            diagnostic.place = self.located(subject).cloned();
        }
        self.found.push(diagnostic);
    }

    fn located(&self, subject: &Subject) -> Option<&Place> {
        let bindings = &self.snapshot.profile.bindings;
        let binding = bindings.iter().find(|binding| binding.id == subject.binding)?;
        let connection = self.snapshot.connections.get(&binding.connection);
        let target = connection.and_then(|c| self.snapshot.targets.get(&c.target));
        let field = subject.field.as_str();
        let elsewhere = if field.starts_with("target") {
            target.and_then(|target| target.places.find(field))
        } else if field.starts_with("connectionC") || field.starts_with("connectionM") {
            connection.and_then(|connection| connection.places.find(field))
        } else {
            None
        };
        elsewhere.or_else(|| binding.places.find(field))
    }

    /// A finding about routes or assertions, where these were written.
    pub(super) fn place(&self, finding: Finding) -> Diagnostic {
        let drafted = |index: RouteIndex| self.routes.get(usize::try_from(index.0).ok()?);
        let place = |index| drafted(index).and_then(|drafted| drafted.place.cloned());
        let mut diagnostic = finding.diagnostic;
        let sources = self.assertion_sources();
        let assertion = finding.assertion.and_then(|at| sources.get(at));
        let assertion = assertion.and_then(|assertion| assertion.place.clone());
        diagnostic.place = assertion.or_else(|| finding.route.and_then(place));
        let subject = finding.route.and_then(drafted).map(|drafted| drafted.subject.clone());
        diagnostic.subject = diagnostic.subject.or(subject);
        match finding.other {
            Some((route, message)) => diagnostic.related(message, place(route)),
            None => diagnostic,
        }
    }
}
