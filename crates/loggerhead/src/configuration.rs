//! Where verbs take the configuration from.

use std::path::PathBuf;

use anyhow::Context as _;
use loggerhead_headend::config::{self, Config, Loaded, Sources};

use crate::logging;

/// Options of every verb that reads the configuration.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConfigurationArgs {
    /// The configuration file [default: /etc/loggerhead/loggerhead.toml, when it is there]
    #[arg(long, value_name = "FILE", env = "LOGGERHEAD_CONFIG")]
    config: Option<PathBuf>,
    /// The data directory; wins over the configuration
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Sets a key of the configuration, such as store.frames=false or listener.logger.enroll=pending
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ConfigurationArgs {
    /// Reads everything; what is wrong with it stands in the answer.
    pub(crate) fn load(&self) -> Loaded {
        let variables = std::env::vars_os();
        let environment =
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut loaded = config::load(&Sources {
            file: self.config.clone(),
            environment: environment.collect(),
            set: self.set.clone(),
            data_dir: self.data.clone(),
        });
        if let Err(text) = logging::parse(&loaded.config.log.level) {
            loaded.refuse("log.level", text);
        }
        loaded
    }
}

/// Where the data are, for verbs that need nothing else of the configuration.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DataArgs {
    /// The data directory [default: that of the configuration]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// The configuration file that names it [default: /etc/loggerhead/loggerhead.toml, when it is there]
    #[arg(long, value_name = "FILE", env = "LOGGERHEAD_CONFIG", global = true)]
    config: Option<PathBuf>,
}

impl DataArgs {
    /// The data directory. Other parts of the configuration may be wrong.
    ///
    /// # Errors
    /// When the named file cannot be read.
    pub(crate) fn directory(&self) -> anyhow::Result<PathBuf> {
        if let Some(directory) = &self.data {
            return Ok(directory.clone());
        }
        if let Some(file) = &self.config {
            std::fs::metadata(file).with_context(|| format!("{}", file.display()))?;
        }
        let arguments = ConfigurationArgs { config: self.config.clone(), data: None, set: Vec::new() };
        Ok(arguments.load().config.data_dir)
    }

    /// The configuration, with this data directory. Parts of it may be wrong.
    ///
    /// # Errors
    /// As `directory`.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let data_dir = self.directory()?;
        let arguments = ConfigurationArgs { config: self.config.clone(), data: None, set: Vec::new() };
        Ok(Config { data_dir, ..arguments.load().config })
    }

    /// The private socket of the server that works there.
    ///
    /// # Errors
    /// As `directory`.
    pub(crate) fn socket(&self) -> anyhow::Result<PathBuf> {
        Ok(self.directory()?.join(config::API_SOCKET))
    }
}
