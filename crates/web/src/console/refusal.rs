//! Problems in the viewer's language: what happened and what to do, as a page for whoever reads pages.

use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use maud::html;

use super::page::Page;
use super::texts::{Language, Texts};
use super::visit::{Visit, language};
use crate::api::ProblemDetails;
use crate::problem::PROBLEMS_PATH;
use crate::state::Api;

/// Turns a problem in the answer into a page for whoever reads pages, and says it in their language to all others, such as forms.
pub(crate) async fn as_pages(State(api): State<Api>, request: Request, next: Next) -> Response {
    let wants_page = reads_pages(request.headers()) && !request.uri().path().starts_with("/api/");
    if !wants_page {
        let texts = language(request.headers()).texts();
        return said(texts, next.run(request).await);
    }
    let (mut parts, body) = request.into_parts();
    let Ok(mut visit) = Visit::from_request_parts(&mut parts, &api).await;
    let response = next.run(Request::from_parts(parts, body)).await;
    // Who is refused at the door is known by then only.
    visit.viewer = visit.viewer.or_else(|| response.extensions().get().cloned());
    match response.extensions().get::<ProblemDetails>() {
        Some(problem) => page(&visit, problem).answer(&visit, response.status()),
        None => response,
    }
}

/// The same answer with its problem in another language than English, which it has already.
fn said(texts: &Texts, mut response: Response) -> Response {
    let problem = response.extensions().get::<ProblemDetails>().filter(|_| texts.language != Language::English);
    if let Some(problem) = problem.map(|problem| texts.problem(problem))
        && let Ok(body) = serde_json::to_vec(&problem)
    {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        response.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(texts.language.tag()));
        *response.body_mut() = Body::from(body);
    }
    response
}

fn reads_pages(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

fn page(visit: &Visit, problem: &ProblemDetails) -> Page {
    let word = problem.kind.strip_prefix(PROBLEMS_PATH).unwrap_or_default();
    let own = |part: &str| visit.texts.find(&format!("problem.{word}.{part}"));
    let said = visit.texts.problem(problem);
    let title = own("title").map_or_else(|| said.title.to_string(), str::to_owned);
    let remedy = own("remedy").map_or_else(|| said.remedy.to_string(), str::to_owned);
    let content = html! {
        section.refusal {
            p.lead { (remedy) }
            p { code { (problem.status) " " (said.detail) } }
            p {
                a.button href="/" { (visit.t("problem.home")) } " "
                a href=(visit.place()) { (visit.t("problem.again")) }
            }
        }
    };
    Page::new(title, content)
}
