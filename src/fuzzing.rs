//! Everything that reads bytes from outside, for fuzzers: `fuzz/` drives it for long, `tests/it/fuzzing.rs` a little with every
//! run of the tests. A target panics where something is wrong, and does nothing else that can be seen.

mod fleet;

use facegate_control::{Card, access::rules::Rulebook, access::rules::Rules, door::Command};

use crate::{
    api::fuzzing as api,
    config::Config,
    error::Kind,
    gallery::{EmbeddingId, Lifetime, Right, SubjectId, TenantId, Within},
    intake, journal, rulebook,
    vision::models::Manifest,
};

/// One of the readers: its name, which is its corpus' too, and itself.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 9] = [
    ("multipart", api::multipart),
    ("archive", api::archive),
    ("image", image),
    ("metadata", |bytes| text(bytes, api::metadata)),
    ("query", |bytes| text(bytes, api::query)),
    ("config", |bytes| text(bytes, config)),
    ("manifest", |bytes| text(bytes, manifest)),
    ("wire", wire),
    ("fleet", fleet::message),
];

fn text(bytes: &[u8], target: fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        target(text);
    }
}

/// An image is no larger than was allowed, and a file that is none is the client's mistake.
fn image(bytes: &[u8]) {
    let limits = intake::Limits { max_bytes: 1 << 20, max_pixels: 1 << 20 };
    match intake::decode(bytes, &limits) {
        Ok(image) => {
            let pixels = u64::from(image.width()) * u64::from(image.height());
            assert!((1..=limits.max_pixels).contains(&pixels), "{pixels} pixels");
        }
        Err(error) => {
            let refusals = [Kind::ImageTooLarge, Kind::UnsupportedImageFormat, Kind::ImageUndecodable];
            assert!(refusals.contains(&error.kind()), "{error:?}");
        }
    }
}

/// A configuration that is taken is the same when it is written and read again.
fn config(text: &str) {
    match Config::parse(text, "fuzz", std::iter::empty()) {
        Ok(config) => {
            let written = config.to_toml().expect("what is in force can be written");
            let again = Config::parse(&written, "fuzz", std::iter::empty()).expect("and read");
            assert_eq!(written, again.to_toml().expect("and written again"));
        }
        Err(error) => assert_eq!(error.kind(), Kind::Config, "{error:?}"),
    }
}

/// A manifest names files beside it, and none elsewhere.
fn manifest(text: &str) {
    match Manifest::parse(text, "fuzz") {
        Ok(manifest) => {
            for part in manifest.parts() {
                assert!(!part.file.contains('/') && part.file != "..", "{}", part.file);
            }
        }
        Err(error) => assert_eq!(error.kind(), Kind::Model, "{error:?}"),
    }
}

/// What stands in bodies, in the journal and on command lines. Rules that are taken can be compiled, or are refused; every
/// short text that is taken is the same when it is written and read again.
fn wire(bytes: &[u8]) {
    if let Ok(rules) = rulebook::read::<Rules>(bytes) {
        let written = serde_json::to_vec(&rules).expect("what was read can be written");
        assert_eq!(rulebook::read::<Rules>(&written).expect("and read"), rules);
        // Refused where they contradict themselves.
        let _ = Rulebook::compile(&rules, &rulebook::zones);
    }
    if let Ok(command) = rulebook::read::<Command>(bytes) {
        assert!(!command.describe().is_empty());
    }
    journal_line(bytes);
    if let Ok(card) = serde_json::from_slice::<Card>(bytes) {
        let written = serde_json::to_vec(&card).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<Card>(&written).expect("and read"), card);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        words(text);
    }
}

/// A line of the journal is not a record unless its hash is right; one whose hash is right is what it was.
fn journal_line(bytes: &[u8]) {
    if journal::check_line(bytes).is_ok() {
        let claimed = &bytes[bytes.len() - 66..bytes.len() - 2];
        let hashed = &bytes[..bytes.len() - 66 - ",\"hash\":\"".len()];
        assert_eq!(blake3::hash(hashed).to_hex().as_bytes(), claimed);
    }
    if let Ok(record) = serde_json::from_slice::<journal::Record>(bytes) {
        serde_json::to_vec(&record).expect("what was read can be written");
    }
}

fn words(text: &str) {
    // Lengths of time are at most a hundred years.
    if let Ok(Within(length)) = text.parse() {
        assert!(length.as_secs() <= 36_500 * 86_400);
    }
    if let Ok(lifetime) = text.parse::<Lifetime>() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        assert!(lifetime.end(now).is_ok_and(|end| end > now) || lifetime.end(now).is_err());
    }
    if let Ok(right) = text.parse::<Right>() {
        assert_eq!(right.name().parse::<Right>().expect("its name names it"), right);
    }
    if let Ok(subject) = text.parse::<SubjectId>() {
        assert_eq!(subject.as_str(), text);
    }
    if let Ok(tenant) = text.parse::<TenantId>() {
        assert_eq!(tenant.to_string(), text);
    }
    if let Ok(id) = text.parse::<EmbeddingId>() {
        assert_eq!(id.to_string().parse::<EmbeddingId>().expect("as it is written"), id);
    }
}
