//! Who may ask what: one table of every route. A route without a row is refused, whoever asks.

use axum::http::Method;
use loggerhead_model::Role;

/// What a route takes of whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: a page or a question from before anybody is signed in.
    Nobody,
    /// This role or a larger one.
    Role(Role),
}

/// Where a request names the one device that it is about. A token for some devices may use no other routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceAt {
    /// It is about no single device.
    Nowhere,
    /// The path's `{id}`.
    Path,
    /// The query's `device`, which may be left out by others.
    Query,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// In capitals, as on the wire.
    pub(crate) method: &'static str,
    /// As the router has it.
    pub(crate) path: &'static str,
    pub(crate) need: Need,
    pub(crate) device: DeviceAt,
    /// What the audit log calls it; none for what changes nothing, and for what writes there by itself.
    pub(crate) action: Option<&'static str>,
}

impl Rule {
    /// A question. `HEAD` goes with it.
    pub(crate) const fn get(path: &'static str, need: Need) -> Self {
        Self { method: "GET", path, need, device: DeviceAt::Nowhere, action: None }
    }

    /// A question with a body. Changes nothing.
    pub(crate) const fn ask(path: &'static str, need: Need) -> Self {
        Self { method: "POST", ..Self::get(path, need) }
    }

    /// Something that is done.
    const fn post(path: &'static str, need: Need, action: &'static str) -> Self {
        Self { method: "POST", action: Some(action), ..Self::get(path, need) }
    }

    /// Something that is changed.
    const fn patch(path: &'static str, need: Need, action: &'static str) -> Self {
        Self { method: "PATCH", action: Some(action), ..Self::get(path, need) }
    }

    /// Something that is taken away.
    const fn delete(path: &'static str, need: Need, action: &'static str) -> Self {
        Self { method: "DELETE", action: Some(action), ..Self::get(path, need) }
    }

    /// The same, for a route that is about one device.
    pub(crate) const fn of_device(self, device: DeviceAt) -> Self {
        Self { device, ..self }
    }
}

const VIEWER: Need = Need::Role(Role::Viewer);
const OPERATOR: Need = Need::Role(Role::Operator);
const ADMIN: Need = Need::Role(Role::Admin);

/// The API.
const API: &[Rule] = &[
    Rule::get("/api/v1/devices", VIEWER),
    Rule::post("/api/v1/devices", ADMIN, "device.add"),
    Rule::get("/api/v1/devices/{id}", VIEWER).of_device(DeviceAt::Path),
    Rule::delete("/api/v1/devices/{id}", ADMIN, "device.remove").of_device(DeviceAt::Path),
    Rule::post("/api/v1/devices/{id}/accept", OPERATOR, "device.accept").of_device(DeviceAt::Path),
    Rule::post("/api/v1/devices/{id}/refuse", OPERATOR, "device.refuse").of_device(DeviceAt::Path),
    Rule::get("/api/v1/devices/{id}/presence", VIEWER).of_device(DeviceAt::Path),
    Rule::post("/api/v1/devices/{id}/commands", OPERATOR, "command").of_device(DeviceAt::Path),
    Rule::get("/api/v1/presence", VIEWER),
    Rule::get("/api/v1/sites", VIEWER),
    Rule::get("/api/v1/channels", VIEWER).of_device(DeviceAt::Query),
    Rule::get("/api/v1/latest", VIEWER).of_device(DeviceAt::Query),
    Rule::get("/api/v1/readings", VIEWER).of_device(DeviceAt::Query),
    Rule::get("/api/v1/buckets", VIEWER).of_device(DeviceAt::Query),
    Rule::get("/api/v1/conflicts", VIEWER).of_device(DeviceAt::Query),
    Rule::get("/api/v1/download", VIEWER).of_device(DeviceAt::Query),
    Rule::ask("/api/v1/explain", VIEWER),
    Rule::get("/api/v1/events", VIEWER).of_device(DeviceAt::Query),
    Rule::post("/api/v1/events/{number}/acknowledge", OPERATOR, "event.acknowledge"),
    Rule::get("/api/v1/devices/{id}/frames", VIEWER).of_device(DeviceAt::Path),
    Rule::get("/api/v1/devices/{id}/sent", VIEWER).of_device(DeviceAt::Path),
    Rule::get("/api/v1/files", VIEWER).of_device(DeviceAt::Query),
    Rule::get("/api/v1/files/{number}", VIEWER).of_device(DeviceAt::Query),
    Rule::delete("/api/v1/files/{number}", OPERATOR, "file.remove").of_device(DeviceAt::Query),
    Rule::get("/api/v1/files/{number}/content", VIEWER).of_device(DeviceAt::Query),
    Rule { method: "OPTIONS", ..Rule::get("/api/v1/uploads", VIEWER) }.of_device(DeviceAt::Query),
    Rule::post("/api/v1/uploads", OPERATOR, "file.send").of_device(DeviceAt::Query),
    Rule { method: "HEAD", ..Rule::get("/api/v1/uploads/{number}", OPERATOR) }.of_device(DeviceAt::Query),
    // What it does is told by an event once the file is whole; a line for every piece would be noise.
    Rule { method: "PATCH", ..Rule::get("/api/v1/uploads/{number}", OPERATOR) }.of_device(DeviceAt::Query),
    Rule::delete("/api/v1/uploads/{number}", OPERATOR, "file.remove").of_device(DeviceAt::Query),
    Rule::get("/api/v1/commands", VIEWER).of_device(DeviceAt::Query),
    Rule::get("/api/v1/commands/{id}", VIEWER),
    Rule::get("/api/v1/live", VIEWER).of_device(DeviceAt::Query),
    Rule::get("/api/v1/me", VIEWER),
    Rule::post("/api/v1/me/password", VIEWER, "password.change"),
    Rule::ask("/api/v1/session", Need::Nobody),
    Rule::ask("/api/v1/session/link", Need::Nobody),
    Rule::ask("/api/v1/setup", Need::Nobody),
    Rule::delete("/api/v1/session", VIEWER, "sign-out"),
    Rule::get("/api/v1/sessions", VIEWER),
    Rule::delete("/api/v1/sessions/{id}", VIEWER, "session.end"),
    Rule::get("/api/v1/accounts", ADMIN),
    Rule::post("/api/v1/accounts", ADMIN, "account.add"),
    Rule::patch("/api/v1/accounts/{name}", ADMIN, "account.change"),
    Rule::delete("/api/v1/accounts/{name}", ADMIN, "account.remove"),
    Rule::get("/api/v1/tokens", ADMIN),
    Rule::post("/api/v1/tokens", ADMIN, "token.add"),
    Rule::delete("/api/v1/tokens/{id}", ADMIN, "token.revoke"),
    Rule::get("/api/v1/audit", ADMIN),
    Rule::get("/api/v1/live/ws", VIEWER).of_device(DeviceAt::Query),
    Rule::get("/api/v1/broker/sessions", VIEWER).of_device(DeviceAt::Query),
    Rule::get("/api/v1/cameras", VIEWER),
    Rule::get("/api/v1/cameras/accounts", VIEWER),
    Rule::delete("/api/v1/cameras/{id}/accounts/{name}", OPERATOR, "camera.unbind").of_device(DeviceAt::Path),
    // What a source sees is kept as readings, like that of any device; the audit log is for changes.
    Rule::ask("/api/v1/cameras/{id}/alarms", OPERATOR).of_device(DeviceAt::Path),
    Rule::ask("/api/v1/cameras/{id}/state", OPERATOR).of_device(DeviceAt::Path),
    Rule::get("/api/v1/chat", VIEWER),
    // What people say to each other is not for everybody who may look.
    Rule::get("/api/v1/messages", OPERATOR),
    Rule::get("/api/v1/messages/queues", OPERATOR),
    Rule::get("/api/v1/status", VIEWER),
    Rule::get("/api/v1/listeners", VIEWER),
    Rule::get("/healthz", VIEWER),
    Rule::get("/readyz", VIEWER),
    Rule::get("/metrics", VIEWER),
    Rule::get("/api/v1/problems", VIEWER),
    Rule::get("/api/v1/problems/{kind}", VIEWER),
    Rule::get("/api/v1/openapi.json", VIEWER),
];

/// Every table of routes.
const TABLES: [&[Rule]; 2] = [API, crate::console::RULES];

/// The row of a route, for a path as the router has it.
pub(super) fn rule(method: &Method, path: &str) -> Option<&'static Rule> {
    let find = |method: &Method| rules().find(|rule| rule.path == path && rule.method == method.as_str());
    find(method).or_else(|| if method == Method::HEAD { find(&Method::GET) } else { None })
}

/// The methods that a path takes, for the header `Allow`.
pub(super) fn methods(path: &str) -> String {
    let methods: Vec<&str> = rules().filter(|rule| rule.path == path).map(|rule| rule.method).collect();
    methods.join(", ")
}

/// Every row.
pub(crate) fn rules() -> impl Iterator<Item = &'static Rule> {
    TABLES.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Need, rules};
    use crate::routes;

    /// What may be asked before anybody is signed in.
    const OPEN: &[&str] = &[
        "/api/v1/session",
        "/api/v1/session/link",
        "/api/v1/setup",
        "/login",
        "/setup-link",
        "/sign-in-link",
        "/preferences",
        "/assets/{version}/{*name}",
    ];
    /// What everybody may change: what is their own.
    const OWN: &[&str] = &["/api/v1/me/password", "/api/v1/session", "/api/v1/sessions/{id}"];

    #[test]
    fn every_route_has_a_required_role() {
        let (_, described) = routes::describe();
        let described = serde_json::to_value(&described).expect("a description is JSON");
        let mut routed = BTreeSet::new();
        for (path, operations) in described["paths"].as_object().expect("paths") {
            for method in operations.as_object().expect("operations by method").keys() {
                routed.insert((path.clone(), method.to_uppercase()));
            }
        }
        let all: Vec<_> = rules().map(|rule| (rule.path.to_owned(), rule.method.to_owned())).collect();
        let of_api = |path: &str| path.starts_with("/api/v1/") || ["/healthz", "/readyz", "/metrics"].contains(&path);
        let ruled: BTreeSet<_> = all.iter().filter(|(path, _)| of_api(path)).cloned().collect();
        assert_eq!(routed, ruled);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "a route has one row");
    }

    #[test]
    fn only_what_is_listed_is_open_to_everybody() {
        let open: Vec<_> = rules().filter(|rule| rule.need == Need::Nobody).map(|rule| rule.path).collect();
        assert_eq!(open, OPEN);
    }

    #[test]
    fn what_changes_something_takes_more_than_a_viewer() {
        for rule in rules().filter(|rule| rule.action.is_some() && !OWN.contains(&rule.path)) {
            assert!(rule.need != super::VIEWER && rule.need != Need::Nobody, "{} {}", rule.method, rule.path);
        }
    }
}
