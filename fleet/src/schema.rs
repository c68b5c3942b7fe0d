//! JSON Schemas of every message, and the AsyncAPI document of all topics.
