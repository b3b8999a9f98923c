//! The data directory: created at first start, opened ever after.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use crate::private_file::{self, Readers};
use crate::{authority, bundle, token};

/// Why an installation cannot be opened or made.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// A file or directory.
    #[error("`{path}`: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No key could be made.
    #[error("the certificate authority cannot be made: {0}")]
    Authority(String),
    /// No token could be made.
    #[error(transparent)]
    Randomness(#[from] token::NoRandomness),
}

/// An installation on disk.
#[derive(Clone, Debug)]
pub struct Installation {
    directory: PathBuf,
}

impl Installation {
    /// Opens the installation in `directory`; makes what is missing, replaces nothing.
    pub fn open_or_create(
        directory: &Path,
        now: OffsetDateTime,
    ) -> Result<Self, InstallationError> {
        make_directory(directory).map_err(at(directory))?;
        let installation = Self { directory: directory.into() };
        installation.ensure_authority(now)?;
        installation.ensure_operator_token()?;
        Ok(installation)
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The interception authority's certificate, PEM.
    pub fn ca_certificate(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// The interception authority's key, PEM, mode 0600.
    pub fn ca_key(&self) -> PathBuf {
        self.directory.join("ca-key.pem")
    }

    /// System roots and ours, PEM.
    pub fn ca_bundle(&self) -> PathBuf {
        self.directory.join("ca-bundle.pem")
    }

    /// The operator's token, mode 0600.
    pub fn operator_token(&self) -> PathBuf {
        self.directory.join("operator.token")
    }

    fn ensure_authority(&self, now: OffsetDateTime) -> Result<(), InstallationError> {
        let (certificate, key) = (self.ca_certificate(), self.ca_key());
        if !certificate.exists() {
            let made = authority::create("Sallygate interception authority", now)
                .map_err(|e| InstallationError::Authority(e.to_string()))?;
            // The key first: a certificate without its key would be taken for a whole authority.
            private_file::replace(&key, made.key_pem.as_bytes(), Readers::Owner)
                .map_err(at(&key))?;
            private_file::create(&certificate, made.certificate_pem.as_bytes(), Readers::Everybody)
                .map_err(at(&certificate))?;
        }
        let own = fs::read_to_string(&certificate).map_err(at(&certificate))?;
        let bundle = self.ca_bundle();
        let content = bundle::with_system_roots(&own);
        private_file::replace(&bundle, content.as_bytes(), Readers::Everybody).map_err(at(&bundle))
    }

    fn ensure_operator_token(&self) -> Result<(), InstallationError> {
        let path = self.operator_token();
        if path.exists() {
            return Ok(());
        }
        let token = token::mint("sgo_")?;
        private_file::create(&path, token.as_bytes(), Readers::Owner).map_err(at(&path))
    }
}

fn make_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> InstallationError + '_ {
    |source| InstallationError::File { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_start_changes_no_key_and_no_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let first = Installation::open_or_create(&path, OffsetDateTime::UNIX_EPOCH).unwrap();
        let read = |p: PathBuf| fs::read_to_string(p).unwrap();
        let before =
            (read(first.ca_certificate()), read(first.ca_key()), read(first.operator_token()));
        let second = Installation::open_or_create(&path, OffsetDateTime::UNIX_EPOCH).unwrap();
        let after =
            (read(second.ca_certificate()), read(second.ca_key()), read(second.operator_token()));
        assert_eq!(before, after);
        assert!(read(second.ca_bundle()).ends_with(&before.0));
        for secret in [second.ca_key(), second.operator_token()] {
            assert_eq!(fs::metadata(secret).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
