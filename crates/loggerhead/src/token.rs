//! `token`: what programs open the API with.

use std::process::ExitCode;

use loggerhead_web::api::{MadeToken, NewToken, Scope, Token, TokenList};

use crate::brief;
use crate::exit::{Exit, Failure};
use crate::server::ServerArgs;
use crate::terminal::{say, say_json};

/// What to do with tokens.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TokenVerb {
    /// Make a token and print it, this once
    #[command(after_help = "\
Examples:
  loggerhead token add billing --scope read --days 90 > billing.token
  loggerhead token add valve --scope operate --device tower-1 --device tower-2
Send it as `Authorization: Bearer TOKEN`. Without a running server the store is changed directly: run it as the user of the
server.")]
    Add(AddArgs),
    /// Show the tokens, without what they open with
    #[command(after_help = "Example: loggerhead token list --json")]
    List(ListArgs),
    /// End a token
    #[command(after_help = "Example: loggerhead token revoke billing")]
    Revoke(RevokeArgs),
}

/// What a token may do.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ScopeWord {
    /// See
    Read,
    /// Also command devices, accept them and acknowledge events
    Operate,
    /// Everything
    Admin,
}

/// Options of `token add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Its name: 1 to 64 of a-z 0-9 . _ @ -
    name: String,
    /// What it may do
    #[arg(long, value_enum)]
    scope: ScopeWord,
    /// Only for this device; may be said again
    #[arg(long, value_name = "DEVICE")]
    device: Vec<String>,
    /// Ends by itself after so many days [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: Option<u16>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the token and what is known of it as JSON
    #[arg(long)]
    json: bool,
}

/// Options of `token list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the tokens as JSON
    #[arg(long)]
    json: bool,
}

/// Options of `token revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArgs {
    /// The token's name
    name: String,
    #[command(flatten)]
    server: ServerArgs,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// `NotFound` for an unknown token, otherwise what the server finds wrong, or why the store cannot be opened without one.
pub(crate) async fn run(verb: TokenVerb) -> anyhow::Result<ExitCode> {
    match verb {
        TokenVerb::Add(args) => {
            let scope = match args.scope {
                ScopeWord::Read => Scope::Read,
                ScopeWord::Operate => Scope::Operate,
                ScopeWord::Admin => Scope::Admin,
            };
            let new = NewToken { name: args.name, scope, devices: args.device, days: args.days };
            let made: MadeToken =
                brief::ask(&args.server, async |client| client.post("/api/v1/tokens", &new).await).await?;
            if args.json {
                say_json(&made)?;
            } else {
                say(made.secret)?;
            }
        }
        TokenVerb::List(args) => {
            let list: TokenList = brief::ask(&args.server, async |client| client.get("/api/v1/tokens").await).await?;
            show(&list.tokens, args.json)?;
        }
        TokenVerb::Revoke(args) => revoke(&args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn revoke(args: &RevokeArgs) -> anyhow::Result<()> {
    let revoked = brief::ask(&args.server, async |client| {
        let list: TokenList = client.get("/api/v1/tokens").await?;
        let Some(token) = list.tokens.into_iter().find(|token| token.name == args.name) else { return Ok(None) };
        client.delete(&format!("/api/v1/tokens/{}", token.id)).await?;
        Ok(Some(token))
    });
    let Some(token) = revoked.await? else {
        let text = format!("no token {:?}; see `loggerhead token list`", args.name);
        return Err(Failure::new(Exit::NotFound, text).into());
    };
    if args.json {
        say_json(&token)?;
    } else {
        say(format_args!("{} opens nothing any more", token.name))?;
    }
    Ok(())
}

fn show(tokens: &[Token], json: bool) -> anyhow::Result<()> {
    if json {
        say_json(&tokens)?;
        return Ok(());
    }
    if tokens.is_empty() {
        say("there is no token; `loggerhead token add --help` says how to make one")?;
        return Ok(());
    }
    let width = tokens.iter().map(|token| token.name.len()).max().unwrap_or(0).max("TOKEN".len());
    say(format_args!("{:width$}  {:7}  {:24}  DEVICES", "TOKEN", "SCOPE", "ENDS"))?;
    for token in tokens {
        let scope = match token.scope {
            Scope::Read => "read",
            Scope::Operate => "operate",
            Scope::Admin => "admin",
        };
        let ends = token.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
        let devices = if token.devices.is_empty() { "all".to_owned() } else { token.devices.join(" ") };
        say(format_args!("{:width$}  {scope:7}  {ends:24}  {devices}", token.name))?;
    }
    Ok(())
}
