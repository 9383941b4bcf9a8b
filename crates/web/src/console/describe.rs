//! The API, browsable: every operation of the description, with what it takes and gives.

use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::page::Page;
use super::visit::Visit;
use crate::openapi;

/// Nesting of schemas that is shown; deeper ones are links.
const DEPTH_MAX: usize = 2;

/// Shows all of it on one page, which browsers search well.
pub(super) async fn show(visit: Visit) -> Response {
    let description = openapi::description();
    let empty = Vec::new();
    let tags = description["tags"].as_array().unwrap_or(&empty);
    let content = html! {
        section {
            p { (description.pointer("/info/description").map_or("", text)) }
            p { a href="/api/v1/openapi.json" { "openapi.json" } }
            p.chips { @for tag in tags { a.chip href={ "#" (text(&tag["name"])) } { (text(&tag["name"])) } } }
        }
        @for tag in tags {
            @let name = text(&tag["name"]);
            section id=(name) aria-labelledby={ (name) "-title" } {
                h2 id={ (name) "-title" } { (name) }
                p.note lang="en" { (text(&tag["description"])) }
                @for (path, method, operation) in operations(description, name) { (one(&visit, path, method, operation)) }
            }
        }
        section #schemas aria-labelledby="schemas-title" {
            h2 #schemas-title { (visit.t("api.schemas")) }
            @if let Some(schemas) = description.pointer("/components/schemas").and_then(Value::as_object) {
                @for (name, schema) in schemas {
                    details id={ "schema-" (name) } lang="en" { summary { code { (name) } } (fields(schema)) }
                }
            }
        }
    };
    Page::new(visit.t("nav.api"), content).good(&visit)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The operations of a tag, in the order of their paths.
fn operations<'a>(description: &'a Value, tag: &str) -> Vec<(&'a str, &'a str, &'a Value)> {
    let paths = description["paths"].as_object().into_iter().flatten();
    let all = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    all.filter(|(_, _, operation)| operation["tags"].as_array().is_some_and(|tags| tags.iter().any(|each| each == tag)))
        .collect()
}

fn one(visit: &Visit, path: &str, method: &str, operation: &Value) -> Markup {
    let empty = Vec::new();
    let parameters = operation["parameters"].as_array().unwrap_or(&empty);
    html! {
        details.operation id=(text(&operation["operationId"])) lang="en" {
            summary { span.method { (method.to_uppercase()) } " " code { (path) } " " (text(&operation["summary"])) }
            p { (text(&operation["description"])) }
            @if !parameters.is_empty() {
                div.scroll { table {
                    caption { span lang=(visit.texts.language.tag()) { (visit.t("api.parameters")) } }
                    @for parameter in parameters {
                        tr {
                            th scope="row" { code { (text(&parameter["name"])) } }
                            td { (text(&parameter["in"])) @if parameter["required"] == true { " · required" } }
                            td { (kind(&parameter["schema"], 0)) }
                            td { (text(&parameter["description"])) }
                        }
                    }
                } }
            }
            @if let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") {
                p { span lang=(visit.texts.language.tag()) { (visit.t("api.body")) } ": " (kind(schema, 0)) }
            }
            @if let Some(responses) = operation["responses"].as_object() {
                div.scroll { table {
                    caption { span lang=(visit.texts.language.tag()) { (visit.t("api.answers")) } }
                    @for (status, response) in responses {
                        tr {
                            th scope="row" { code { (status) } }
                            td { (text(&response["description"])) }
                            td { @for content in response["content"].as_object().into_iter().flatten() { code { (content.0) } " " (kind(&content.1["schema"], 0)) " " } }
                        }
                    }
                } }
            }
        }
    }
}

/// What a value may be, in a few words.
fn kind(schema: &Value, depth: usize) -> Markup {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return html! { a href={ "#schema-" (name) } { (name) } };
    }
    let alternatives = ["oneOf", "anyOf", "allOf"].iter().find_map(|word| schema[*word].as_array());
    if let Some(alternatives) = alternatives.filter(|_| depth < DEPTH_MAX) {
        return html! { @for (place, each) in alternatives.iter().enumerate() { @if place > 0 { " | " } (kind(each, depth + 1)) } };
    }
    if let Some(words) = schema["enum"].as_array() {
        return html! { @for (place, word) in words.iter().enumerate() { @if place > 0 { " | " } code { (word.to_string()) } } };
    }
    let name = match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(" | "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "any".to_owned(),
    };
    if name == "array" && depth < DEPTH_MAX {
        return html! { "list of " (kind(&schema["items"], depth + 1)) };
    }
    html! { (name) }
}

/// The fields of a schema.
fn fields(schema: &Value) -> Markup {
    html! {
        p { (text(&schema["description"])) }
        @if let Some(properties) = schema["properties"].as_object() {
            div.scroll { table { @for (name, field) in properties {
                tr { th scope="row" { code { (name) } } td { (kind(field, 0)) } td { (text(&field["description"])) } }
            } } }
        } @else { p { (kind(schema, 0)) } }
    }
}
