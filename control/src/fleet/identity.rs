//! A proxy's own key pair, and who it is by it. The private key is made here and never leaves.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::EncodingKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::token;
use super::wire::Enrolled;
use crate::private_file::{self, Readers};

const KEY: &str = "proxy.key";
const NAME: &str = "proxy.json";

/// Why a proxy does not know who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("`{path}`: {source}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{0}` may be read by others: its mode must be 0600")]
    Readable(PathBuf),
    #[error("`{0}` is not what was written there")]
    Malformed(PathBuf),
    #[error("this proxy was not enrolled: `sallygate proxy enroll` does that")]
    NotEnrolled,
    #[error("the system has no randomness")]
    Randomness,
}

/// Who a proxy is, and its key.
pub struct Identity {
    pair: Ed25519KeyPair,
    signing: EncodingKey,
    enrolled: Option<Enrolled>,
    directory: PathBuf,
}

// The key is not shown.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("enrolled", &self.enrolled).finish_non_exhaustive()
    }
}

/// What stands in the file beside the key: whose key it is, and where.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Named {
    proxy_id: String,
    name: String,
    audience: String,
}

impl Identity {
    /// Reads the key in `directory`, or makes one.
    pub fn open_or_create(directory: &Path) -> Result<Self, IdentityError> {
        let path = directory.join(KEY);
        if !path.exists() {
            let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
            let document = made.map_err(|_| IdentityError::Randomness)?;
            std::fs::create_dir_all(directory).map_err(at(directory))?;
            private_file::create(&path, document.as_ref(), Readers::Owner).map_err(at(&path))?;
        }
        let bytes = private(&path)?;
        let malformed = |_| IdentityError::Malformed(path.clone());
        let pair = Ed25519KeyPair::from_pkcs8(&bytes).map_err(malformed)?;
        let signing = EncodingKey::from_ed_der(&bytes);
        let enrolled = named(&directory.join(NAME))?;
        Ok(Self { pair, signing, enrolled, directory: directory.to_path_buf() })
    }

    /// Remembers who the control service says that this proxy is.
    pub fn remember(&mut self, enrolled: Enrolled) -> Result<(), IdentityError> {
        let Enrolled { proxy_id, name, audience } = enrolled.clone();
        let path = self.directory.join(NAME);
        let named = Named { proxy_id, name, audience };
        let text =
            serde_json::to_vec(&named).map_err(|_| IdentityError::Malformed(path.clone()))?;
        private_file::replace(&path, &text, Readers::Owner).map_err(at(&path))?;
        self.enrolled = Some(enrolled);
        Ok(())
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn enrolled(&self) -> Result<&Enrolled, IdentityError> {
        self.enrolled.as_ref().ok_or(IdentityError::NotEnrolled)
    }

    pub fn public_key(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// Proves that whoever shows `text` has the key.
    pub fn prove(&self, text: &str) -> Vec<u8> {
        self.pair.sign(text.as_bytes()).as_ref().to_vec()
    }

    /// A token for one request.
    pub fn token(&self, now_ms: i64) -> Result<String, IdentityError> {
        let Enrolled { proxy_id, audience, .. } = self.enrolled()?;
        let signed = token::sign(&self.signing, (proxy_id, audience), now_ms);
        signed.ok_or(IdentityError::Randomness)
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_path_buf();
    move |source| IdentityError::File { path, source }
}

/// The bytes of a file that only its owner may read.
pub(super) fn private(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(at(path))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(IdentityError::Readable(path.to_path_buf()));
    }
    Ok(Zeroizing::new(std::fs::read(path).map_err(at(path))?))
}

fn named(path: &Path) -> Result<Option<Enrolled>, IdentityError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let malformed = |_| IdentityError::Malformed(path.to_path_buf());
    let Named { proxy_id, name, audience } = serde_json::from_slice(&text).map_err(malformed)?;
    Ok(Some(Enrolled { proxy_id, name, audience }))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_by_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = Identity::open_or_create(directory.path()).unwrap();
        assert!(matches!(first.token(0), Err(IdentityError::NotEnrolled)));
        let text = |text: &str| text.to_owned();
        let enrolled = Enrolled { proxy_id: text("p"), name: text("n"), audience: text("a") };
        first.remember(enrolled.clone()).unwrap();
        let again = Identity::open_or_create(directory.path()).unwrap();
        assert_eq!(again.public_key(), first.public_key());
        assert_eq!(again.enrolled().unwrap(), &enrolled);
        assert_eq!(token::claimed(&again.token(0).unwrap()).as_deref(), Ok("p"));
        let key = directory.path().join(KEY);
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
        let refused = Identity::open_or_create(directory.path()).unwrap_err();
        assert!(matches!(refused, IdentityError::Readable(_)), "{refused}");
        std::fs::write(&key, b"x").unwrap();
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        let refused = Identity::open_or_create(directory.path()).unwrap_err();
        assert!(matches!(refused, IdentityError::Malformed(_)), "{refused}");
    }
}
