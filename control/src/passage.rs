use serde::{Deserialize, Serialize};

/// How much time a person needs at the door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The door's usual strike time.
    #[default]
    Standard,
    /// The longer one, for people who need it.
    Extended,
}

/// Which way somebody passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Passage {
    /// Into the area that the door guards.
    #[default]
    Entry,
    /// Out of it.
    Exit,
}

impl Passage {
    /// The opposite way.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Entry => Self::Exit,
            Self::Exit => Self::Entry,
        }
    }
}
