//! `facegate openapi`: the document that `GET /openapi.json` serves.

use super::{Answer, Context};
use crate::{api, error::Result};

pub fn run(context: &Context) -> Result<Answer> {
    context.out.result(&api::document(), |document| format!("{document:#}"));
    Ok(Answer::Yes)
}
