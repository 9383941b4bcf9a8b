//! Accounts, sign-ins and tokens: what holds at this moment, in memory as in the store.
//!
//! Every change is durable before it holds. Sign-ins and tokens that end take the live streams that they opened with
//! them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loggerhead_model::{DeviceId, Role, Timestamp};
use loggerhead_store::{AccessChange, Account, ApiToken, Change, Hash, Secret, Store, StoreError, WebSession};
use tokio_util::sync::CancellationToken;

use super::secret::{OneSecret, TOKEN_START, hash, same};
use super::viewer::Viewer;
use crate::problem::{Problem, ProblemKind};
use crate::state::now;

/// Accounts of one head-end: the operators of a city.
pub const ACCOUNTS_MAX: usize = 1_000;
/// Tokens of one head-end.
pub const TOKENS_MAX: usize = 1_000;
/// Sign-ins of one account that hold at a time; the oldest ends when there would be more.
pub const SESSIONS_PER_ACCOUNT_MAX: usize = 32;
/// A sign-in that is not used for so long ends: a shift.
pub const SESSION_IDLE_MAX: Duration = Duration::from_hours(12);
/// A sign-in ends after so long, however much it is used.
pub const SESSION_MAX: Duration = Duration::from_hours(7 * 24);
/// How often it is written down that a sign-in is used.
const SEEN_EVERY: Duration = Duration::from_mins(5);
/// Longest name of an account or a token.
pub const NAME_BYTES_MAX: usize = 64;

/// Everything that opens something.
pub(crate) struct Book {
    store: Store,
    inside: Mutex<Inside>,
    /// One change at a time, so that what is checked still holds when it is written.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Inside {
    accounts: BTreeMap<String, Account>,
    sessions: HashMap<Hash, Session>,
    tokens: BTreeMap<u64, Token>,
    links: HashMap<Hash, Link>,
}

/// What a link that opens once is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// To make the first account.
    Setup,
    /// To sign this account in.
    SignIn(String),
}

/// A token to be made.
pub(crate) struct NewToken<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: Role,
    /// Empty: all.
    pub(crate) devices: Vec<DeviceId>,
    pub(crate) created_by: &'a str,
    /// None: for ever.
    pub(crate) lifetime: Option<Duration>,
}

struct Session {
    record: WebSession,
    ended: CancellationToken,
}

struct Token {
    record: ApiToken,
    ended: CancellationToken,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Inside {
    fn load(store: &Store) -> Result<Self, StoreError> {
        let reader = store.reader();
        let now = now();
        let accounts = reader.accounts()?.into_iter().map(|account| (account.name.clone(), account)).collect();
        let sessions = reader.web_sessions()?.into_iter().filter(|session| !is_over(session, now));
        let sessions = sessions.map(|record| (record.hash, Session::new(record))).collect();
        let tokens = reader.tokens()?.into_iter().map(|record| (record.id, Token::new(record))).collect();
        Ok(Self { accounts, sessions, tokens, links: HashMap::new() })
    }

    /// Administrators who can sign in by themselves.
    fn admins(&self) -> usize {
        self.accounts.values().filter(|account| account.role == Role::Admin && account.password.is_some()).count()
    }

    fn sessions_of(&self, name: &str) -> impl Iterator<Item = &WebSession> {
        self.sessions.values().map(|session| &session.record).filter(move |session| session.account == name)
    }
}

impl Session {
    fn new(record: WebSession) -> Self {
        Self { record, ended: CancellationToken::new() }
    }
}

impl Token {
    fn new(record: ApiToken) -> Self {
        Self { record, ended: CancellationToken::new() }
    }
}

/// Whether a sign-in does not hold any more.
fn is_over(session: &WebSession, now: Timestamp) -> bool {
    now >= after(session.created_at, SESSION_MAX) || now >= after(session.seen_at, SESSION_IDLE_MAX)
}

/// The moment so long after another.
fn after(moment: Timestamp, time: Duration) -> Timestamp {
    let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(moment.unix_ms().saturating_add(ms))
}

fn unknown(name: &str) -> Problem {
    Problem::new(ProblemKind::UnknownAccount, format!("no account {name:?}"))
}

/// Whether an account or a token may have this name.
///
/// # Errors
/// `BadRequest` with the rule.
pub(crate) fn check_name(name: &str) -> Result<(), Problem> {
    let fits = |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit() || b"._@-".contains(&sign);
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    let rule = format!("a name has 1 to {NAME_BYTES_MAX} of a-z 0-9 . _ @ -, unlike {name:?}");
    Err(Problem::new(ProblemKind::BadRequest, rule))
}

impl Book {
    /// Reads what the store has. Blocks.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub(crate) fn load(store: &Store) -> Result<Self, StoreError> {
        let inside = Mutex::new(Inside::load(store)?);
        Ok(Self { store: store.clone(), inside, changing: tokio::sync::Mutex::default() })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, changes: impl IntoIterator<Item = AccessChange>) -> Result<(), Problem> {
        self.store.write_all(changes.into_iter().map(Change::Access).collect()).await?;
        Ok(())
    }

    // Sign-ins.

    /// Whose cookie this is, while its sign-in holds.
    pub(crate) async fn by_cookie(&self, secret: &str, now: Timestamp) -> Option<Viewer> {
        let (viewer, seen) = {
            let mut inside = self.inside();
            let Inside { accounts, sessions, .. } = &mut *inside;
            let session = sessions.get_mut(&hash(secret))?;
            let account = accounts.get(&session.record.account)?;
            if is_over(&session.record, now) {
                sessions.remove(&hash(secret));
                return None;
            }
            let stale = now >= after(session.record.seen_at, SEEN_EVERY);
            if stale {
                session.record.seen_at = now;
            }
            let ends_at = after(session.record.created_at, SESSION_MAX);
            let until = (ends_at, session.ended.clone());
            let viewer = Viewer::session(account, secret, session.record.hash, until);
            (viewer, stale.then(|| session.record.clone()))
        };
        if let Some(record) = seen
            && let Err(problem) = self.write([AccessChange::Session(record)]).await
        {
            // The sign-in holds; after a restart it may end earlier.
            tracing::debug!(?problem, "that a sign-in is used could not be stored");
        }
        Some(viewer)
    }

    /// Signs an account in. The one secret is for its cookie.
    ///
    /// # Errors
    /// `UnknownAccount` when it is gone meanwhile, `Store` when it cannot be kept.
    pub(crate) async fn sign_in(&self, name: &str, peer: String, agent: String) -> Result<OneSecret, Problem> {
        let _changing = self.changing.lock().await;
        let secret = OneSecret::new("");
        let now = now();
        let record =
            WebSession { hash: secret.hash(), account: name.to_owned(), created_at: now, seen_at: now, peer, agent };
        let mut ended: Vec<Hash> = {
            let inside = self.inside();
            if !inside.accounts.contains_key(name) {
                return Err(unknown(name));
            }
            let over = inside.sessions.values().map(|session| &session.record).filter(|other| is_over(other, now));
            over.map(|other| other.hash).collect()
        };
        ended.extend(self.oldest_beyond_limit(name, &ended));
        let changes = ended.iter().map(|hash| AccessChange::EndSession(*hash));
        self.write(changes.chain([AccessChange::Session(record.clone())])).await?;
        let mut inside = self.inside();
        for hash in ended {
            inside.sessions.remove(&hash);
        }
        inside.sessions.insert(record.hash, Session::new(record));
        drop(inside);
        Ok(secret)
    }

    /// The oldest sign-in of an account that has as many as it may.
    fn oldest_beyond_limit(&self, name: &str, ended: &[Hash]) -> Option<Hash> {
        let inside = self.inside();
        let held = || inside.sessions_of(name).filter(|session| !ended.contains(&session.hash));
        let oldest = held().min_by_key(|session| session.created_at).map(|session| session.hash);
        oldest.filter(|_| held().count() >= SESSIONS_PER_ACCOUNT_MAX)
    }

    /// The sign-ins that hold; of one account or of all, the newest first.
    pub(crate) fn sessions(&self, name: Option<&str>) -> Vec<WebSession> {
        let (inside, now) = (self.inside(), now());
        let held = inside.sessions.values().map(|session| &session.record).filter(|session| !is_over(session, now));
        let mut held: Vec<_> =
            held.filter(|session| name.is_none_or(|name| session.account == name)).cloned().collect();
        held.sort_unstable_by_key(|session| std::cmp::Reverse(session.created_at));
        held
    }

    /// Ends a sign-in.
    ///
    /// # Errors
    /// `Store` when it cannot be kept; then it holds on.
    pub(crate) async fn end_session(&self, session: Hash) -> Result<(), Problem> {
        let _changing = self.changing.lock().await;
        self.write([AccessChange::EndSession(session)]).await?;
        self.inside().sessions.remove(&session);
        Ok(())
    }

    // Accounts.

    /// Whether anybody can sign in.
    pub(crate) fn has_accounts(&self) -> bool {
        !self.inside().accounts.is_empty()
    }

    /// The account of this name.
    pub(crate) fn account(&self, name: &str) -> Option<Account> {
        self.inside().accounts.get(name).cloned()
    }

    /// The accounts by name, each with how many sign-ins of it hold.
    pub(crate) fn accounts(&self) -> Vec<(Account, usize)> {
        let inside = self.inside();
        inside.accounts.values().map(|account| (account.clone(), inside.sessions_of(&account.name).count())).collect()
    }

    /// Adds an account.
    ///
    /// # Errors
    /// `BadRequest` for a name that cannot be, `Taken`, `Full`, or `Store`.
    pub(crate) async fn add_account(
        &self,
        name: &str,
        role: Role,
        password: Option<Secret>,
    ) -> Result<Account, Problem> {
        check_name(name)?;
        let _changing = self.changing.lock().await;
        {
            let inside = self.inside();
            if inside.accounts.contains_key(name) {
                return Err(Problem::new(ProblemKind::Taken, format!("there is an account {name} already")));
            }
            if inside.accounts.len() >= ACCOUNTS_MAX {
                return Err(Problem::new(ProblemKind::Full, format!("{ACCOUNTS_MAX} accounts already")));
            }
        }
        let now = now();
        let account = Account { name: name.to_owned(), role, password, created_at: now, changed_at: now };
        self.write([AccessChange::Account(account.clone())]).await?;
        self.inside().accounts.insert(name.to_owned(), account.clone());
        Ok(account)
    }

    /// Changes an account. A new password ends its sign-ins.
    ///
    /// # Errors
    /// `UnknownAccount`, `LastAdmin` when nobody could undo it, or `Store`.
    pub(crate) async fn change_account(
        &self,
        name: &str,
        role: Option<Role>,
        password: Option<Secret>,
    ) -> Result<Account, Problem> {
        let _changing = self.changing.lock().await;
        let mut account = self.account(name).ok_or_else(|| unknown(name))?;
        if role.is_some_and(|role| role != Role::Admin) {
            self.check_not_last(&account)?;
        }
        let ends = password.is_some();
        account.role = role.unwrap_or(account.role);
        account.password = password.or(account.password);
        account.changed_at = now();
        let ending = ends.then(|| AccessChange::EndSessions(name.to_owned()));
        self.write([AccessChange::Account(account.clone())].into_iter().chain(ending)).await?;
        let mut inside = self.inside();
        inside.accounts.insert(name.to_owned(), account.clone());
        if ends {
            inside.sessions.retain(|_, session| session.record.account != name);
        }
        drop(inside);
        Ok(account)
    }

    /// Removes an account and ends its sign-ins.
    ///
    /// # Errors
    /// `UnknownAccount`, `LastAdmin` when nobody could undo it, or `Store`.
    pub(crate) async fn remove_account(&self, name: &str) -> Result<(), Problem> {
        let _changing = self.changing.lock().await;
        let account = self.account(name).ok_or_else(|| unknown(name))?;
        self.check_not_last(&account)?;
        self.write([AccessChange::RemoveAccount(name.to_owned())]).await?;
        let mut inside = self.inside();
        inside.accounts.remove(name);
        inside.sessions.retain(|_, session| session.record.account != name);
        drop(inside);
        Ok(())
    }

    fn check_not_last(&self, account: &Account) -> Result<(), Problem> {
        let counts = account.role == Role::Admin && account.password.is_some();
        if counts && self.inside().admins() == 1 {
            return Err(Problem::new(ProblemKind::LastAdmin, format!("{} is the last administrator", account.name)));
        }
        Ok(())
    }

    // Tokens.

    /// Whose token this is, while it holds.
    pub(super) fn by_token(&self, secret: &[u8]) -> Option<Viewer> {
        let secret = std::str::from_utf8(secret).ok().filter(|secret| secret.starts_with(TOKEN_START))?;
        let (sent, now) = (hash(secret), now());
        let inside = self.inside();
        let token = inside.tokens.values().find(|token| same(&token.record.hash, &sent))?;
        let holds = token.record.expires_at.is_none_or(|expires_at| now < expires_at);
        holds.then(|| Viewer::token(&token.record, token.ended.clone()))
    }

    /// The tokens, by number.
    pub(crate) fn tokens(&self) -> Vec<ApiToken> {
        self.inside().tokens.values().map(|token| token.record.clone()).collect()
    }

    /// Makes a token. The one secret is shown once.
    ///
    /// # Errors
    /// `BadRequest` for a name that cannot be, `Taken`, `Full`, or `Store`.
    pub(crate) async fn add_token(&self, new: NewToken<'_>) -> Result<(ApiToken, OneSecret), Problem> {
        check_name(new.name)?;
        let _changing = self.changing.lock().await;
        {
            let inside = self.inside();
            if inside.tokens.values().any(|token| token.record.name == new.name) {
                return Err(Problem::new(ProblemKind::Taken, format!("there is a token {} already", new.name)));
            }
            if inside.tokens.len() >= TOKENS_MAX {
                return Err(Problem::new(ProblemKind::Full, format!("{TOKENS_MAX} tokens already")));
            }
        }
        let secret = OneSecret::new(TOKEN_START);
        let now = now();
        let record = ApiToken {
            id: 0,
            name: new.name.to_owned(),
            hash: secret.hash(),
            role: new.role,
            devices: new.devices,
            created_by: new.created_by.to_owned(),
            created_at: now,
            expires_at: new.lifetime.map(|lifetime| after(now, lifetime)),
        };
        self.write([AccessChange::Token(record.clone())]).await?;
        // The store gave it its number.
        let reader = self.store.reader();
        let kept = tokio::task::spawn_blocking(move || reader.tokens()).await;
        let kept = kept.map_err(|_| Problem::new(ProblemKind::Store, "the server is stopping"))??;
        let record = kept.into_iter().find(|kept| kept.hash == record.hash).unwrap_or(record);
        self.inside().tokens.insert(record.id, Token::new(record.clone()));
        Ok((record, secret))
    }

    /// Ends a token.
    ///
    /// # Errors
    /// `UnknownToken`, or `Store` when it cannot be kept; then it holds on.
    pub(crate) async fn remove_token(&self, id: u64) -> Result<ApiToken, Problem> {
        let _changing = self.changing.lock().await;
        let record = self.inside().tokens.get(&id).map(|token| token.record.clone());
        let record = record.ok_or_else(|| Problem::new(ProblemKind::UnknownToken, format!("no token {id}")))?;
        self.write([AccessChange::RemoveToken(id)]).await?;
        self.inside().tokens.remove(&id);
        Ok(record)
    }

    // Links that open once.

    /// A link that opens once, and until the process ends.
    pub(crate) fn link(&self, link: Link) -> OneSecret {
        let secret = OneSecret::new("");
        self.inside().links.insert(secret.hash(), link);
        secret
    }

    /// Uses a link up.
    pub(crate) fn take_link(&self, secret: &str) -> Option<Link> {
        self.inside().links.remove(&hash(secret))
    }

    /// Gives a link back that did not lead to anything.
    pub(crate) fn keep_link(&self, secret: &str, link: Link) {
        self.inside().links.insert(hash(secret), link);
    }
}
