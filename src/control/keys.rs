//! The master key of a data directory. One that is missing is made only where nothing was sealed
//! with it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sallygate_control::credentials::{MasterKeyError, MasterKeys};
use sallygate_control::store::{Access, Store, fetch_optional};

use crate::exit::{Failure, failed};

pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("master.key")
}

pub(super) async fn of(store: &Store, data_dir: &Path) -> Result<MasterKeys, Failure> {
    let path = path(data_dir);
    match MasterKeys::read(&path) {
        Ok(keys) => return Ok(keys),
        Err(MasterKeyError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut transaction = store.begin(Access::Read).await.map_err(failed)?;
    let any = "SELECT version FROM data_keys LIMIT 1";
    if fetch_optional(&mut *transaction, any, Vec::new()).await.map_err(failed)?.is_some() {
        let path = path.display();
        return Err(failed(format_args!(
            "`{path}` is missing, and the secrets in the database were sealed with it: put it back"
        )));
    }
    MasterKeys::create(&path).map_err(failed)
}
