//! Asks the running server; where none runs, serves the store itself for the one question.
//!
//! Devices, accounts and tokens are prepared before a server was ever started, and looked at while none runs. The question
//! takes the same way in both cases, so what it changes is in the audit log.

use std::time::Duration;

use anyhow::Context as _;
use loggerhead_headend::HeadEnd;
use loggerhead_headend::config::Config;
use loggerhead_store::{Reader, StoreError};
use loggerhead_web::{Server, Settings, Waits};

use crate::client::{Client, ClientError};
use crate::server::ServerArgs;

/// Nothing is connected to a server for one question, so it ends at once.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Asks the running server, or one that is started for it and has no listeners. Where there is no store yet, one is made.
///
/// # Errors
/// What the question says, or why the store cannot be opened.
pub(crate) async fn ask<T>(
    server: &ServerArgs,
    question: impl AsyncFn(&Client) -> Result<T, ClientError>,
) -> anyhow::Result<T> {
    let client = server.client()?;
    match question(&client).await {
        Err(error @ ClientError::NoServer { .. }) => {
            let Some(config) = server.brief_config()? else { return Err(error.into()) };
            serve_once(config, async |client| question(client).await).await
        }
        answered => Ok(answered?),
    }
}

/// The same about something that has to be there: where there is no store, nobody answers.
///
/// # Errors
/// As `ask`.
pub(crate) async fn ask_existing<T>(
    server: &ServerArgs,
    question: impl AsyncFn(&Client) -> Result<T, ClientError>,
) -> anyhow::Result<T> {
    match server.brief_config()? {
        Some(config)
            if Reader::open(&config.data_dir).is_err_and(|error| matches!(error, StoreError::Missing { .. })) =>
        {
            Ok(question(&server.client()?).await?)
        }
        _ => ask(server, question).await,
    }
}

async fn serve_once<T>(
    config: Config,
    question: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
) -> anyhow::Result<T> {
    let socket = config.api_socket();
    let head_end = HeadEnd::start(config).await.context("no server runs, and its store cannot be opened")?;
    let api =
        Server::start(head_end.clone(), Settings { socket: socket.clone(), web: None, waits: Waits::default() }).await;
    let answered = match &api {
        Ok(_) => question(&Client::unix(&socket)).await.map_err(anyhow::Error::from),
        Err(error) => Err(anyhow::anyhow!("{error}")),
    };
    if let Ok(api) = api {
        api.shutdown(STOP_WITHIN).await;
    }
    head_end.shutdown(STOP_WITHIN).await;
    answered
}
