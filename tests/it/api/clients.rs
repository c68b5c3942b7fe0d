//! The reference's samples with the clients that they are written for, where this machine has them.

use std::process::Command;

use serde_json::Value;

use crate::support::{Server, photo, photo_path};

/// Runs a client and gives what it printed, read as JSON; `None` where there is no such client.
fn run(command: &mut Command) -> Option<Value> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: {name}: {error}");
            return None;
        }
    };
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {errors}");
    Some(serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{name} printed {printed:?} {errors}")))
}

#[test]
fn curl() {
    let server = Server::start();
    let base = format!("http://{}/v1/face-matching", server.address);
    let key = format!("Authorization: Bearer {}", server.keys[0]);
    let image = format!("image=@{}", photo_path("obama.jpg").display());
    let mut command = Command::new("curl");
    command.args([
        "-sS",
        "-X",
        "POST",
        &format!("{base}/enroll"),
        "-H",
        &key,
        "-F",
        "subject_id=EMP-001",
        "-F",
        &image,
    ]);
    command.args(["-F", "quality_score=0.95", "-F", "liveness_score=0.88", "-F", "enrollment_source=hr_registration"]);
    command.args(["-F", r#"metadata={"name":"John Smith","department":"Engineering","badge":"B-8472"}"#]);
    let Some(enrolled) = run(&mut command) else { return };
    assert_eq!(enrolled["success"], true, "{enrolled}");

    let curl = |more: &[&str]| run(Command::new("curl").args(["-sS", "-H", &key]).args(more)).expect("curl is there");
    let found = curl(&["-X", "POST", &format!("{base}/search"), "-F", &image, "-F", "threshold=0.7", "-F", "limit=5"]);
    assert_eq!(found["matches"][0]["metadata"]["badge"], "B-8472", "{found}");
    let verified = curl(&["-X", "POST", &format!("{base}/verify/EMP-001"), "-F", &image, "-F", "threshold=0.7"]);
    assert_eq!(verified["verified"], true, "{verified}");
    let listed = curl(&["-X", "GET", &format!("{base}/embeddings?active_only=true")]);
    assert_eq!(listed["count"], 1, "{listed}");
    let deleted = curl(&["-X", "DELETE", &format!("{base}/embeddings?subject_id=EMP-001")]);
    assert_eq!(deleted["deleted"], 1, "{deleted}");
}

#[test]
fn python_requests() {
    let server = Server::start();
    server.enrol(0, "EMP-001", &photo("obama.jpg"));
    let script = r#"
import json, sys
try:
    import requests
except ImportError:
    print("null"); sys.exit()
base, key, photo = sys.argv[1:]
headers = {'Authorization': f'Bearer {key}'}
files = {'image': open(photo, 'rb')}
data = {'threshold': 0.7, 'limit': 5}
result = requests.post(f'{base}/search', headers=headers, files=files, data=data).json()
# A body that is refused while it is sent: the reason must arrive, not a broken connection.
large = requests.post(f'{base}/search', headers=headers, files={'image': b'x' * (30 << 20)})
listed = requests.get(f'{base}/embeddings', headers=headers, params={'active_only': True}).json()
print(json.dumps([result, large.status_code, listed]))
"#;
    let base = format!("http://{}/v1/face-matching", server.address);
    let mut command = Command::new("python3");
    command.args(["-c", script, &base, &server.keys[0]]).arg(photo_path("obama2.jpg"));
    let Some(answers) = run(&mut command) else { return };
    if answers.is_null() {
        eprintln!("skipped: python3 has no requests");
        return;
    }
    assert_eq!(answers[0]["matches"][0]["subject_id"], "EMP-001", "{answers}");
    assert_eq!(answers[1], 413);
    assert_eq!(answers[2]["count"], 1);
}

#[test]
fn fetch() {
    let server = Server::start();
    let script = r"
const [base, key, photo] = process.argv.slice(1);
const headers = { 'Authorization': `Bearer ${key}` };
const file = new Blob([require('fs').readFileSync(photo)]);
async function post(path, fields) {
    const formData = new FormData();
    formData.append('image', file, 'photo.jpg');
    for (const [name, value] of Object.entries(fields)) formData.append(name, value);
    return (await fetch(base + path, { method: 'POST', headers, body: formData })).json();
}
(async () => console.log(JSON.stringify([
    await post('/enroll', { subject_id: 'EMP-001', metadata: JSON.stringify({ name: 'John Smith' }) }),
    await post('/search', { threshold: '0.7', limit: '5' }),
    await post('/verify/EMP-001', { threshold: '0.7' }),
])))();
";
    let base = format!("http://{}/v1/face-matching", server.address);
    let mut command = Command::new("node");
    command.args(["-e", script, &base, &server.keys[0]]).arg(photo_path("obama.jpg"));
    let Some(answers) = run(&mut command) else { return };
    assert_eq!(answers[0]["embeddingDimension"], 512, "{answers}");
    assert_eq!(answers[1]["matches"][0]["user_name"], "John Smith", "{answers}");
    assert_eq!(answers[2]["verified"], true, "{answers}");
}
