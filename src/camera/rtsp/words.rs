//! What went wrong with a camera of the network, and what to do. Neither the path nor the query of its address is ever told: with
//! some cameras they hold the password.

use std::io;

use url::Url;

use crate::error::{Error, Kind};

/// RTSP's port where none is named.
pub(super) const PORT: u16 = 554;

/// The camera's name in errors and in the log.
pub(super) fn address(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    format!("rtsp://{host}:{}", url.port().unwrap_or(PORT))
}

fn camera(message: String, help: &str) -> Error {
    Error::new(Kind::Camera, message).help(help)
}

/// It cannot be connected to.
pub(super) fn unreachable(at: &str, error: io::Error) -> Error {
    let (words, help) = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            ("refuses the connection", "see whether RTSP is enabled in the camera's settings, and on which port")
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ("cannot be reached", "see whether it has power and is on the board's network; `ping` it")
        }
        io::ErrorKind::PermissionDenied => (
            "may not be connected to",
            "allow its address to the service: IPAddressAllow= in a drop-in, as docs/cameras.md says",
        ),
        _ => ("cannot be connected to", "see whether the name or address in camera.url is right, and its network up"),
    };
    camera(format!("{at} {words}"), help).source(error)
}

/// It does not answer.
pub(super) fn silent(at: &str) -> Error {
    camera(
        format!("{at} does not answer in time"),
        "see whether it has power and camera.url its address, and whether the service may reach that: IPAddressAllow= in a drop-in, \
         as docs/cameras.md says",
    )
}

/// It answered with a status that is none of success.
pub(super) fn status(at: &str, status: u16, asked: bool) -> Error {
    match (status, asked) {
        (401, false) => camera(
            format!("{at} wants a user and a password"),
            "set camera.user and camera.password_file; a user that may only view is enough",
        ),
        (401 | 403, _) => camera(
            format!("{at} refuses the user or the password"),
            "see camera.user and the file in camera.password_file; some cameras lock a user out for minutes after wrong ones",
        ),
        (404 | 454 | 455, _) => camera(
            format!("{at} has no such stream"),
            "see the camera's manual for the path of its second stream, and set it in camera.url",
        ),
        (453 | 503, _) => camera(
            format!("{at} has no room for another viewer"),
            "end other connections to it: many cameras serve two or four at a time",
        ),
        // It said yes, and to what cannot be read.
        (200..300, _) => {
            camera(format!("{at} describes its streams in a way that cannot be read"), "update its firmware")
        }
        _ => camera(
            format!("{at} answers with the status {status}"),
            "see whether camera.url is right, and the camera's own log",
        ),
    }
}

/// It offers other streams.
pub(super) fn no_h264(at: &str, offered: &[String]) -> Error {
    let list = if offered.is_empty() { "no stream at all".to_owned() } else { offered.join(", ") };
    camera(
        format!("{at} offers no H.264 video, but {list}"),
        "set the camera's second stream to H.264 (not H.265, H.264+ or MJPEG), and camera.url to its path",
    )
}

/// The conversation broke off. The library's own words go on with the bytes that it was at, and pictures are not for the log.
pub(super) fn broken(at: &str, error: &retina::Error) -> Error {
    let said = error.to_string();
    let said = said.lines().next().unwrap_or_default();
    let said: String = said.split("; buffered").next().unwrap_or_default().chars().take(200).collect();
    camera(
        format!("{at}: {}", said.escape_debug()),
        "it is connected to anew; where it goes on, update the camera's firmware",
    )
}

/// The camera said that it ends.
pub(super) fn ended(at: &str) -> Error {
    camera(
        format!("{at} has ended the stream"),
        "it is connected to anew; see whether others use the camera, or it restarts",
    )
}

/// Nothing came any more, or nothing to begin with.
pub(super) fn stalled(at: &str, seconds: f32, key_frame: bool) -> Error {
    if key_frame {
        camera(
            format!("{at} plays, and sent no key frame within {seconds:.0} s"),
            "set the camera's interval of key frames (I frames, GOP) to one second, and its codec to plain H.264",
        )
    } else {
        camera(format!("{at} gave no frame in time"), "see the camera, its cable and its network")
    }
}

/// Frames come, and too late.
pub(super) fn late(at: &str, seconds: f32) -> Error {
    camera(
        format!("{at}: its pictures come {seconds:.1} s late, and late ones are not looked at"),
        "the stream is too much for this board or its network: choose the camera's second stream, 640×480 and 15 frames a second",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_path_nor_query_nor_user_is_told() {
        for (url, told) in [
            ("rtsp://192.0.2.4/user=admin&password=secret", "rtsp://192.0.2.4:554"),
            ("rtsp://cam.example:8554/live?token=secret", "rtsp://cam.example:8554"),
            ("rtsp://[2001:db8::1]/secret", "rtsp://[2001:db8::1]:554"),
        ] {
            let url: Url = url.parse().expect("a URL");
            assert_eq!(address(&url), told);
        }
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        for (code, asked, words, help) in [
            (401, false, "wants a user", "password_file"),
            (401, true, "refuses the user", "camera.user"),
            (403, true, "refuses the user", "camera.user"),
            (404, true, "no such stream", "camera.url"),
            (453, false, "no room", "other connections"),
            (500, false, "status 500", "camera.url"),
        ] {
            let error = status("rtsp://x:554", code, asked);
            assert!(error.message().contains(words), "{error}");
            assert!(error.advice().expect("advice").contains(help), "{error}");
        }
        let refused = unreachable("rtsp://x:554", io::ErrorKind::ConnectionRefused.into());
        assert!(refused.message().contains("refuses the connection"), "{refused}");
        assert!(no_h264("rtsp://x:554", &["video/h265".into()]).message().contains("video/h265"));
        assert!(no_h264("rtsp://x:554", &[]).message().contains("no stream at all"));
    }
}
