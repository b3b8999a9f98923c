//! What this proxy was told, on disk: it serves that when it starts and nobody answers.

use std::path::{Path, PathBuf};

use crate::feed::Held;
use crate::private_file::{self, Readers};

const FILE: &str = "told.json";

/// The file.
#[derive(Clone, Debug)]
pub(super) struct Kept(PathBuf);

impl Kept {
    pub(super) fn within(directory: &Path) -> Self {
        Self(directory.join(FILE))
    }

    /// What was written. What cannot be read is told anew.
    pub(super) fn read(&self) -> Held {
        let Ok(bytes) = std::fs::read(&self.0) else { return Held::default() };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(path = %self.0.display(), %error, "what was told is told anew");
            Held::default()
        })
    }

    /// Writes it whole or not at all.
    pub(super) fn write(&self, held: &Held) {
        let written = serde_json::to_vec(held)
            .map_err(std::io::Error::from)
            .and_then(|bytes| private_file::replace(&self.0, &bytes, Readers::Owner));
        if let Err(error) = written {
            // An old file may hold a sandbox that ended since.
            let removed = std::fs::remove_file(&self.0);
            tracing::error!(%error, ?removed, "what was told is not kept");
        }
    }
}
