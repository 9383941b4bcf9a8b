//! Devices: list, show, add, remove, accept; whether they are there.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use loggerhead_headend::DeviceStatus;
use loggerhead_model::Identity;
use loggerhead_store::{DeviceSource, DeviceState, Login, Secret};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::{Device, DeviceList, NewDevice, Presence, PresenceCounts, ProblemDetails};
use crate::extract::{Body, Params, Segment, device_id, limited};
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// Devices on a page, unless the caller says otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most devices on a page.
const PAGE_MAX: usize = 1000;

/// Which devices, and which page of them.
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
    /// Only told of by the `configuration`, an `operator`, or itself (`enrolled`).
    #[param(value_type = Option<String>)]
    source: Option<DeviceSource>,
    /// Only with this text in id or identity, upper and lower case alike.
    search: Option<String>,
    /// Only after this id: `next` of the page before.
    after: Option<String>,
    /// Devices on the page, 1 to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

impl ListParams {
    fn fits(&self, status: &DeviceStatus) -> bool {
        let holds = |text: &str, part: &str| text.to_lowercase().contains(part);
        self.presence.is_none_or(|presence| status.evidence.presence == presence)
            && self.state.is_none_or(|state| status.state == state)
            && self.source.is_none_or(|source| status.source == source)
            && self.protocol.as_ref().is_none_or(|protocol| status.protocol == *protocol)
            && self
                .search
                .as_ref()
                .map(|part| part.to_lowercase())
                .is_none_or(|part| holds(status.id.as_str(), &part) || holds(status.identity.as_str(), &part))
    }
}

/// The devices, page by page, in the order of their ids.
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
    let limit = limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let mut found: Vec<DeviceStatus> =
        api.headend().devices().into_iter().filter(|status| params.fits(status)).collect();
    found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let total = found.len();
    let seen = params.after.as_deref().map_or(0, |after| found.partition_point(|status| status.id.as_str() <= after));
    let devices: Vec<Device> = found.into_iter().skip(seen).take(limit).map(Device::from).collect();
    let next = (seen + devices.len() < total).then(|| devices.last().map(|device| device.id.clone())).flatten();
    Ok(Json(DeviceList { devices, total, next }))
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
    let login = new.login.unwrap_or(Login::Secret);
    Ok(loggerhead_headend::NewDevice { id, protocol: new.protocol, identity, secret, login, settings })
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
    Json(counts(&api))
}

/// How many devices are in each state; a state without any is there with 0.
pub(crate) fn counts(api: &Api) -> PresenceCounts {
    let mut counts = PresenceCounts::default();
    for state in loggerhead_model::Presence::ALL {
        counts.states.insert(state.word().to_owned(), 0);
    }
    for status in api.headend().devices() {
        *counts.states.entry(status.evidence.presence.word().to_owned()).or_default() += 1;
        counts.pending += u64::from(status.state == DeviceState::Pending);
    }
    counts
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
