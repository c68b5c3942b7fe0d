//! A camera of the network: an RTSP server that sends H.264 made of photographs, over and over, or behaves badly.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use facegate::{
    camera::{self, replay},
    clock::SystemClock,
};
use openh264::{
    OpenH264API,
    encoder::{BitRate, Encoder, EncoderConfig, IntraFramePeriod},
    formats::{RgbSliceU8, YUVBuffer},
    nal_units,
};
use parking_lot::Mutex;

/// Frames a second.
const RATE: u32 = 15;
/// Payload of a packet, in bytes.
const PACKET: usize = 1_400;

/// What the camera does when somebody watches.
#[derive(Clone, Debug, PartialEq)]
pub enum Mood {
    /// Plays to this user with this password.
    Asks(&'static str, &'static str),
    /// Knows no such stream.
    NoSuchStream,
    /// Offers H.265 and sound.
    Hevc,
    /// Takes connections and says nothing.
    Mute,
    /// Is no RTSP server.
    Http,
    /// Says that it plays, and sends no frame.
    Frozen,
    /// Plays so many access units and then sends noise.
    Noise(usize),
}

/// A running camera; it goes with this value, and frees its port.
pub struct NetworkCamera {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    watching: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl NetworkCamera {
    /// A camera on a free port.
    pub fn start(film: &Arc<Vec<Vec<u8>>>, mood: Mood) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), film, mood)
    }

    /// A camera at an address that one had before.
    pub fn start_at(address: SocketAddr, film: &Arc<Vec<Vec<u8>>>, mood: Mood) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let watching = Arc::new(Mutex::new(Vec::new()));
        let (film, ended, streams) = (Arc::clone(film), Arc::clone(&stop), Arc::clone(&watching));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                streams.lock().push(stream.try_clone().expect("a handle"));
                let (film, mood) = (Arc::clone(&film), mood.clone());
                // It ends with the connection.
                thread::spawn(move || drop(serve(&stream, &film, &mood)));
            }
        });
        Self { address, stop, watching, thread: Some(thread) }
    }

    /// What the configuration calls it.
    pub fn url(&self) -> String {
        format!("rtsp://{}/second", self.address)
    }
}

impl Drop for NetworkCamera {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the camera ends");
        }
        for stream in self.watching.lock().drain(..) {
            // Whoever watched may have gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// People who come and go, as H.264 in access units, a key frame every second.
pub fn film(stills: &[PathBuf]) -> Arc<Vec<Vec<u8>>> {
    let settings = replay::Settings {
        stills: stills.to_vec(),
        repeat: false,
        hold_frames: 10,
        gap_frames: 14,
        ..replay::Settings::default()
    };
    let mut camera =
        camera::open(&camera::Settings::Replay(settings), Arc::new(SystemClock::new())).expect("photographs to show");
    let config = EncoderConfig::new()
        .bitrate(BitRate::from_bps(2_000_000))
        .skip_frames(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(RATE));
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config).expect("an encoder");
    let mut units = Vec::new();
    while let Ok(frame) = camera.next_frame() {
        let size = (frame.image.width() as usize, frame.image.height() as usize);
        let picture = YUVBuffer::from_rgb8_source(RgbSliceU8::new(frame.image.as_raw(), size));
        units.push(encoder.encode(&picture).expect("encodes").to_vec());
    }
    Arc::new(units)
}

/// Answers one connection until it ends.
fn serve(mut stream: &TcpStream, film: &[Vec<u8>], mood: &Mood) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let value = |name: &str| {
            head.iter().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let (_, cseq) = value("CSeq").expect("every request has a number");
        let method = head[0].split(' ').next().expect("a method");
        let mut say = |status: &str, fields: &str, body: &str| {
            let length = body.len();
            write!(stream, "RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
        };
        match (mood, method) {
            (Mood::Mute, _) => {}
            (Mood::Http, _) => write!(stream, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")?,
            (Mood::NoSuchStream, _) => say("404 Not Found", "", "")?,
            (Mood::Asks(user, password), _) if !knows(value("Authorization"), user, password) => {
                say("401 Unauthorized", "WWW-Authenticate: Basic realm=\"camera\"\r\n", "")?;
            }
            (_, "DESCRIBE") => say("200 OK", "Content-Type: application/sdp\r\n", &description(mood))?,
            (_, "SETUP") => {
                say("200 OK", "Session: 7;timeout=60\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", "")?;
            }
            (_, "PLAY") => {
                say("200 OK", "Session: 7\r\nRange: npt=0.000-\r\n", "")?;
                play(stream, film, mood)?;
            }
            (_, "TEARDOWN") => return say("200 OK", "Session: 7\r\n", ""),
            _ => say("200 OK", "Session: 7\r\n", "")?,
        }
    }
}

fn knows(authorization: Option<(&str, &str)>, user: &str, password: &str) -> bool {
    let right = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    authorization.is_some_and(|(_, given)| given == right)
}

fn description(mood: &Mood) -> String {
    let sound = "m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=control:track2\r\n";
    let video = if *mood == Mood::Hevc { "H265" } else { "H264" };
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n{sound}\
         m=video 0 RTP/AVP 96\r\na=rtpmap:96 {video}/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
    )
}

/// Sends the film in real time until nobody takes it.
fn play(mut to: &TcpStream, film: &[Vec<u8>], mood: &Mood) -> io::Result<()> {
    let (mut sequence, begun) = (0u16, Instant::now());
    for (at, unit) in film.iter().cycle().enumerate() {
        match mood {
            Mood::Frozen => return Ok(()),
            Mood::Noise(after) if *after == at => return to.write_all(&[0x5a, 0x5a, b'\r', b'\n'].repeat(1_024)),
            _ => {}
        }
        let at = u32::try_from(at).expect("no test takes years");
        thread::sleep((begun + Duration::from_secs(1) / RATE * at).saturating_duration_since(Instant::now()));
        for packet in packets(unit, 90_000 / RATE * at, &mut sequence) {
            to.write_all(&packet)?;
        }
    }
    Ok(())
}

/// An access unit in RTP packets (RFC 6184), each behind the four bytes of a channel (RFC 2326, 10.12).
fn packets(unit: &[u8], stamp: u32, sequence: &mut u16) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    for nal in nal_units(unit) {
        let end = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let nal = &nal[3..end];
        if nal.len() <= PACKET {
            payloads.push(nal.to_vec());
            continue;
        }
        let (header, parts) = (nal[0], nal[1..].chunks(PACKET));
        let last = parts.len() - 1;
        for (at, part) in parts.enumerate() {
            let place = if at == 0 { 0x80 } else { 0 } | if at == last { 0x40 } else { 0 };
            payloads.push([&[header & 0x60 | 28, place | header & 0x1f], part].concat());
        }
    }
    let last = payloads.len() - 1;
    let packet = |(at, payload): (usize, Vec<u8>)| {
        let length = u16::try_from(12 + payload.len()).expect("a packet is small").to_be_bytes();
        let marker = if at == last { 0x80 } else { 0 };
        let [high, low] = sequence.to_be_bytes();
        *sequence = sequence.wrapping_add(1);
        let head =
            [&[b'$', 0], &length[..], &[0x80, marker | 96, high, low], &stamp.to_be_bytes(), &[0, 0, 0, 9]].concat();
        [head, payload].concat()
    };
    payloads.into_iter().enumerate().map(packet).collect()
}
