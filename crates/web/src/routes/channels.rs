//! Channels and their latest values.

use std::ops::ControlFlow;

use axum::Json;
use axum::extract::State;
use loggerhead_store::ReadingFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::devices::check_known;
use crate::api::{Channel, ChannelList, Latest, LatestList, ProblemDetails};
use crate::extract::{Params, device_id, limited};
use crate::page::Page;
use crate::problem::Problem;
use crate::state::Api;

/// Things on a page, unless the caller says otherwise.
const PAGE_DEFAULT: usize = 1000;
/// Most things on a page.
const PAGE_MAX: usize = 10_000;

/// Which channels, and which page of them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChannelParams {
    /// Only of this device.
    device: Option<String>,
    /// Only of the meter of this name.
    meter: Option<String>,
    /// Only of the function of this name.
    function: Option<String>,
    /// Only after this channel: `next` of the page before.
    after: Option<u32>,
    /// Things on the page, 1 to 10000; 1000 where nothing is said.
    limit: Option<usize>,
}

impl ChannelParams {
    fn filter(&self) -> Result<ReadingFilter, Problem> {
        let device = self.device.as_deref().map(device_id).transpose()?;
        Ok(ReadingFilter {
            device,
            meter: self.meter.clone(),
            function: self.function.clone(),
            ..ReadingFilter::default()
        })
    }
}

/// Steps over everything up to the channel that the page before ended with: the lists are in the order of names.
struct Behind(Option<u32>);

impl Behind {
    fn has(&mut self, channel: u32) -> bool {
        let waiting = self.0.is_some();
        self.0 = self.0.filter(|after| *after != channel);
        !waiting
    }
}

/// The channels, page by page, in the order of device, meter and function.
#[utoipa::path(
    get,
    path = "/api/v1/channels",
    tag = "readings",
    operation_id = "list_channels",
    params(ChannelParams),
    responses(
        (status = 200, description = "A page of channels.", body = ChannelList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "The store cannot answer.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(params): Params<ChannelParams>,
) -> Result<Json<ChannelList>, Problem> {
    let (filter, limit) = (params.filter()?, limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?);
    let device = filter.device.clone();
    let (mut behind, mut page) = (Behind(params.after), Page::new(limit));
    for channel in api.query(move |reader| reader.channels(&filter)).await? {
        if behind.has(channel.id.0) && page.take(channel.id.0, || Channel::from(channel)).is_break() {
            break;
        }
    }
    check_known(&api, device.as_ref(), page.kept.len()).await?;
    Ok(Json(ChannelList { next: page.next(), channels: page.kept }))
}

/// The latest reading of each channel, page by page, in the order of device, meter and function.
#[utoipa::path(
    get,
    path = "/api/v1/latest",
    tag = "readings",
    operation_id = "list_latest",
    params(ChannelParams),
    responses(
        (status = 200, description = "A page of readings.", body = LatestList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "The store cannot answer.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn latest(
    State(api): State<Api>,
    Params(params): Params<ChannelParams>,
) -> Result<Json<LatestList>, Problem> {
    let (filter, limit) = (params.filter()?, limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?);
    let device = filter.device.clone();
    let (mut behind, mut page) = (Behind(params.after), Page::new(limit));
    let page = api
        .query(move |reader| {
            reader.latest(&filter, &mut |stored| {
                if behind.has(stored.channel.0) {
                    page.take(stored.channel.0, || Latest::new(&stored))
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            Ok(page)
        })
        .await?;
    check_known(&api, device.as_ref(), page.kept.len()).await?;
    Ok(Json(LatestList { next: page.next(), readings: page.kept }))
}
