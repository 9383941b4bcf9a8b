//! Where the running server is, for verbs that ask it.

use std::path::PathBuf;

use loggerhead_headend::config::{Config, Web};
use loggerhead_web::Token;

use crate::client::Client;
use crate::configuration::DataArgs;
use crate::exit::{Exit, Failure};

/// Options of every verb that asks the running server.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    data: DataArgs,
    /// The server's TCP address instead of its socket in the data directory
    #[arg(long, value_name = "HOST:PORT", global = true, requires = "token_file", conflicts_with_all = ["data", "config"])]
    address: Option<String>,
    /// The file with the token that goes with --address
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
}

impl ServerArgs {
    /// Who asks the server.
    ///
    /// # Errors
    /// When the configuration or the token cannot be read.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        if let (Some(address), Some(file)) = (&self.address, &self.token_file) {
            let token =
                Token::read(file).map_err(|error| Failure::new(Exit::Usage, format!("--token-file: {error}")))?;
            return Ok(Client::tcp(address, token));
        }
        Ok(Client::unix(&self.data.socket()?))
    }

    /// A head-end for one question to the store, with no listener; none when the question is for a server elsewhere.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub(crate) fn brief_config(&self) -> anyhow::Result<Option<Config>> {
        if self.address.is_some() {
            return Ok(None);
        }
        let config = self.data.config()?;
        Ok(Some(Config { listeners: Vec::new(), web: Web::default(), ..config }))
    }
}
