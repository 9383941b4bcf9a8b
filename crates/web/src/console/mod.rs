//! The console: pages for people, made on the server, kept live by small scripts.
//!
//! A page shows what the API would answer, and calls the same functions. It asks nothing of any other host, holds no
//! script or style of its own, and is whole without scripts, apart from what moves.

mod access;
mod add;
mod assets;
mod audit;
mod broker;
mod bytes;
mod cameras;
mod chat;
mod coding;
mod commands;
mod conversation;
mod describe;
mod device;
mod devices;
mod events;
mod files;
mod format;
mod inspector;
mod overview;
mod page;
mod preferences;
mod refusal;
mod robot;
mod said;
mod setup;
mod sign_in;
mod texts;
mod visit;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use loggerhead_model::Role;

use crate::access::policy::{DeviceAt, Need, Rule};
use crate::routes::explain::EXPLAIN_BYTES_MAX;
use crate::state::Api;

pub(crate) use page::encoded;
pub(crate) use refusal::as_pages;

/// Every page, and what pages are made of.
pub(crate) fn router() -> Router<Api> {
    Router::new()
        .route("/", get(overview::show))
        .route("/devices", get(devices::list))
        .route("/devices/{id}", get(device::show))
        .route("/devices/{id}/commands", get(commands::show))
        .route("/devices/{id}/conversation", get(conversation::show))
        .route("/devices/{id}/history", get(conversation::history))
        .route("/events", get(events::show))
        .route("/files", get(files::show))
        .route("/broker", get(broker::show))
        .route("/cameras", get(cameras::show))
        .route("/chat", get(chat::show))
        .route(
            "/inspector",
            get(inspector::show).post(inspector::explain).layer(DefaultBodyLimit::max(EXPLAIN_BYTES_MAX)),
        )
        .route("/setup", get(setup::show))
        .route("/setup/add", get(add::show))
        .route("/setup/access", get(access::show))
        .route("/setup/audit", get(audit::show))
        .route("/api", get(describe::show))
        .route("/login", get(sign_in::show))
        .route("/setup-link", get(sign_in::set_up))
        .route("/sign-in-link", get(sign_in::by_link))
        .route("/preferences", get(preferences::change))
        .route(assets::ROUTE, get(assets::serve))
}

const VIEWER: Need = Need::Role(Role::Viewer);

/// Who may see what.
pub(crate) const RULES: &[Rule] = &[
    Rule::get("/", VIEWER),
    Rule::get("/devices", VIEWER),
    Rule::get("/devices/{id}", VIEWER).of_device(DeviceAt::Path),
    Rule::get("/devices/{id}/commands", VIEWER).of_device(DeviceAt::Path),
    Rule::get("/devices/{id}/conversation", VIEWER).of_device(DeviceAt::Path),
    Rule::get("/devices/{id}/history", VIEWER).of_device(DeviceAt::Path),
    Rule::get("/events", VIEWER),
    Rule::get("/files", VIEWER),
    Rule::get("/broker", VIEWER).of_device(DeviceAt::Query),
    Rule::get("/cameras", VIEWER),
    Rule::get("/chat", VIEWER),
    Rule::get("/inspector", VIEWER),
    Rule::ask("/inspector", VIEWER),
    Rule::get("/setup", VIEWER),
    Rule::get("/setup/add", Need::Role(Role::Admin)),
    Rule::get("/setup/access", Need::Role(Role::Admin)),
    Rule::get("/setup/audit", Need::Role(Role::Admin)),
    Rule::get("/api", VIEWER),
    Rule::get("/login", Need::Nobody),
    Rule::get("/setup-link", Need::Nobody),
    Rule::get("/sign-in-link", Need::Nobody),
    Rule::get("/preferences", Need::Nobody),
    Rule::get(assets::ROUTE, Need::Nobody),
];
