//! `/v1/doors`: how the caller's doors are, and what an operator asks of them.

use std::sync::Arc;

use axum::{Extension, Json, extract::State as Shared};
use facegate_control::door::{Command, Mode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer,
    access::{Body, Name, fields, name},
};
use crate::{
    api::{
        State, blocking,
        error::Failure,
        openapi::{self, failures},
    },
    error::Kind,
    gallery::Right,
    operator::{Operator, Status},
};

/// Longest body of a command, in bytes.
const LONGEST: usize = 4 << 10;

/// The routes, without their authentication. Each handler asks the desk, which knows who may what.
pub(in crate::api) fn router() -> OpenApiRouter<Arc<State>> {
    let mut router = OpenApiRouter::new().routes(routes!(list)).routes(routes!(one)).routes(routes!(command));
    openapi::all_told(&mut router, Right::Read, Right::Door);
    router
}

/// The doors.
#[derive(Serialize, ToSchema)]
struct DoorList {
    success: bool,
    count: usize,
    doors: Vec<Status>,
}

/// A door.
#[derive(Serialize, ToSchema)]
struct OneDoor {
    success: bool,
    door: Status,
}

/// A door has obeyed.
#[derive(Serialize, ToSchema)]
struct Obeyed {
    success: bool,
    /// How it is now.
    mode: Mode,
}

/// Tells how the caller's doors are.
#[utoipa::path(get, path = "/", responses((status = 200, description = "The doors.", body = DoorList)))]
async fn list(Shared(state): Shared<Arc<State>>, Extension(operator): Extension<Operator>) -> Answer<DoorList> {
    let doors = blocking(move || state.desk.doors(&operator)).await?;
    Ok(Json(DoorList { success: true, count: doors.len(), doors }))
}

/// Tells how a door is.
#[utoipa::path(get, path = "/{door}", params(("door" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The door.", body = OneDoor), failures::Query, failures::NotThere))]
async fn one(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
    path: Name,
) -> Answer<OneDoor> {
    let door = name(path)?;
    let door = blocking(move || state.desk.door(&operator, &door)).await?;
    Ok(Json(OneDoor { success: true, door }))
}

/// Commands a door: unlock, hold, lock down, release and so on.
///
/// The door has obeyed, or refused, when the answer is given.
#[utoipa::path(post, path = "/{door}/commands", params(("door" = String, Path, description = "Its name.")),
    request_body = Command,
    responses((status = 200, description = "It has obeyed.", body = Obeyed), failures::JsonBody, failures::NotThere,
        failures::DoorRefuses, failures::Recorded, failures::Stores))]
async fn command(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
    path: Name,
    sent: Body,
) -> Answer<Obeyed> {
    let door = name(path)?;
    let command: Command = fields(sent, LONGEST)?;
    let done = blocking(move || state.desk.command(&operator, &door, command)).await?;
    match done.refused {
        Some(why) => Err(Failure::new(Kind::DoorRefused, format!("the door refuses: {}", why.sentence()))),
        None => Ok(Json(Obeyed { success: true, mode: done.mode })),
    }
}
