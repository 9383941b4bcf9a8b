//! `user`: who may sign in to the console, and what they may do.

use std::process::ExitCode;

use loggerhead_model::Role;
use loggerhead_web::api::{Account, AccountChange, AccountList, NewAccount};

use crate::brief;
use crate::client::encoded;
use crate::password::PasswordArgs;
use crate::server::ServerArgs;
use crate::terminal::{say, say_json};

/// What to do with accounts.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum UserVerb {
    /// Add an account
    #[command(after_help = "\
Examples:
  loggerhead user add ada --role admin
  loggerhead user add wall --role viewer --password-file wall.password --json
A viewer sees; an operator also commands devices, accepts them and acknowledges events; an admin may do everything.
Without a running server the store is changed directly: run it as the user of the server.")]
    Add(AddArgs),
    /// Show the accounts
    #[command(after_help = "Example: loggerhead user list --json")]
    List(ListArgs),
    /// Remove an account and end its sign-ins
    #[command(after_help = "Example: loggerhead user remove ada")]
    Remove(NameArgs),
    /// Give an account a new password and end its sign-ins
    #[command(after_help = "Example: loggerhead user password ada")]
    Password(PasswordVerbArgs),
}

/// Options of `user add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Its name: 1 to 64 of a-z 0-9 . _ @ -
    name: String,
    /// What it may do: viewer, operator or admin
    #[arg(long, value_parser = role)]
    role: Role,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the account as JSON
    #[arg(long)]
    json: bool,
}

/// Options of `user list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the accounts as JSON
    #[arg(long)]
    json: bool,
}

/// Options of `user remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct NameArgs {
    /// The account
    name: String,
    #[command(flatten)]
    server: ServerArgs,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Options of `user password`.
#[derive(Debug, clap::Args)]
pub(crate) struct PasswordVerbArgs {
    /// The account
    name: String,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the account as JSON
    #[arg(long)]
    json: bool,
}

fn role(word: &str) -> Result<Role, String> {
    Role::parse(word).ok_or_else(|| format!("there are {}", Role::ALL.map(Role::word).join(", ")))
}

/// Runs the verb.
///
/// # Errors
/// What the server finds wrong, or why the store cannot be opened without one.
pub(crate) async fn run(verb: UserVerb) -> anyhow::Result<ExitCode> {
    match verb {
        UserVerb::Add(args) => {
            let new = NewAccount { name: args.name, role: args.role, password: args.password.read()? };
            let account: Account =
                brief::ask(&args.server, async |client| client.post("/api/v1/accounts", &new).await).await?;
            show(&account, args.json)?;
        }
        UserVerb::List(args) => {
            let list: AccountList =
                brief::ask(&args.server, async |client| client.get("/api/v1/accounts").await).await?;
            show_all(&list, args.json)?;
        }
        UserVerb::Remove(args) => {
            let path = path(&args.name);
            brief::ask(&args.server, async |client| client.delete(&path).await).await?;
            if args.json {
                say_json(&serde_json::json!({ "removed": args.name }))?;
            } else {
                say(format_args!("{} is removed; its sign-ins have ended", args.name))?;
            }
        }
        UserVerb::Password(args) => {
            let change = AccountChange { password: Some(args.password.read()?), role: None };
            let path = path(&args.name);
            let account: Account = brief::ask(&args.server, async |client| client.patch(&path, &change).await).await?;
            show(&account, args.json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(name: &str) -> String {
    format!("/api/v1/accounts/{}", encoded(name))
}

fn show(account: &Account, json: bool) -> anyhow::Result<()> {
    if json {
        say_json(account)?;
    } else {
        say(format_args!("{} may sign in as {}", account.name, account.role.word()))?;
    }
    Ok(())
}

fn show_all(list: &AccountList, json: bool) -> anyhow::Result<()> {
    if json {
        say_json(&list.accounts)?;
        return Ok(());
    }
    if list.accounts.is_empty() {
        say("nobody may sign in; `loggerhead user add --help` says how to add somebody")?;
        return Ok(());
    }
    let width = list.accounts.iter().map(|account| account.name.len()).max().unwrap_or(0).max("ACCOUNT".len());
    say(format_args!("{:width$}  {:8}  {:>8}  CHANGED", "ACCOUNT", "ROLE", "SIGN-INS"))?;
    for account in &list.accounts {
        let role = account.role.word();
        say(format_args!("{:width$}  {role:8}  {:>8}  {}", account.name, account.sessions, account.changed_at))?;
    }
    Ok(())
}
