//! Commands: give one, see what became of it.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use loggerhead_model::{CommandId, CommandState, Order};
use serde::Deserialize;
use utoipa::IntoParams;

use super::devices::check_known;
use crate::api::{Command, CommandList, NewCommand, ProblemDetails};
use crate::extract::{Body, Params, Segment, device_id, limited};
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// Commands in an answer, unless the caller says otherwise.
const LIST_DEFAULT: usize = 100;
/// Most commands in an answer.
const LIST_MAX: usize = 1000;

/// Which commands.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CommandParams {
    /// Only to this device.
    device: Option<String>,
    /// Only in this state: `accepted`, `sent`, `answered`, `failed`, `expired`.
    state: Option<String>,
    /// Most commands in the answer, 1 to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

/// The newest commands that are remembered.
#[utoipa::path(
    get,
    path = "/api/v1/commands",
    tag = "commands",
    operation_id = "list_commands",
    params(CommandParams),
    responses(
        (status = 200, description = "The commands, the newest first.", body = CommandList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(params): Params<CommandParams>,
) -> Result<Json<CommandList>, Problem> {
    let limit = limited(params.limit, LIST_DEFAULT, LIST_MAX)?;
    let device = params.device.as_deref().map(device_id).transpose()?;
    if let Some(state) = params.state.as_deref().filter(|state| !CommandState::WORDS.contains(state)) {
        return Err(Problem::new(ProblemKind::BadRequest, format!("no state {state:?} of a command")));
    }
    let mut commands: Vec<Command> = api.headend().commands(device.as_ref()).into_iter().map(Command::from).collect();
    check_known(&api, device.as_ref(), commands.len()).await?;
    commands.retain(|command| params.state.as_ref().is_none_or(|state| command.state == *state));
    commands.sort_unstable_by_key(|command| std::cmp::Reverse(command.id));
    commands.truncate(limit);
    Ok(Json(CommandList { commands }))
}

/// One command.
#[utoipa::path(
    get,
    path = "/api/v1/commands/{id}",
    tag = "commands",
    operation_id = "show_command",
    params(("id" = u64, Path, description = "The command's number.")),
    responses(
        (status = 200, description = "The command.", body = Command),
        (status = 404, description = "No such command.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(State(api): State<Api>, Segment(id): Segment<u64>) -> Result<Json<Command>, Problem> {
    find(&api, CommandId(id)).map(Json)
}

fn find(api: &Api, id: CommandId) -> Result<Command, Problem> {
    api.headend()
        .command_status(id)
        .map(Command::from)
        .ok_or_else(|| Problem::new(ProblemKind::UnknownCommand, format!("no command {}", id.0)))
}

/// Asks something of a device. It is stored, then sent as soon as the device is there; its state can be asked for.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{id}/commands",
    tag = "commands",
    operation_id = "give_command",
    params(("id" = String, Path, description = "Our name for the device.")),
    request_body = NewCommand,
    responses(
        (status = 202, description = "Taken.", body = Command),
        (status = 400, description = "The order cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 409, description = "The device may not log in yet, or too many commands wait for it.",
            body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "The store cannot write.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn give(
    State(api): State<Api>,
    Segment(device): Segment<String>,
    Body(order): Body<NewCommand>,
) -> Result<Response, Problem> {
    let order = checked(order)?;
    let device = device_id(&device)?;
    tracing::info!(%device, ?order, "command taken from the API");
    let id = api.headend().command(&device, order).await?;
    let command = find(&api, id)?;
    let place = HeaderValue::try_from(format!("/api/v1/commands/{}", id.0)).expect("digits stand in a header");
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(command)).into_response())
}

/// The order, when a device could be asked it.
fn checked(order: NewCommand) -> Result<Order, Problem> {
    let order = Order::from(order);
    order.check().map_err(|error| Problem::new(ProblemKind::BadRequest, error.to_string()))?;
    Ok(order)
}
