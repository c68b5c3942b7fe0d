//! The readers and converters against the files as they were published, and against the same networks converted by others'
//! tools. Both are in the folder that FACEGATE_MODELS names; without it these tests say so and end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use facegate_models::convert::Make;
use facegate_models::identity::Hash;
use facegate_models::manifest::Manifest;
use facegate_models::onnx::{self, GraphProto};

/// The file in the folder, if there is such a folder.
fn file(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("FACEGATE_MODELS").map(PathBuf::from).filter(|folder| folder.is_dir());
    let Some(folder) = folder else {
        eprintln!("skipped: FACEGATE_MODELS names no folder with originals/ and door/");
        return None;
    };
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("skipped: {}: {error}", path.display());
            None
        }
    }
}

/// What a node does: its operator, its settings but for those that are the default, and its constants as floats.
type Step = (String, Vec<(String, Vec<i64>)>, Vec<(Vec<i64>, Vec<f32>)>);

/// The steps of a network, where a DequantizeLinear counts as the floats that it gives.
fn steps(bytes: &[u8]) -> Vec<Step> {
    let (_, graph) = onnx::read(bytes).expect("an ONNX file");
    let mut constants = constants(&graph);
    let mut steps = Vec::new();
    for node in &graph.node {
        let inputs = node.input.iter().filter_map(|name| constants.get(name).cloned()).collect::<Vec<_>>();
        if node.op_type == "DequantizeLinear" {
            let (dims, values) = &inputs[0];
            let scale = inputs[1].1[0];
            constants
                .insert(node.output[0].clone(), (dims.clone(), values.iter().map(|value| value * scale).collect()));
            continue;
        }
        let mut settings = node
            .attribute
            .iter()
            .map(|attribute| (attribute.name.clone(), [attribute.ints.clone(), vec![attribute.i]].concat()))
            .filter(|(name, values)| match name.as_str() {
                "dilations" | "strides" => values != &[1, 1, 0],
                "pads" => values.iter().any(|&value| value != 0),
                _ => true,
            })
            .collect::<Vec<_>>();
        settings.sort();
        steps.push((node.op_type.clone(), settings, inputs));
    }
    steps
}

fn constants(graph: &GraphProto) -> HashMap<String, (Vec<i64>, Vec<f32>)> {
    let read = |constant: &onnx::TensorProto| match constant.data_type {
        onnx::INT8 => constant.raw_data.iter().map(|byte| f32::from(byte.cast_signed())).collect(),
        _ => constant.to_floats().unwrap_or_default(),
    };
    graph.initializer.iter().map(|constant| (constant.name.clone(), (constant.dims.clone(), read(constant)))).collect()
}

/// The largest difference between two networks' constants, relative to the largest value of each; their steps must be the
/// same.
fn difference(made: &[u8], expected: &[u8]) -> f32 {
    let (made, expected) = (steps(made), steps(expected));
    assert_eq!(made.len(), expected.len());
    let mut worst = 0f32;
    for (at, (made, expected)) in made.iter().zip(&expected).enumerate() {
        assert_eq!((&made.0, &made.1), (&expected.0, &expected.1), "step {at}");
        assert_eq!(made.2.len(), expected.2.len(), "step {at}");
        for ((dims, values), (expected_dims, expected)) in made.2.iter().zip(&expected.2) {
            assert_eq!((dims, values.len()), (expected_dims, expected.len()), "step {at}");
            let largest = expected.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
            for (value, expected) in values.iter().zip(expected) {
                worst = worst.max((value - expected).abs() / largest);
            }
        }
    }
    worst
}

/// The product is the one that the pack's manifest names.
fn assert_pinned(made: &[u8], product: &str) {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package lies");
    let manifest = Manifest::read(&Path::new(&package).join("../door")).expect("the manifest is good");
    let product = manifest.products.iter().find(|other| other.file == product).expect("the pack has that file");
    assert_eq!(Hash::of(made), product.identity.sha256);
}

#[test]
fn the_recogniser_is_what_others_make_of_it() {
    let (Some(published), Some(expected)) =
        (file("originals/human_face_feat_mbf_s8_v1.p4.espdl"), file("door/espdl_mbf_512_w8.onnx"))
    else {
        return;
    };
    let made = Make::Espdl.run(&published).expect("it converts");
    assert_eq!(difference(&made, &expected), 0.0, "integers and powers of two leave nothing to round");
    assert_pinned(&made, "recogniser.onnx");
}

#[test]
fn the_liveness_networks_are_what_others_make_of_them() {
    for (published, expected, product) in [
        ("2.7_80x80_MiniFASNetV2.pth", "MiniFASNetV2_2.7_80x80.onnx", "liveness-2.7.onnx"),
        ("4_0_0_80x80_MiniFASNetV1SE.pth", "MiniFASNetV1SE_4.0_80x80.onnx", "liveness-4.0.onnx"),
    ] {
        let (Some(published), Some(expected)) =
            (file(&format!("originals/{published}")), file(&format!("door/{expected}")))
        else {
            return;
        };
        let made = Make::Minifasnet.run(&published).expect("it converts");
        let difference = difference(&made, &expected);
        assert!(difference < 1e-6, "constants differ by {difference} of the largest");
        assert_pinned(&made, product);
    }
}

#[test]
fn published_files_that_were_damaged_are_errors_or_networks_never_panics() {
    for (name, make) in [
        ("human_face_feat_mbf_s8_v1.p4.espdl", Make::Espdl),
        ("2.7_80x80_MiniFASNetV2.pth", Make::Minifasnet),
        ("4_0_0_80x80_MiniFASNetV1SE.pth", Make::Minifasnet),
    ] {
        let Some(published) = file(&format!("originals/{name}")) else { return };
        for part in 0..16 {
            assert!(make.run(&published[..published.len() * part / 16]).is_err(), "{name} cut to {part}/16");
        }
        // Every 997th byte of the first 80,000, where the structure is, becomes another one.
        for at in (0..80_000).step_by(997) {
            let mut damaged = published.clone();
            damaged[at] ^= 0x91;
            let _ = make.run(&damaged);
        }
    }
}
