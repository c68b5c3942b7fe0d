//! Many enrolments in a ZIP archive.

use async_zip::{Compression, ZipEntryBuilder, base::write::ZipFileWriter};
use facegate::api;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio_util::compat::FuturesAsyncWriteCompatExt as _;

use super::batch::{counts, send};
use crate::support::{Server, photo};

/// How a file is packed.
#[derive(Clone, Copy)]
enum Packed {
    Stored,
    Deflated,
    /// Deflated, with its size and checksum behind it, as programs do that write into a pipe, and Apple's.
    Streamed,
}

fn zip(files: &[(&str, Packed, &[u8])]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut archive = ZipFileWriter::new(Vec::new());
        for (name, packed, bytes) in files {
            let how = if matches!(packed, Packed::Stored) { Compression::Stored } else { Compression::Deflate };
            let entry = ZipEntryBuilder::new((*name).into(), how);
            if matches!(packed, Packed::Streamed) {
                let mut entry = archive.write_entry_stream(entry).await.expect("room in memory").compat_write();
                entry.write_all(bytes).await.expect("room in memory");
                entry.into_inner().close().await.expect("room in memory");
            } else {
                archive.write_entry_whole(entry, bytes).await.expect("room in memory");
            }
        }
        archive.close().await.expect("room in memory")
    })
}

fn enrol(server: &Server, archive: &[u8]) -> Vec<Value> {
    send(server, "/enroll/batch", "application/zip", archive)
}

/// Subjects and files, as the list names them.
fn list(items: &[(&str, &str)]) -> Vec<u8> {
    let lines = items.iter().map(|(subject, file)| json!({ "subject_id": subject, "file": file }).to_string() + "\n");
    lines.collect::<String>().into_bytes()
}

/// The end's kind, where the batch did not come to its own, and how many items there were.
fn broken_off(told: &[Value]) -> (&str, usize) {
    let end = told.last().expect("an end");
    assert_eq!(end["done"], false, "{told:?}");
    (end["error"]["code"].as_str().expect("a code"), told.len() - 1)
}

#[test]
fn photographs_come_in_any_order_and_each_line_of_the_list_has_its_outcome() {
    let server = Server::start();
    let mut lines = list(&[("EMP-001", "a/1.jpg"), ("EMP-002", "2.jpg"), ("EMP-003", "not there.jpg")]);
    lines.extend(b"\r\n{\"subject_id\": \"EMP-004\"}\n{\"subject_id\": \"EMP-005\", \"file\": \"2.jpg\"}\n");
    lines.extend(json!({ "subject_id": "EMP-006", "file": "6.jpg", "metadata": {"name": "Jane"} }).to_string().bytes());
    let (obama, biden) = (photo("obama.jpg"), photo("biden.jpg"));
    let archive = zip(&[
        ("people/", Packed::Stored, b""),
        ("__MACOSX/people/._items.ndjson", Packed::Deflated, b"of no use"),
        ("people/items.ndjson", Packed::Deflated, &lines),
        ("people/6.jpg", Packed::Streamed, &biden),
        ("people/nobody asked.jpg", Packed::Deflated, &biden),
        ("people/2.jpg", Packed::Stored, b"no picture"),
        ("people/a/1.jpg", Packed::Stored, &obama),
    ]);
    let told = enrol(&server, &archive);
    let told_of = |told: &Value| {
        let code = told["error"]["code"].as_str().unwrap_or("fine").to_owned();
        (told["index"].as_u64().expect("a place"), told["subject_id"].as_str().map(str::to_owned), code)
    };
    let expected = [
        (3, None, "missing_field"),
        (4, None, "invalid_field"),
        (5, Some("EMP-006"), "fine"),
        (1, Some("EMP-002"), "unsupported_image_format"),
        (0, Some("EMP-001"), "fine"),
        (2, Some("EMP-003"), "missing_field"),
    ]
    .map(|(place, subject, code)| (place, subject.map(str::to_owned), code.to_owned()));
    let (end, items) = told.split_last().expect("an end");
    assert_eq!(items.iter().map(told_of).collect::<Vec<_>>(), expected, "{told:?}");
    assert!(items[5].to_string().contains("not there.jpg"), "{told:?}");
    assert_eq!((&end["done"], counts(end)), (&json!(true), [6, 2, 0, 4]));
    let list = server.call("GET", "/embeddings", None).body;
    assert_eq!(list["embeddings"][0]["metadata"]["name"], "Jane");

    let again = enrol(&server, &archive);
    assert_eq!(counts(again.last().expect("an end")), [6, 0, 2, 4], "sent again, it goes on");
}

#[test]
fn a_damaged_or_too_large_photograph_stops_no_other() {
    let mut settings = api::Settings { limits: api::Limits::off(), ..api::Settings::default() };
    settings.recognition.max_image_bytes = 300_000;
    let server = Server::with(settings);
    let (obama, other) = (photo("obama.jpg"), photo("obama2.jpg"));
    let names = list(&[("EMP-001", "1.jpg"), ("EMP-002", "2.jpg"), ("EMP-003", "3.jpg")]);
    let mut archive = zip(&[
        ("items.ndjson", Packed::Stored, &names),
        ("1.jpg", Packed::Stored, &obama),
        ("2.jpg", Packed::Deflated, &vec![0; 2_000_000]),
        ("3.jpg", Packed::Deflated, &other),
    ]);
    let at = archive.windows(obama.len()).position(|part| part == obama).expect("it is stored as it is");
    archive[at + obama.len() / 2] ^= 1;
    let told = enrol(&server, &archive);
    let end = told.last().expect("an end");
    assert_eq!((&end["done"], counts(end)), (&json!(true), [3, 1, 0, 2]), "{told:?}");
    let codes = [&told[0]["error"]["code"], &told[1]["error"]["code"], &told[2]["subject_id"]];
    assert_eq!(codes, ["image_undecodable", "image_too_large", "EMP-003"], "{told:?}");

    // Some kilobytes that would be inflated to many megabytes.
    let bomb = zip(&[
        ("items.ndjson", Packed::Stored, &names),
        ("1.jpg", Packed::Deflated, &vec![0; 17 * 300_001]),
        ("3.jpg", Packed::Deflated, &other),
    ]);
    assert!(bomb.len() < other.len() + 20_000);
    assert_eq!(broken_off(&enrol(&server, &bomb)), ("too_large", 0));
}

#[test]
fn what_is_no_archive_with_a_list_in_front_enrols_nobody() {
    let settings = api::Settings { limits: api::Limits::off(), max_batch_items: 2, ..api::Settings::default() };
    let server = Server::with(settings);
    let obama = photo("obama.jpg");
    let whole =
        zip(&[("items.ndjson", Packed::Deflated, &list(&[("EMP-001", "1.jpg")])), ("1.jpg", Packed::Stored, &obama)]);
    let behind =
        zip(&[("1.jpg", Packed::Stored, &obama), ("items.ndjson", Packed::Stored, &list(&[("EMP-001", "1.jpg")]))]);
    let three = list(&[("EMP-001", "1.jpg"), ("EMP-002", "2.jpg"), ("EMP-003", "3.jpg")]);
    for (archive, code) in [
        (&b""[..], "malformed_request"),
        (b"PK", "malformed_request"),
        (&obama, "malformed_request"),
        (&whole[..30], "malformed_request"),
        (&behind, "malformed_request"),
        (&zip(&[]), "malformed_request"),
        (&zip(&[("items.ndjson", Packed::Stored, &three), ("1.jpg", Packed::Stored, &obama)]), "too_large"),
    ] {
        let told = enrol(&server, archive);
        assert_eq!(broken_off(&told), (code, 0), "{told:?}");
    }
    // Of a file that breaks off the checksum is another.
    let told = enrol(&server, &whole[..whole.len() / 2]);
    assert_eq!((broken_off(&told), &told[0]["error"]["code"]), (("malformed_request", 1), &json!("image_undecodable")));
    let told = enrol(&server, &behind);
    assert!(told[0]["error"].to_string().contains("items.ndjson"), "{told:?}");
    assert_eq!(server.call("GET", "/embeddings", None).body["count"], 0);
}
