//! The chat: conversations with people and in rooms, as the account that is signed in. The server makes the frame; what
//! is said comes over a WebSocket, and a script shows it as text.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::page::Page;
use super::visit::Visit;
use crate::state::Api;

/// What the configuration needs for a chat.
const LISTENER: &str = "[[listener]]\nname = \"chat\"\nprotocol = \"chat\"\naddress = [\"127.0.0.1:57211\"]";

/// Shows the frame of it, or what is missing.
pub(super) async fn show(visit: Visit, State(api): State<Api>) -> Response {
    let title = visit.t("nav.chat");
    let Some(account) = visit.viewer.as_ref().and_then(|viewer| viewer.account().map(str::to_owned)) else {
        return Page::new(title, html! { section { p.note { (visit.t("chat.accounts_only")) } } }).good(&visit);
    };
    if !api.headend().takes_people().await {
        let content = html! {
            section {
                div.empty {
                    p { strong { (visit.t("chat.none")) } }
                    p { (visit.t("chat.none_do")) }
                    pre { code { (LISTENER) } }
                }
            }
        };
        return Page::new(title, content).good(&visit);
    }
    let heading = html! {
        h1 { (title) }
        p #chat-state .connection role="status" data-state="waiting" { (visit.t("live.waiting")) }
    };
    let content = html! {
        div #chat .chat data-account=(account) {
            (conversations(&visit))
            (conversation(&visit))
        }
        noscript { p.note { (visit.t("page.needs_scripts")) } }
    };
    Page::new(title, content).heading(heading).scripts(&["chat.js"]).good(&visit)
}

fn conversations(visit: &Visit) -> Markup {
    html! {
        section aria-labelledby="talks-title" {
            h2 #talks-title { (visit.t("chat.talks")) }
            ul #talks .talks {}
            form #begin autocomplete="off" {
                div.field {
                    label for="person" { (visit.t("chat.person")) }
                    input #person name="name" required maxlength="128";
                }
                button.quiet type="submit" { (visit.t("chat.begin")) }
            }
            form #join autocomplete="off" {
                div.field {
                    label for="room" { (visit.t("chat.room")) }
                    input #room name="name" required maxlength="128";
                }
                button.quiet type="submit" { (visit.t("chat.join")) }
            }
        }
    }
}

fn conversation(visit: &Visit) -> Markup {
    html! {
        section.talk aria-labelledby="talk-title" {
            div.row hidden #replaced role="alert" {
                p { (visit.t("chat.replaced")) }
                button #take-back type="button" { (visit.t("chat.take_back")) }
            }
            div.title {
                h2 #talk-title { (visit.t("chat.pick")) }
                p #talk-people .note {}
                button #leave .quiet type="button" hidden { (visit.t("chat.leave")) }
            }
            form #search .filter role="search" autocomplete="off" hidden {
                div."field grow" {
                    label for="words" { (visit.t("chat.search")) }
                    input #words type="search" name="words";
                }
                p #found .note role="status" {}
            }
            button #earlier .quiet type="button" hidden { (visit.t("chat.earlier")) }
            div #said .said role="log" aria-labelledby="talk-title" tabindex="0" {}
            form #say autocomplete="off" hidden {
                div.field {
                    label for="text" { (visit.t("chat.message")) }
                    textarea #text name="text" rows="2" required aria-describedby="say-hint" {}
                    small #say-hint { (visit.t("chat.hint")) }
                }
                button type="submit" { (visit.t("chat.send")) }
            }
        }
    }
}
