//! A copy of Java's trust store with the interception authority in it: Java reads no PEM.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::environment;
use sallygate_control::sandbox_environment::JAVA_STORE_PASSWORD as PASSWORD;

/// The store in `dir`, made when it is missing or older than the authority. `None` where there is
/// no Java to make it with, and none to use it.
pub(crate) fn store(dir: &Path) -> Option<PathBuf> {
    let keytool = environment::find_program("keytool")?;
    let (own, store) = (dir.join("ca.pem"), dir.join("java-trust.p12"));
    if is_newer(&store, &own).unwrap_or(false) {
        return Some(store);
    }
    let beside = dir.join(format!("java-trust.{}.new", std::process::id()));
    let made = make(&keytool, &own, &beside).and_then(|()| fs::rename(&beside, &store));
    // There is nothing to remove where everything went well.
    let _ = fs::remove_file(&beside);
    made.ok().map(|()| store)
}

fn is_newer(store: &Path, than: &Path) -> io::Result<bool> {
    Ok(fs::metadata(store)?.modified()? >= fs::metadata(than)?.modified()?)
}

fn make(keytool: &Path, own: &Path, store: &Path) -> io::Result<()> {
    if let Some(system) = system_store(keytool) {
        let mut import = Command::new(keytool);
        import.arg("-importkeystore").arg("-noprompt").arg("-srckeystore").arg(system);
        import.args(["-srcstorepass", PASSWORD]).arg("-destkeystore").arg(store);
        import.args(["-deststoretype", "PKCS12", "-deststorepass", PASSWORD]);
        run(&mut import)?;
    }
    let mut add = Command::new(keytool);
    add.args(["-importcert", "-noprompt", "-alias", "sallygate"]).arg("-file").arg(own);
    add.arg("-keystore").arg(store).args(["-storetype", "PKCS12", "-storepass", PASSWORD]);
    run(&mut add)
}

fn run(command: &mut Command) -> io::Result<()> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = quiet.env_remove("JAVA_TOOL_OPTIONS").status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("keytool: {status}"))) }
}

/// `lib/security/cacerts` of the installation that `keytool` belongs to.
fn system_store(keytool: &Path) -> Option<PathBuf> {
    let home = keytool.canonicalize().ok()?;
    let home = home.parent()?.parent()?;
    ["lib/security/cacerts", "jre/lib/security/cacerts"]
        .into_iter()
        .map(|path| home.join(path))
        .find(|path| path.exists())
}
