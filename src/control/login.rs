//! How people sign in, from what the configuration says.

use std::path::Path;
use std::sync::Arc;

use sallygate_control::credentials::Plaintext;
use sallygate_control::login::{Login, LoginConfig};
use sallygate_control::service::Control;

use crate::configuration::LoginSettings;
use crate::exit::{Failure, failed};

pub(super) fn of(settings: LoginSettings, control: &Control) -> Result<Arc<Login>, Failure> {
    let LoginSettings { issuer, client_id, redirect_uri, scopes, rules, .. } = settings;
    let client_secret = settings.client_secret_file.as_deref().map(secret).transpose()?;
    let reach = settings.reach;
    let config =
        LoginConfig { issuer, client_id, client_secret, scopes, redirect_uri, rules, reach };
    let login = Login::new(config, control.store.clone(), control.vault.clone());
    Ok(Arc::new(login.map_err(failed)?))
}

fn secret(path: &Path) -> Result<Plaintext, Failure> {
    let mut bytes = std::fs::read(path)
        .map_err(|error| failed(format_args!("`{}` cannot be read: {error}", path.display())))?;
    while bytes.last().is_some_and(u8::is_ascii_whitespace) {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Err(failed(format_args!("`{}` is empty", path.display())));
    }
    Ok(Plaintext::new(bytes))
}
