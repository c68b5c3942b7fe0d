use serde::{Deserialize, Serialize};

/// How much time a person needs at a door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The door's usual strike time.
    #[default]
    Standard,
    /// The longer one, for people who need it.
    Extended,
}

/// Which way somebody goes through a door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passage {
    /// From the outer side to the inner.
    #[default]
    Entry,
    /// From the inner side to the outer.
    Exit,
}
