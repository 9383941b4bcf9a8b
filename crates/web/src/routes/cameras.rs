//! Cameras: who has them, what is said of them, and taking one from an account.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use loggerhead_model::{DeviceId, Receipt, Timestamp};
use loggerhead_protocols::bindings::{self, ALARM, CameraStatus, ONLINE, Registry};
use loggerhead_store::ReadingFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::{
    Camera, CameraAccount, CameraAccountList, CameraAlarm, CameraList, NewCameraAlarm, NewCameraState, ProblemDetails,
    Time,
};
use crate::extract::{Body, Params, Segment, device_id, limited};
use crate::problem::{Problem, ProblemKind};
use crate::state::{Api, now};

/// Rows of a page, unless the caller says otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most rows of a page.
const PAGE_MAX: usize = 1000;
/// Longest kind of an alarm: a word or two, that an app shows in one line.
const ALARM_BYTES_MAX: usize = 256;

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// Only after this name: `next` of the page before.
    after: Option<String>,
    /// Rows on the page, 1 to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

/// The cameras with their states and the accounts that have them, page by page.
#[utoipa::path(
    get,
    path = "/api/v1/cameras",
    tag = "cameras",
    operation_id = "list_cameras",
    params(PageParams),
    responses(
        (status = 200, description = "A page of cameras, by name.", body = CameraList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "The store cannot answer.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(params): Params<PageParams>,
) -> Result<Json<CameraList>, Problem> {
    let limit = limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    cameras_after(&api, params.after.as_deref(), limit).await.map(Json)
}

/// A page of cameras.
///
/// # Errors
/// `Store` when the store cannot say which alarms there were.
pub(crate) async fn cameras_after(api: &Api, after: Option<&str>, limit: usize) -> Result<CameraList, Problem> {
    let mut found = registry(api)?.cameras(after, limit + 1);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let alarms = last_alarms(api).await?;
    let of = |device: &Option<DeviceId>| device.as_ref().and_then(|device| alarms.get(device));
    let camera = |status: CameraStatus| {
        let last = of(&status.device).into_iter().chain(of(&status.source)).max_by_key(|(at, _)| *at);
        let alarm = last.map(|(at, alarm)| CameraAlarm { alarm: alarm.clone(), at: Time(*at) });
        Camera::new(status, alarm)
    };
    let cameras: Vec<_> = found.into_iter().map(camera).collect();
    let next = cameras.last().filter(|_| has_more).map(|last| last.name.clone());
    Ok(CameraList { cameras, next })
}

/// The last alarm of every device that raised one.
async fn last_alarms(api: &Api) -> Result<BTreeMap<DeviceId, (Timestamp, String)>, Problem> {
    let filter = ReadingFilter { function: Some(ALARM.to_owned()), ..ReadingFilter::default() };
    api.query(move |reader| {
        let mut alarms = BTreeMap::<DeviceId, (Timestamp, String)>::new();
        reader.latest(&filter, &mut |stored| {
            let (at, what) = (stored.reading.measured_at, stored.reading.value.to_string());
            let last = alarms.entry(stored.device.clone()).or_insert_with(|| (at, what.clone()));
            if last.0 < at {
                *last = (at, what);
            }
            ControlFlow::Continue(())
        })?;
        Ok(alarms)
    })
    .await
}

/// An alarm of the past.
pub(crate) struct PastAlarm {
    /// The cameras that its device speaks for.
    pub(crate) cameras: Vec<Arc<str>>,
    /// What kind of alarm.
    pub(crate) alarm: String,
    /// When it was raised.
    pub(crate) at: Timestamp,
}

/// The last `count` alarms of cameras since `from`, the last one first.
///
/// # Errors
/// `Store` when the store cannot say which alarms there were.
pub(crate) async fn alarms_since(api: &Api, from: Timestamp, count: usize) -> Result<Vec<PastAlarm>, Problem> {
    let registry = registry(api)?;
    let filter = ReadingFilter { function: Some(ALARM.to_owned()), from: Some(from), ..ReadingFilter::default() };
    api.query(move |reader| {
        let mut last = BTreeSet::new();
        reader.scan(&filter, &mut |stored| {
            let at = stored.reading.measured_at;
            let is_older = last.first().is_some_and(|(first, _, _): &(Timestamp, _, _)| at < *first);
            // A device that speaks for no camera may have a function of that name.
            let is_wanted = last.len() < count || !is_older;
            if is_wanted && !registry.spoken_for(stored.device).is_empty() {
                last.insert((at, stored.device.clone(), stored.reading.value.to_string()));
            }
            if last.len() > count {
                last.pop_first();
            }
            ControlFlow::Continue(())
        })?;
        let past = last.into_iter().rev().map(|(at, device, alarm)| PastAlarm {
            cameras: registry.spoken_for(&device),
            alarm,
            at,
        });
        Ok(past.collect())
    })
    .await
}

/// The accounts with their cameras, page by page.
#[utoipa::path(
    get,
    path = "/api/v1/cameras/accounts",
    tag = "cameras",
    operation_id = "list_camera_accounts",
    params(PageParams),
    responses(
        (status = 200, description = "A page of accounts, by name.", body = CameraAccountList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn accounts(
    State(api): State<Api>,
    Params(params): Params<PageParams>,
) -> Result<Json<CameraAccountList>, Problem> {
    let limit = limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    accounts_after(&api, params.after.as_deref(), limit).map(Json)
}

/// A page of accounts.
///
/// # Errors
/// `NoListener` where no protocol has cameras.
pub(crate) fn accounts_after(api: &Api, after: Option<&str>, limit: usize) -> Result<CameraAccountList, Problem> {
    let found = registry(api)?.accounts(after, limit + 1);
    let has_more = found.len() > limit;
    let accounts: Vec<CameraAccount> = found.into_iter().take(limit).map(Into::into).collect();
    let next = accounts.last().filter(|_| has_more).map(|last| last.name.clone());
    Ok(CameraAccountList { accounts, next })
}

/// Takes a camera from an account. Its apps have it no more when they synchronise their lists.
#[utoipa::path(
    delete,
    path = "/api/v1/cameras/{id}/accounts/{name}",
    tag = "cameras",
    operation_id = "unbind_camera",
    params(
        ("id" = String, Path, description = "The camera's device, or its own name where it has none."),
        ("name" = String, Path, description = "The account."),
    ),
    responses(
        (status = 204, description = "The account has it no more."),
        (status = 404, description = "The account has no such camera.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "The store cannot write.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn unbind(
    State(api): State<Api>,
    Segment((id, name)): Segment<(String, String)>,
) -> Result<StatusCode, Problem> {
    let registry = registry(&api)?;
    let known = device_id(&id).ok().and_then(|device| registry.camera(&device));
    let camera = known.map_or(id, |camera| camera.name.to_string());
    let unknown = || Problem::new(ProblemKind::UnknownDevice, format!("{name} has no camera {camera}"));
    let unbinding = registry.unbind(&name, &camera).ok_or_else(unknown)?;
    let receipt = api.headend().keep(unbinding.records(now())).await.map_err(not_kept)?;
    unbinding.stored(receipt);
    Ok(StatusCode::NO_CONTENT)
}

/// Raises an alarm of a camera: it is stored, and every app that has the camera is told at once.
#[utoipa::path(
    post,
    path = "/api/v1/cameras/{id}/alarms",
    tag = "cameras",
    operation_id = "raise_alarm",
    params(("id" = String, Path, description = "The camera's device.")),
    request_body = NewCameraAlarm,
    responses(
        (status = 204, description = "It is stored."),
        (status = 400, description = "The alarm cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such camera.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "The store cannot write.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn raise(
    State(api): State<Api>,
    Segment(id): Segment<String>,
    Body(new): Body<NewCameraAlarm>,
) -> Result<StatusCode, Problem> {
    let length = new.alarm.len();
    if !(1..=ALARM_BYTES_MAX).contains(&length) || new.alarm.contains(|sign: char| sign.is_control()) {
        let detail = format!("an alarm is 1 to {ALARM_BYTES_MAX} bytes of one line, not {length}");
        return Err(Problem::new(ProblemKind::BadRequest, detail));
    }
    say(&api, &id, ALARM, &new.alarm, new.at.map(|at| at.0)).await
}

/// Says whether a camera is there: it is stored, and every app that has the camera is told.
#[utoipa::path(
    post,
    path = "/api/v1/cameras/{id}/state",
    tag = "cameras",
    operation_id = "set_camera_state",
    params(("id" = String, Path, description = "The camera's device.")),
    request_body = NewCameraState,
    responses(
        (status = 204, description = "It is stored."),
        (status = 400, description = "The state cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such camera.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "The store cannot write.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn set_state(
    State(api): State<Api>,
    Segment(id): Segment<String>,
    Body(new): Body<NewCameraState>,
) -> Result<StatusCode, Problem> {
    let word = match new.state {
        Some(true) => "true",
        Some(false) => "false",
        None => "null",
    };
    say(&api, &id, ONLINE, word, None).await
}

/// Keeps what is said of a camera as a reading of its device; from there it is told like that of any source.
async fn say(api: &Api, id: &str, function: &str, what: &str, at: Option<Timestamp>) -> Result<StatusCode, Problem> {
    let device = device_id(id)?;
    let unknown = || Problem::new(ProblemKind::UnknownDevice, format!("no camera {id}"));
    let registry = registry(api)?;
    registry.camera(&device).ok_or_else(unknown)?;
    let at = at.unwrap_or_else(|| registry.moment(&device, now()));
    let wrong = || Problem::new(ProblemKind::BadRequest, "it cannot be kept as a reading");
    let records = bindings::said(&device, function, what, at, now()).ok_or_else(wrong)?;
    api.headend().keep(records).await.map(acknowledged).map_err(not_kept)
}

/// The answer to what is stored.
#[expect(clippy::needless_pass_by_value, reason = "a receipt is used up by the answer that it allows")]
fn acknowledged(receipt: Receipt) -> StatusCode {
    let _ = receipt;
    StatusCode::NO_CONTENT
}

fn registry(api: &Api) -> Result<Arc<Registry>, Problem> {
    api.headend().cameras().ok_or_else(|| Problem::new(ProblemKind::NoListener, "no listener has cameras"))
}

fn not_kept(error: loggerhead_headend::NotKept) -> Problem {
    Problem::new(ProblemKind::Store, error.to_string())
}
