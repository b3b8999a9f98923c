//! How large a definition may be. What is larger is refused with a code of its own.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::SourceFile;

/// Bytes of a file.
pub const DEFINITION_BYTES_MAX: usize = 256 << 10;
/// Tables and arrays in one another.
pub const DEFINITION_DEPTH_MAX: usize = 24;
/// Items of one array, and keys of one table.
pub const ARRAY_ITEMS_MAX: usize = 1024;
/// Schemas in one another, in a schema that the file carries.
pub const SCHEMA_DEPTH_MAX: usize = 6;
/// Properties of one such schema, all together.
pub const SCHEMA_PROPERTIES_MAX: usize = 128;

pub(super) fn bytes(file: &SourceFile) -> Result<(), Diagnostics> {
    let bytes = file.text.len();
    if bytes <= DEFINITION_BYTES_MAX {
        return Ok(());
    }
    let message = format!("`{}` has {bytes} bytes, more than {DEFINITION_BYTES_MAX}", file.name);
    Err(Diagnostic::error("DEFINITION_TOO_LARGE", message).into())
}
