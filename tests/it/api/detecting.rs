//! What is seen in photographs without anybody being enrolled: faces, and whether two are alike.

use image::{DynamicImage, ImageFormat};
use serde_json::Value;

use super::images::encoded;
use crate::support::{
    Server,
    http::{Form, call},
    photo,
};

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|number| number.as_f64().expect("a number")).collect()
}

#[test]
fn detect_says_where_the_face_is_and_whether_it_could_be_enrolled() {
    let server = Server::start();
    let reply = server.call("POST", "/detect", Some(&Form::new().image(&photo("obama.jpg"))));
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    let seen = reply.body;
    assert_eq!(seen["face_count"], 1);
    let picture = image::load_from_memory(&photo("obama.jpg")).expect("a photograph");
    assert_eq!((&seen["image_width"], &seen["image_height"]), (&picture.width().into(), &picture.height().into()));

    let face = &seen["faces"][0];
    let side = |name: &str| face["box"][name].as_f64().expect("a number");
    let inside = |x: f64, y: f64| {
        (side("left")..side("left") + side("width")).contains(&x)
            && (side("top")..side("top") + side("height")).contains(&y)
    };
    let points: Vec<_> = face["landmarks"].as_array().expect("five points").iter().map(numbers).collect();
    assert!(points.len() == 5 && points.iter().all(|point| inside(point[0], point[1])), "{face}");
    assert!(points[0][0] < points[1][0] && points[3][0] < points[4][0], "left is the picture's left: {face}");
    assert!(points[0][1] < points[2][1] && points[2][1] < points[3][1], "eyes above nose above mouth: {face}");
    assert!(
        face["confidence"].as_f64().is_some_and(|score| score > 0.5) && face["quality_reasons"] == Value::Array(vec![])
    );
    assert!(face["quality_score"].as_f64().is_some_and(|score| score > 0.0));

    // A face that enrolment would refuse says why, as enrolment does.
    let small = encoded(&picture.thumbnail(90, 90), ImageFormat::Png);
    let small = server.call("POST", "/detect", Some(&Form::new().image(&small))).body;
    let reasons = &small["faces"][0]["quality_reasons"];
    assert!(reasons.as_array().is_some_and(|all| all.iter().any(|reason| reason["code"] == "too_small")), "{small}");
    assert_eq!(server.call("GET", "/embeddings", None).body["count"], 0, "nothing is kept");
}

#[test]
fn a_picture_without_a_face_is_no_error_of_detect() {
    let server = Server::start();
    let empty = encoded(&DynamicImage::new_rgb8(320, 240), ImageFormat::Png);
    let reply = server.call("POST", "/detect", Some(&Form::new().image(&empty)));
    assert_eq!((reply.status, &reply.body["face_count"]), (200, &0.into()), "{:?}", reply.body);
    let reply = server.call("POST", "/detect", Some(&Form::new()));
    assert_eq!((reply.status, reply.code()), (400, "missing_field"));
    let reply = server.call("POST", "/detect", Some(&Form::new().image(b"no picture")));
    assert_eq!((reply.status, reply.code()), (415, "unsupported_image_format"));
}

#[test]
fn compare_tells_one_person_from_two_and_which_photograph_is_wrong() {
    let server = Server::start();
    let compare = |first: &[u8], second: &[u8]| {
        server.call("POST", "/compare", Some(&Form::new().image_as("image1", first).image_as("image2", second)))
    };
    let same = compare(&photo("obama.jpg"), &photo("obama2.jpg"));
    assert_eq!((same.status, &same.body["same_person"], &same.body["threshold"]), (200, &true.into(), &0.6.into()));
    let other = compare(&photo("obama.jpg"), &photo("biden.jpg"));
    assert_eq!((other.status, &other.body["same_person"]), (200, &false.into()), "{:?}", other.body);
    let turned = compare(&photo("obama2.jpg"), &photo("obama.jpg"));
    assert_eq!(same.body["similarity"], turned.body["similarity"], "either way round");

    let one = server.call("POST", "/compare", Some(&Form::new().image_as("image1", &photo("obama.jpg"))));
    assert_eq!((one.status, one.code()), (400, "missing_field"));
    assert!(
        one.body["error"]["message"].as_str().is_some_and(|message| message.starts_with("image2")),
        "{:?}",
        one.body
    );
    let empty = encoded(&DynamicImage::new_rgb8(320, 240), ImageFormat::Png);
    let faceless = compare(&photo("obama.jpg"), &empty);
    assert_eq!((faceless.status, faceless.code()), (422, "no_face_detected"));
    assert!(faceless.body["error"]["message"].as_str().is_some_and(|message| message.contains("image2")));
    assert_eq!(server.call("GET", "/embeddings", None).body["count"], 0, "nothing is kept");
}

#[test]
fn models_tell_what_their_similarities_mean() {
    let server = Server::start();
    let authorization = format!("Bearer {}", server.keys[0]);
    let reply = call(server.address, "GET", "/v1/models", &[("Authorization", &authorization)], None);
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    let model = &reply.body["models"][0];
    assert_eq!((&model["id"], &model["dimension"]), (&"fr-feature-w8".into(), &512.into()));
    // Of photographs, and of a door's frames.
    for rates in ["thresholds", "frames"] {
        let thresholds = model["calibration"][rates].as_array().expect("an array");
        let of = |name: &str| thresholds.iter().map(|at| at[name].as_f64().expect("a number")).collect::<Vec<_>>();
        assert_eq!(of("threshold").len(), 6);
        assert!(
            of("threshold").is_sorted() && of("fnmr").is_sorted() && of("fmr").is_sorted_by(|a, b| a >= b),
            "{model}"
        );
        let at_0_6 = &thresholds[2];
        assert!((at_0_6["fmr"].as_f64().expect("a number") - 1e-4).abs() < 1e-6, "{at_0_6}");
    }
}
