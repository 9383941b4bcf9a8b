//! A device more: a form that shows the configuration which would do the same, and where the device has to connect.

use axum::extract::State;
use axum::response::Response;
use loggerhead_protocols::{ALL, Protocol};
use maud::{Markup, html};

use super::page::Page;
use super::visit::Visit;
use crate::api::Listener;
use crate::problem::Problem;
use crate::state::Api;

/// Shows the form.
pub(super) async fn show(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    let listeners = listeners(&api).await;
    let content = html! {
        form.columns #new-device data-api="POST /api/v1/devices" data-then="/devices/{id}" data-stay {
            section.stacked aria-label=(visit.t("setup.add")) {
                (fields(&visit))
                noscript { p.note { (visit.t("page.needs_scripts")) } }
            }
            div.stacked {
                section #doors aria-labelledby="doors-title" {
                    h2 #doors-title { (visit.t("add.doors")) }
                    @for protocol in ALL {
                        div.stacked data-when={ "protocol=" (protocol.name) } { (doors(&visit, &listeners, protocol)) }
                    }
                }
                section aria-labelledby="configuration-title" {
                    h2 #configuration-title { (visit.t("add.configuration")) }
                    p.hint { (visit.t("add.configuration_hint")) }
                    pre { code #configuration tabindex="0" {} }
                }
            }
        }
    };
    Ok(Page::new(visit.t("setup.add"), content).scripts(&["add.js"]).good(&visit))
}

/// Every listener, as the API has it.
pub(super) async fn listeners(api: &Api) -> Vec<Listener> {
    api.headend().listeners().await.into_iter().map(Listener::from).collect()
}

/// Where devices of a protocol connect; what to write into the configuration where they cannot.
pub(super) fn doors(visit: &Visit, listeners: &[Listener], protocol: &Protocol) -> Markup {
    let mut open = listeners.iter().filter(|listener| listener.protocol == protocol.name).peekable();
    if open.peek().is_none() {
        let (name, port) = (protocol.name, protocol.port);
        let snippet = format!("[[listener]]\nname = \"{name}\"\nprotocol = \"{name}\"\naddress = [\"0.0.0.0:{port}\"]");
        return html! {
            p { (visit.texts.phrase("add.no_door", &[("protocol", html! { (name) })])) }
            pre tabindex="0" { code.block { (snippet) } }
        };
    }
    html! {
        p { (visit.t("add.connects_to")) }
        ul {
            @for listener in open {
                @for address in &listener.addresses {
                    li { code { (address) } " (" (listener.name) @if listener.tls { ", TLS" } ")" }
                }
            }
        }
    }
}

/// What a text says of a protocol in particular, or else of all of them; told with the choice of the protocol.
fn hints(visit: &Visit, key: &str) -> Markup {
    html! {
        @for protocol in ALL {
            @let own = visit.texts.find(&format!("{key}.{}", protocol.name));
            small data-when={ "protocol=" (protocol.name) } { (own.unwrap_or(visit.t(key))) }
        }
    }
}

fn fields(visit: &Visit) -> Markup {
    html! {
        div.field {
            label for="protocol" { (visit.t("device.protocol")) }
            select #protocol name="protocol" {
                @for protocol in ALL { option value=(protocol.name) { (protocol.name) " – " (visit.texts.title(protocol)) } }
            }
        }
        div.field {
            label for="identity" { (visit.t("device.identity")) }
            input #identity name="identity" required autocomplete="off" spellcheck="false";
            (hints(visit, "add.identity_hint"))
        }
        div.field {
            label for="id" { (visit.t("add.id")) }
            input #id name="id" autocomplete="off" spellcheck="false";
            small { (visit.t("add.id_hint")) }
        }
        div.field {
            label for="site" { (visit.t("device.site")) }
            input #site name="site" autocomplete="off";
            small { (visit.t("add.site_hint")) }
        }
        div.field {
            label for="login" { (visit.t("add.login")) }
            select #login name="login" {
                option value="secret" { (visit.t("add.login_secret")) }
                option value="cipher" data-when="protocol=logger" { (visit.t("add.login_cipher")) }
                option value="name" { (visit.t("add.login_name")) }
                option value="certificate" { (visit.t("add.login_certificate")) }
            }
        }
        div.field data-when="login=secret" {
            label for="secret" { (visit.t("add.secret")) }
            input #secret name="secret" autocomplete="off" spellcheck="false" placeholder="text:IJKLMNOPQRSTUVWX" pattern="(text|hex):.+";
            small { (visit.t("add.secret_hint")) }
        }
        div.field data-when="protocol=logger" {
            label for="aes_key" { (visit.t("add.cipher")) }
            input #aes_key name="settings.aes_key" autocomplete="off" spellcheck="false" placeholder="text:0000000000123456" pattern="(text|hex):.+";
            small { (visit.t("add.cipher_hint")) }
        }
        div.field {
            label for="settings" { (visit.t("add.settings")) }
            textarea.short #settings name="settings" data-type="settings" autocomplete="off" spellcheck="false" {}
            (hints(visit, "add.settings_hint"))
        }
        div.row { button type="submit" { (visit.t("setup.add")) } }
    }
}
