//! Which installation a command is about.

use std::path::PathBuf;

use crate::{configuration, environment};

#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Place {
    /// Data directory [default: $SALLYGATE_DATA_DIR, or .sallygate]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Configuration file [default: config.toml in the data directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl Place {
    pub(crate) fn config(&self) -> PathBuf {
        if let Some(config) = &self.config {
            return config.clone();
        }
        let within = self.dir.clone().unwrap_or_else(environment::data_dir).join("config.toml");
        let here = PathBuf::from("config.toml");
        if self.dir.is_none() && !within.exists() && here.exists() { here } else { within }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        match (&self.dir, &self.config) {
            (Some(dir), _) => dir.clone(),
            (None, Some(config)) => configuration::data_dir(config),
            (None, None) => {
                let dir = environment::data_dir();
                if dir.exists() { dir } else { configuration::data_dir(&self.config()) }
            }
        }
    }

    /// The options that name this place again, for commands that are shown to people.
    pub(crate) fn as_options(&self) -> String {
        let option = |name: &str, path: &Option<PathBuf>| {
            path.as_ref().map_or_else(String::new, |path| format!(" --{name} {}", path.display()))
        };
        format!("{}{}", option("dir", &self.dir), option("config", &self.config))
    }
}
