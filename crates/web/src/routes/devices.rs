//! Devices: list, show, add, remove, accept; whether they are there.

use std::ops::ControlFlow;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use loggerhead_headend::{DeviceOrder, DeviceQuery, DeviceSort, DeviceStatus, Start};
use loggerhead_model::{DeviceId, Identity, Site};
use loggerhead_store::{DeviceSource, DeviceState, EventFilter, Login, ReadingFilter, Secret};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::{Device, DeviceList, NewDevice, Presence, PresenceCounts, ProblemDetails, SiteCounts, SiteList};
use crate::extract::{Body, Params, Segment, device_id, limited};
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// Devices on a page, unless the caller says otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most devices on a page.
const PAGE_MAX: usize = 1000;

/// Which devices, in which order, which page of them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Only in this state of presence: `connected-fresh`, `connected-silent`, `offline`, `never`.
    #[param(value_type = Option<String>)]
    presence: Option<loggerhead_model::Presence>,
    /// Only `active` or `pending` ones.
    #[param(value_type = Option<String>)]
    state: Option<DeviceState>,
    /// Only of this protocol.
    protocol: Option<String>,
    /// Only of this site.
    site: Option<String>,
    /// Only told of by the `configuration`, an `operator`, or itself (`enrolled`).
    #[param(value_type = Option<String>)]
    source: Option<DeviceSource>,
    /// Only with this text in id, identity or site, upper and lower case alike.
    search: Option<String>,
    /// Sorted by `id` (where nothing is said), `identity`, `presence` (what needs a look first), `protocol`, `site`,
    /// `heard` (when bytes were last received), `reading` (when a reading was), `readings` or `faults` (how many since the
    /// process started), `added` (when it became known). Devices that are equal in it are sorted by id.
    #[param(value_type = Option<String>)]
    sort: Option<DeviceSort>,
    /// `ascending` (where nothing is said) or `descending`.
    #[param(value_type = Option<String>)]
    order: Option<DeviceOrder>,
    /// Which page, from 1. A page beyond the last is empty.
    page: Option<usize>,
    /// Only after this id, instead of `page` and for an order by id: `next` of the page before. Nothing is missed or seen
    /// twice when devices come or go between two pages.
    after: Option<String>,
    /// Devices on the page, 1 to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

impl ListParams {
    fn query(self) -> Result<DeviceQuery, Problem> {
        let limit = limited(self.limit, PAGE_DEFAULT, PAGE_MAX)?;
        let sort = self.sort.unwrap_or_default();
        let wrong = |detail: &str| Problem::new(ProblemKind::BadRequest, detail.to_owned());
        let start = match (self.after, self.page) {
            (None, None) => Start::Skip(0),
            (None, Some(page)) => {
                let before = page.checked_sub(1).ok_or_else(|| wrong("page 0: the first page is 1"))?;
                Start::Skip(before.saturating_mul(limit))
            }
            (Some(_), Some(_)) => return Err(wrong("either page or after")),
            (Some(_), None) if sort != DeviceSort::Id => {
                return Err(wrong("after goes with an order by id alone: ask for a page"));
            }
            (Some(after), None) => Start::After(after),
        };
        Ok(DeviceQuery {
            presence: self.presence,
            state: self.state,
            source: self.source,
            protocol: self.protocol,
            site: self.site,
            search: self.search,
            sort,
            order: self.order.unwrap_or_default(),
            start,
            limit,
        })
    }
}

/// The devices, searched, filtered, sorted and cut into pages.
#[utoipa::path(
    get,
    path = "/api/v1/devices",
    tag = "devices",
    operation_id = "list_devices",
    params(ListParams),
    responses(
        (status = 200, description = "A page of devices.", body = DeviceList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(params): Params<ListParams>,
) -> Result<Json<DeviceList>, Problem> {
    let query = params.query()?;
    let page = api.headend().find_devices(&query);
    let is_last = page.before + page.devices.len() >= page.total;
    let next = page.devices.last().filter(|_| query.sort == DeviceSort::Id && !is_last);
    Ok(Json(DeviceList {
        next: next.map(|device| device.id.as_str().to_owned()),
        total: page.total,
        pages: page.total.div_ceil(query.limit),
        devices: page.devices.into_iter().map(Device::from).collect(),
    }))
}

/// Which sites.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SiteParams {
    /// Only with this text in their name, upper and lower case alike.
    search: Option<String>,
    /// Most sites, 1 to 1000; 1000 where nothing is said.
    limit: Option<usize>,
}

/// The sites of the devices, by name, with how many devices of each are in each state.
#[utoipa::path(
    get,
    path = "/api/v1/sites",
    tag = "devices",
    operation_id = "list_sites",
    params(SiteParams),
    responses(
        (status = 200, description = "The sites.", body = SiteList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sites(
    State(api): State<Api>,
    Params(params): Params<SiteParams>,
) -> Result<Json<SiteList>, Problem> {
    let limit = limited(params.limit, PAGE_MAX, PAGE_MAX)?;
    let search = params.search.unwrap_or_default().to_lowercase();
    let mut found = api.headend().sites();
    found.retain(|site| site.site.to_lowercase().contains(&search));
    let total = found.len();
    let sites = found.into_iter().take(limit);
    let sites = sites.map(|site| SiteCounts { site: site.site, devices: PresenceCounts::from(&site.tally) });
    Ok(Json(SiteList { sites: sites.collect(), total }))
}

/// One device.
#[utoipa::path(
    get,
    path = "/api/v1/devices/{id}",
    tag = "devices",
    operation_id = "show_device",
    params(("id" = String, Path, description = "Our name for the device.")),
    responses(
        (status = 200, description = "The device.", body = Device),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(State(api): State<Api>, Segment(id): Segment<String>) -> Result<Json<Device>, Problem> {
    find(&api, &id).map(|status| Json(Device::from(status)))
}

/// A list of a device that is empty because there is no such device is a mistake of whoever asks; of a device that was
/// removed and left something behind it is a list like any other.
pub(super) async fn check_known(api: &Api, device: Option<&DeviceId>, found: usize) -> Result<(), Problem> {
    let Some(id) = device.filter(|id| found == 0 && api.headend().device(id).is_none()) else { return Ok(()) };
    let channels = ReadingFilter { device: Some(id.clone()), ..ReadingFilter::default() };
    let events = EventFilter { device: Some(id.clone()), ..EventFilter::default() };
    let has_left_something = api.query(move |reader| {
        let mut has_event = false;
        reader.events(&events, &mut |_| {
            has_event = true;
            ControlFlow::Break(())
        })?;
        Ok(has_event || !reader.channels(&channels)?.is_empty())
    });
    if has_left_something.await? {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::UnknownDevice, format!("no device {id}")))
}

fn find(api: &Api, id: &str) -> Result<DeviceStatus, Problem> {
    api.headend()
        .device(&device_id(id)?)
        .ok_or_else(|| Problem::new(ProblemKind::UnknownDevice, format!("no device {id}")))
}

/// Adds a device. It is stored, and may log in at once.
#[utoipa::path(
    post,
    path = "/api/v1/devices",
    tag = "devices",
    operation_id = "add_device",
    request_body = NewDevice,
    responses(
        (status = 201, description = "Added.", body = Device),
        (status = 400, description = "A name, the secret or a setting cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 409, description = "The id or the identity is taken, or there are too many devices.",
            body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "The store cannot write.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn add(State(api): State<Api>, Body(new): Body<NewDevice>) -> Result<Response, Problem> {
    let status = api.headend().add_device(checked(new)?).await?;
    tracing::info!(device = %status.id, "device added");
    let place = format!("/api/v1/devices/{}", status.id);
    let mut response = (StatusCode::CREATED, Json(Device::from(status))).into_response();
    // An id may hold characters that a header cannot; then the body alone says where the device is.
    if let Ok(place) = place.parse() {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

fn checked(new: NewDevice) -> Result<loggerhead_headend::NewDevice, Problem> {
    let wrong = |detail: String| Problem::new(ProblemKind::BadRequest, detail);
    let id = new.id.as_deref().map(device_id).transpose()?;
    let identity =
        Identity::new(&new.identity).map_err(|error| wrong(format!("identity {:?}: {error}", new.identity)))?;
    let secret = new.secret.as_deref().map(secret).transpose()?;
    let settings = serde_json::Value::Object(new.settings);
    let settings: toml::Table =
        serde_json::from_value(settings).map_err(|error| wrong(format!("settings: {error}")))?;
    let site = new.site.as_deref().map(Site::new).transpose();
    let site = site.map_err(|error| wrong(format!("site: {error}")))?;
    let login = new.login.unwrap_or(Login::Secret);
    Ok(loggerhead_headend::NewDevice { id, protocol: new.protocol, identity, secret, login, settings, site })
}

/// Reads `text:...` or `hex:...`. What it says of a wrong one never repeats it.
fn secret(text: &str) -> Result<Secret, Problem> {
    let wrong = |detail| Problem::new(ProblemKind::BadRequest, detail);
    if let Some(text) = text.strip_prefix("text:") {
        return Ok(Secret::new(text.as_bytes().to_vec()));
    }
    let Some(digits) = text.strip_prefix("hex:") else {
        return Err(wrong("the secret begins neither with text: nor with hex:"));
    };
    let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let whole = digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
    match bytes {
        Some(bytes) if whole => Ok(Secret::new(bytes)),
        Some(_) | None => Err(wrong("the secret after hex: is not pairs of hex digits")),
    }
}

/// Removes a device and closes its sessions. What it sent stays stored.
#[utoipa::path(
    delete,
    path = "/api/v1/devices/{id}",
    tag = "devices",
    operation_id = "remove_device",
    params(("id" = String, Path, description = "Our name for the device.")),
    responses(
        (status = 204, description = "Removed."),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 409, description = "It stands in the configuration.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove(State(api): State<Api>, Segment(id): Segment<String>) -> Result<StatusCode, Problem> {
    api.headend().remove_device(&device_id(&id)?).await?;
    tracing::info!(device = %id, "device removed");
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a pending device in.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{id}/accept",
    tag = "devices",
    operation_id = "accept_device",
    params(("id" = String, Path, description = "Our name for the device.")),
    responses(
        (status = 200, description = "It may log in.", body = Device),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 409, description = "It is not pending.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn accept(State(api): State<Api>, Segment(id): Segment<String>) -> Result<Json<Device>, Problem> {
    let status = api.headend().accept_pending(&device_id(&id)?).await?;
    tracing::info!(device = %id, "pending device accepted");
    Ok(Json(Device::from(status)))
}

/// Turns a pending device away: it is forgotten, and may ask again.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{id}/refuse",
    tag = "devices",
    operation_id = "refuse_device",
    params(("id" = String, Path, description = "Our name for the device.")),
    responses(
        (status = 204, description = "Forgotten."),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 409, description = "It is not pending.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn refuse(State(api): State<Api>, Segment(id): Segment<String>) -> Result<StatusCode, Problem> {
    if find(&api, &id)?.state != DeviceState::Pending {
        return Err(Problem::new(ProblemKind::NotPending, format!("device {id} is not pending")));
    }
    api.headend().remove_device(&device_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a device is there, and how we know.
#[utoipa::path(
    get,
    path = "/api/v1/devices/{id}/presence",
    tag = "devices",
    operation_id = "show_presence",
    params(("id" = String, Path, description = "Our name for the device.")),
    responses(
        (status = 200, description = "Its state and the evidence.", body = Presence),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn presence(State(api): State<Api>, Segment(id): Segment<String>) -> Result<Json<Presence>, Problem> {
    find(&api, &id).map(|status| Json(Presence::from(status.evidence)))
}

/// How many devices are in each state.
#[utoipa::path(
    get,
    path = "/api/v1/presence",
    tag = "devices",
    operation_id = "count_presence",
    responses((status = 200, description = "Devices by state.", body = PresenceCounts))
)]
pub(crate) async fn presence_counts(State(api): State<Api>) -> Json<PresenceCounts> {
    Json(PresenceCounts::from(&api.headend().device_tally()))
}

#[cfg(test)]
mod tests {
    use super::secret;

    #[test]
    fn a_secret_is_text_or_hex_and_is_never_repeated() {
        assert_eq!(secret("text:ab").expect("text").expose(), b"ab");
        assert_eq!(secret("hex:00fF").expect("hex").expose(), [0, 255]);
        for bad in ["geheim", "hex:0", "hex:+1", "hex:xy", "hex:0é0"] {
            let problem = format!("{:?}", secret(bad).expect_err(bad));
            assert!(!problem.contains(bad), "{problem}");
        }
    }
}
