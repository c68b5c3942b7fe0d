//! Lines of the log, as JSON, into entries of systemd's journal, each field for itself: `journalctl FACEGATE_DOOR=front`.
//!
//! Not by `tracing-journald`, which sends from the thread that has something to say: where the journal's service hangs, that
//! would stop a door. Here a line has been handed to the log's own thread before it is sent.

use std::{
    io::{self, Write},
    os::unix::{fs::MetadataExt, net::UnixDatagram},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

/// Where the journal's service takes entries.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Sends each line that is written to it; what cannot be sent is written to standard error.
pub(super) struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journald {
    /// Where standard error is a stream of the journal's (`JOURNAL_STREAM` of systemd.exec(5) says so) and its socket is there.
    pub fn of_standard_error() -> Option<Self> {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        // A descriptor of our own, to ask which file it is.
        let about = std::fs::metadata("/proc/self/fd/2").ok()?;
        let same = stream == format!("{}:{}", about.dev(), about.ino());
        (same && Path::new(SOCKET).exists()).then(|| Self::at(SOCKET.into()).ok())?
    }

    fn at(path: PathBuf) -> io::Result<Self> {
        Ok(Self { socket: UnixDatagram::unbound()?, path })
    }
}

impl Write for Journald {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // To the path each time: the service may have been restarted.
        if self.socket.send_to(&entry(line), &self.path).is_err() {
            io::stderr().write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line of the log as an entry; a line that is no JSON is the message.
fn entry(line: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(2 * line.len());
    put(&mut entry, "SYSLOG_IDENTIFIER", "facegate");
    let Ok(Value::Object(line)) = serde_json::from_slice::<Value>(line) else {
        put(&mut entry, "MESSAGE", String::from_utf8_lossy(line).trim_end());
        return entry;
    };
    let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
    // Numbers of syslog(3).
    put(
        &mut entry,
        "PRIORITY",
        match text("level") {
            "ERROR" => "3",
            "WARN" => "4",
            "INFO" => "6",
            _ => "7",
        },
    );
    put(&mut entry, "FACEGATE_TARGET", text("target"));
    let none = Map::new();
    let fields = line.get("fields").and_then(Value::as_object).unwrap_or(&none);
    let mut message = fields.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (key, value) in fields.iter().filter(|(key, _)| *key != "message") {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // Also where only messages are shown.
        message += &format!(" {key}={value}");
        put(&mut entry, &name(key), &value);
    }
    put(&mut entry, "MESSAGE", &message);
    entry
}

/// A field's name as the journal takes it: capitals, digits and underscores.
fn name(key: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("FACEGATE_{}", key.chars().map(fit).collect::<String>())
}

/// One field, in the journal's native protocol: with its length where it has line breaks.
fn put(entry: &mut Vec<u8>, key: &str, value: &str) {
    entry.extend(key.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend((value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{fmt, prelude::*};

    use super::*;

    #[test]
    fn an_event_becomes_an_entry_with_its_fields() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let journal = UnixDatagram::bind(&path).expect("a socket");
        journal.set_nonblocking(true).expect("it can be set");
        let writer = parking_lot::Mutex::new(Journald::at(path).expect("a socket"));
        let writer = std::sync::Arc::new(writer);
        struct Shared(std::sync::Arc<parking_lot::Mutex<Journald>>);
        impl Write for Shared {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                self.0.lock().write(line)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let layer = fmt::layer().json().with_writer(move || Shared(std::sync::Arc::clone(&writer)));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(door = "front", latency_ms = 1.5, help = "first\nsecond", "a frame was lost");
        });
        let mut datagram = [0; 4096];
        let length = journal.recv(&mut datagram).expect("one entry");
        let entry = &datagram[..length];
        let has = |part: &[u8]| entry.windows(part.len()).any(|window| window == part);
        for part in [
            &b"SYSLOG_IDENTIFIER=facegate\n"[..],
            b"PRIORITY=4\n",
            b"FACEGATE_DOOR=front\n",
            b"FACEGATE_LATENCY_MS=1.5\n",
            b"FACEGATE_HELP\n\x0c\0\0\0\0\0\0\0first\nsecond\n",
            b"a frame was lost door=front latency_ms=1.5 help=first\nsecond\n",
        ] {
            assert!(has(part), "{} is not in {}", part.escape_ascii(), entry.escape_ascii());
        }
        assert!(journal.recv(&mut datagram).is_err(), "one event is one entry");
    }

    #[test]
    fn what_is_no_json_is_a_message_as_it_is() {
        assert_eq!(entry(b"plain words\n"), b"SYSLOG_IDENTIFIER=facegate\nMESSAGE=plain words\n");
        assert_eq!(name("api.key-id"), "FACEGATE_API_KEY_ID");
    }
}
