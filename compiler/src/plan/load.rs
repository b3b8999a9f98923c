//! Plans as bytes: read strictly, written canonically, named by their digest.

use sha2::{Digest, Sha256};

use super::{PLAN_BYTES_MAX, Plan, SCHEMA_VERSION, canonical_json};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};

impl Plan {
    /// Reads a plan strictly. A plan without a digest gets one; one with another digest than its
    /// content has is refused.
    pub fn from_json(name: &str, bytes: &[u8]) -> Result<Plan, Diagnostics> {
        if bytes.len() > PLAN_BYTES_MAX {
            let message = format!("`{name}` has more than {PLAN_BYTES_MAX} bytes");
            return Err(Diagnostic::error("LIMIT_EXCEEDED", message).into());
        }
        let mut plan: Plan =
            serde_json::from_slice(bytes).map_err(|error| invalid_json(name, bytes, &error))?;
        if plan.schema_version != SCHEMA_VERSION {
            let message = format!(
                "`{name}` has schema version {}, this build reads {SCHEMA_VERSION}",
                plan.schema_version
            );
            return Err(Diagnostic::error("INVALID_PLAN", message).into());
        }
        if plan.version > crate::table::INTEGER_MAX {
            let message = format!("`{name}` has version {}, too large", plan.version);
            return Err(Diagnostic::error("INVALID_PLAN", message).into());
        }
        let mut found = crate::profile::check(&plan);
        found.append(super::placeholder::check(&plan));
        if found.has_errors() {
            return Err(found);
        }
        let given = std::mem::take(&mut plan.digest);
        plan.seal();
        if !given.is_empty() && given != plan.digest {
            let message = format!("`{name}` says digest `{given}` and has `{}`", plan.digest);
            return Err(Diagnostic::error("DIGEST_MISMATCH", message).into());
        }
        Ok(plan)
    }

    /// RFC 8785 canonical JSON, with the digest as it is.
    pub fn to_canonical_json(&self) -> String {
        // INVARIANT: a plan holds strings, finite numbers, lists and maps with string keys, so
        // there is nothing in it that has no canonical form.
        canonical_json::to_string(self).unwrap_or_default()
    }

    /// Computes the digest and writes it into the plan.
    pub fn seal(&mut self) {
        // An empty digest is not written.
        self.digest.clear();
        let hash = Sha256::digest(self.to_canonical_json().as_bytes());
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        self.digest = format!("sha256:{hex}");
    }
}

fn invalid_json(name: &str, bytes: &[u8], error: &serde_json::Error) -> Diagnostics {
    // The message of serde_json ends in the place, which is given as a place here.
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    let (line, column) = (error.line().max(1), error.column().max(1));
    let before = bytes.split_inclusive(|byte| *byte == b'\n').take(line - 1);
    let at = before.map(<[u8]>::len).sum::<usize>() + column - 1;
    let (file, field) = (name.to_owned(), String::new());
    let place = Place { file, span: at..at, line, column, field };
    Diagnostic::error("INVALID_PLAN", message).at(place).into()
}
