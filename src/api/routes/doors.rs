//! `/v1/doors`: how the caller's doors are, and what an operator asks of them.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::State as Shared,
    response::IntoResponse,
    routing::{get, post},
};
use facegate_control::door::Command;
use serde_json::json;

use super::access::{Answered, Body, Name, fields, name};
use crate::{
    api::{State, blocking, error::Failure},
    error::Kind,
    operator::Operator,
};

/// Longest body of a command, in bytes.
const LONGEST: usize = 4 << 10;

/// The routes, without their authentication. Each handler asks the desk, which knows who may what.
pub(in crate::api) fn router() -> Router<Arc<State>> {
    Router::new().route("/", get(list)).route("/{door}", get(one)).route("/{door}/commands", post(command))
}

async fn list(Shared(state): Shared<Arc<State>>, Extension(operator): Extension<Operator>) -> Answered {
    let doors = blocking(move || state.desk.doors(&operator)).await?;
    Ok(Json(json!({ "success": true, "count": doors.len(), "doors": doors })).into_response())
}

async fn one(Shared(state): Shared<Arc<State>>, Extension(operator): Extension<Operator>, path: Name) -> Answered {
    let door = name(path)?;
    let status = blocking(move || state.desk.door(&operator, &door)).await?;
    Ok(Json(json!({ "success": true, "door": status })).into_response())
}

/// The door has obeyed, or refused, when the answer is given.
async fn command(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
    path: Name,
    sent: Body,
) -> Answered {
    let door = name(path)?;
    let command: Command = fields(sent, LONGEST)?;
    let done = blocking(move || state.desk.command(&operator, &door, command)).await?;
    match done.refused {
        Some(why) => Err(Failure::new(Kind::DoorRefused, format!("the door refuses: {}", why.sentence()))),
        None => Ok(Json(json!({ "success": true, "mode": done.mode })).into_response()),
    }
}
