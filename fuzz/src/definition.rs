//! The loader of definitions.

use sallygate_definitions::Registry;
use sallygate_definitions::source::SourceFile;

use crate::check_places;

/// A definition file is read whole or refused with at least one reason.
pub fn definition(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (registry, found) = Registry::load(&[SourceFile::new("fuzz.toml", text)]);
    check_places(&found, "fuzz.toml", text);
    assert_eq!(registry.keys().count(), usize::from(!found.has_errors()), "read in part");
}
