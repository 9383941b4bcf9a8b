//! Accounts, sign-ins, tokens, the audit log and acknowledged events are kept like everything else.

use std::ops::ControlFlow;
use std::path::Path;

use loggerhead_model::{Event, EventKind, Role, Severity, Timestamp};
use loggerhead_store::{
    AccessChange, Account, Acknowledgement, ApiToken, AuditEntry, AuditFilter, Change, EventFilter, Reader, Secret,
    Store, StoredAudit, StoredEvent, WebSession,
};
use rusqlite::Connection;

use crate::common::{device, open};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn account(name: &str, role: Role) -> Account {
    let password = Some(Secret::new(b"$argon2id$..".to_vec()));
    Account { name: name.to_owned(), role, password, created_at: at(1), changed_at: at(2) }
}

fn session(number: u8, account: &str) -> WebSession {
    let (peer, agent) = ("192.0.2.1".to_owned(), "a browser".to_owned());
    WebSession { hash: [number; 32], account: account.to_owned(), created_at: at(3), seen_at: at(4), peer, agent }
}

fn token(name: &str, number: u8) -> ApiToken {
    ApiToken {
        id: 0,
        name: name.to_owned(),
        hash: [number; 32],
        role: Role::Operator,
        devices: vec![device("tower")],
        created_by: "ada".to_owned(),
        created_at: at(5),
        expires_at: Some(at(6)),
    }
}

fn entry(who: &str, action: &str, ms: i64) -> AuditEntry {
    AuditEntry {
        at: at(ms),
        who: who.to_owned(),
        peer: "192.0.2.1".to_owned(),
        action: action.to_owned(),
        target: "tower".to_owned(),
        outcome: "done".to_owned(),
    }
}

async fn change(store: &Store, change: AccessChange) {
    store.write(Change::Access(change)).await.expect("a working store");
}

fn audit(reader: &Reader, filter: &AuditFilter) -> Vec<StoredAudit> {
    let mut found = Vec::new();
    let mut each = |entry| {
        found.push(entry);
        ControlFlow::Continue(())
    };
    reader.audit(filter, &mut each).expect("a readable store");
    found
}

fn events(reader: &Reader, acknowledged: Option<bool>) -> Vec<StoredEvent> {
    let mut found = Vec::new();
    let filter = EventFilter { acknowledged, ..EventFilter::default() };
    let mut each = |event| {
        found.push(event);
        ControlFlow::Continue(())
    };
    reader.events(&filter, &mut each).expect("a readable store");
    found
}

fn event(text: &'static str) -> Event {
    Event {
        at: at(1),
        severity: Severity::Warning,
        kind: EventKind::System,
        device: None,
        peer: None,
        text: text.into(),
    }
}

/// Opens the store again, as another process would find it.
async fn again(store: Store, directory: &Path) -> Store {
    store.close().await;
    open(directory)
}

#[tokio::test]
async fn accounts_and_sign_ins_are_kept_and_go_together() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    for name in ["ada", "bob"] {
        change(&store, AccessChange::Account(account(name, Role::Viewer))).await;
    }
    change(&store, AccessChange::Account(account("ada", Role::Admin))).await;
    for (number, name) in [(1, "ada"), (2, "ada"), (3, "bob")] {
        change(&store, AccessChange::Session(session(number, name))).await;
    }
    change(&store, AccessChange::EndSession([1; 32])).await;
    let store = again(store, directory.path()).await;
    let reader = store.reader();
    assert_eq!(reader.accounts().expect("read"), [account("ada", Role::Admin), account("bob", Role::Viewer)]);
    assert_eq!(reader.web_sessions().expect("read"), [session(2, "ada"), session(3, "bob")]);
    change(&store, AccessChange::RemoveAccount("ada".to_owned())).await;
    assert_eq!(reader.accounts().expect("read").len(), 1);
    assert_eq!(reader.web_sessions().expect("read"), [session(3, "bob")]);
    change(&store, AccessChange::EndSessions("bob".to_owned())).await;
    assert_eq!(reader.web_sessions().expect("read"), []);
}

#[tokio::test]
async fn tokens_have_numbers_that_are_not_used_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    for (number, name) in [(1, "one"), (2, "two")] {
        change(&store, AccessChange::Token(token(name, number))).await;
    }
    change(&store, AccessChange::RemoveToken(2)).await;
    change(&store, AccessChange::Token(token("three", 3))).await;
    let store = again(store, directory.path()).await;
    let expected = [ApiToken { id: 1, ..token("one", 1) }, ApiToken { id: 3, ..token("three", 3) }];
    assert_eq!(store.reader().tokens().expect("read"), expected);
}

#[tokio::test]
async fn the_audit_log_is_read_newest_first_and_page_by_page() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    for (who, action, ms) in [("ada", "sign-in", 1), ("bob", "sign-in", 2), ("ada", "command", 3)] {
        change(&store, AccessChange::Audit(entry(who, action, ms))).await;
    }
    let reader = store.reader();
    let numbers =
        |filter: &AuditFilter| -> Vec<u64> { audit(&reader, filter).iter().map(|line| line.number).collect() };
    let all = AuditFilter::default();
    assert_eq!(numbers(&all), [3, 2, 1]);
    assert_eq!(audit(&reader, &all)[0].entry, entry("ada", "command", 3));
    assert_eq!(numbers(&AuditFilter { beyond: Some(3), ..all.clone() }), [2, 1]);
    assert_eq!(numbers(&AuditFilter { who: Some("ada".to_owned()), ..all.clone() }), [3, 1]);
    assert_eq!(numbers(&AuditFilter { action: Some("sign-in".to_owned()), from: Some(at(2)), ..all.clone() }), [2]);
    assert_eq!(numbers(&AuditFilter { to: Some(at(2)), ..all }), [1]);
}

#[tokio::test]
async fn an_event_is_acknowledged_once_and_by_the_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    store.write(Change::Events(vec![event("one"), event("two")])).await.expect("a working store");
    let note = |by: &str| Acknowledgement { by: by.to_owned(), at: at(7), note: "seen".to_owned() };
    for (number, by) in [(1, "ada"), (1, "bob"), (99, "ada")] {
        change(&store, AccessChange::Acknowledge(number, note(by))).await;
    }
    let reader = store.reader();
    let numbers =
        |which| -> Vec<u64> { events(&reader, which).iter().map(|event: &StoredEvent| event.number).collect() };
    assert_eq!((numbers(None), numbers(Some(true)), numbers(Some(false))), (vec![1, 2], vec![1], vec![2]));
    assert_eq!(events(&reader, Some(true))[0].acknowledged, Some(note("ada")));
}

/// A store as version 1 left it, with one event.
fn version_1(directory: &Path) {
    let database = Connection::open(directory.join("loggerhead.db")).expect("a file");
    database.execute_batch(include_str!("../../src/schema_1.sql")).expect("the tables of version 1");
    let event = "INSERT INTO events (batch, at, severity, kind, text) VALUES (1, 1, 1, 'system', 'from before')";
    database.execute_batch(event).expect("an event");
    database.execute_batch("PRAGMA user_version = 1; PRAGMA journal_mode = WAL").expect("a version");
}

#[tokio::test]
async fn a_store_of_version_1_becomes_one_of_this_version() {
    let directory = tempfile::tempdir().expect("a directory");
    version_1(directory.path());
    let store = open(directory.path());
    assert_eq!(events(&store.reader(), Some(false))[0].event.text, "from before");
    change(&store, AccessChange::Account(account("ada", Role::Admin))).await;
    let store = again(store, directory.path()).await;
    assert_eq!(store.reader().accounts().expect("read"), [account("ada", Role::Admin)]);
}

#[test]
fn a_store_of_version_1_can_be_read_when_nobody_serves_it() {
    let directory = tempfile::tempdir().expect("a directory");
    version_1(directory.path());
    let reader = Reader::open(directory.path()).expect("brought to this version");
    assert_eq!(events(&reader, None).len(), 1);
}
