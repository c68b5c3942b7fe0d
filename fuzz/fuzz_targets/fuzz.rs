//! What libFuzzer calls: one program for all targets, of which `FACEGATE_FUZZ_TARGET` names one.

#![no_main]

use std::sync::OnceLock;

use facegate::fuzzing::TARGETS;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn named() -> fn(&[u8]) {
    let name = std::env::var("FACEGATE_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(other, _)| *other == name);
    found.map_or_else(|| panic!("FACEGATE_FUZZ_TARGET is '{name}'; it names one of {:?}", TARGETS.map(|t| t.0)), |t| t.1)
}

/// A panic does not unwind out of here: it aborts, and libFuzzer keeps the input.
///
/// # Safety
/// `data` points at `size` bytes that nobody changes meanwhile, as libFuzzer promises; at anything where `size` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
    let bytes = if size == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, size) } };
    TARGET.get_or_init(named)(bytes);
    0
}
