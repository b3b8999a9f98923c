//! `sallygate keys`: new keys for the secrets of the control service.

use sallygate_control::credentials::{INSTALLATION, MasterKeys};
use sallygate_control::domain::{Page, organisation};
use sallygate_control::service::Control;
use sallygate_control::store::Access;
use sallygate_definitions::Registry;

use crate::exit::{Failure, Outcome, failed};
use crate::place::Place;
use crate::{control, print, running, runtime};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make new keys, and seal everything again with them
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    /// A new version of the master key as well; nothing may run meanwhile
    #[arg(long)]
    master: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Rotate(options) => rotate(options),
    }
}

fn rotate(options: &Rotate) -> Outcome {
    let data_dir = options.place.data_dir();
    if options.master {
        if running::find(&data_dir).is_some() {
            // It has the keys of its start, and could not open what the new one wraps.
            return Err(Failure::Conflict("something runs from there: stop it first".to_owned()));
        }
        MasterKeys::add_version(&control::master_key(&data_dir)).map_err(failed)?;
    }
    runtime::block_on(async {
        let control = control::open(&data_dir, Registry::builtin()).await?;
        if options.master {
            let rewrapped = control.vault.rewrap(&control.store).await.map_err(failed)?;
            print::data(format_args!("{} data keys wrapped again", rewrapped.data_keys));
        }
        let mut owners = organisations(&control).await?;
        owners.push(INSTALLATION.to_owned());
        for owner in owners {
            let now_ms = control.clock.now_ms();
            let rotated = control.vault.rotate_data_key(&control.store, &owner, now_ms).await;
            let rotated = rotated.map_err(failed)?;
            print::data(format_args!("{owner}: {} secrets sealed again", rotated.secrets));
        }
        control.store.close().await;
        Ok(())
    })
}

async fn organisations(control: &Control) -> Result<Vec<String>, Failure> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(failed)?;
    let (mut ids, mut page) = (Vec::new(), Page { after: String::new(), most: 200 });
    loop {
        let piece = organisation::list(&mut *transaction, &page).await.map_err(failed)?;
        ids.extend(piece.items.into_iter().map(|organisation| organisation.id));
        match piece.more_after {
            Some(after) => page.after = after,
            None => return Ok(ids),
        }
    }
}
