//! The network's side: one RTSP session, its H.264 in access units.
//!
//! A runtime of its own that moves only while somebody asks here: what nobody asks for stays in the kernel. What a message or an
//! access unit may hold while it is incomplete is bounded by the time that it may take: see [`super::Settings::stall_ms`].

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt};
use retina::{
    client::{
        Credentials, Demuxed, PlayOptions, Session as Retina, SessionGroup, SessionIdPolicy, SessionOptions,
        SetupOptions, Transport,
    },
    codec::{CodecItem, FrameFormat},
};
use tokio::{net::TcpStream, runtime::Runtime, time::timeout_at};
use url::Url;

use super::{delay::Delay, words};
use crate::error::{Context, Error, Kind, Result};

/// How long the end of a session may take to be told: some cameras keep a place for one that was not ended.
const FAREWELL: Duration = Duration::from_millis(200);
/// How long is asked why nothing could be had.
const ASKING: Duration = Duration::from_secs(1);

/// An access unit as it came.
pub(super) struct Unit {
    /// NAL units behind start codes (Annex B).
    pub data: Vec<u8>,
    /// Whether something before it was lost.
    pub torn: bool,
    /// When it was taken by the camera's account, in seconds from any start.
    pub stamped: f64,
}

/// A session that plays.
pub(super) struct Session {
    /// The camera's address, for errors.
    at: String,
    /// `Some` until dropped, both.
    runtime: Option<Runtime>,
    stream: Option<Demuxed>,
    group: Arc<SessionGroup>,
    begun: Instant,
    delay: Delay,
}

impl Session {
    /// Connects, asks what there is, and lets the first H.264 video play.
    ///
    /// # Errors
    /// [`Kind::Camera`]: in words which of these steps failed, and what to do.
    pub fn open(url: &Url, credentials: Option<Credentials>, until: Instant) -> Result<Self> {
        let at = words::address(url);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context(Kind::Camera, || format!("{at}: there is no runtime for it"))?;
        let group = Arc::new(SessionGroup::default());
        let mut session =
            Self { at, runtime: Some(runtime), stream: None, group, begun: Instant::now(), delay: Delay::default() };
        let asked = credentials.is_some();
        let options = SessionOptions::default()
            .creds(credentials)
            .user_agent(concat!("facegate/", env!("CARGO_PKG_VERSION")).to_owned())
            .session_group(Arc::clone(&session.group))
            .session_id(SessionIdPolicy::UseFirst);
        let stream = session.wait(until, play(url, options));
        session.stream = Some(match stream {
            Some(Ok(stream)) => stream,
            Some(Err(Refusal::Offered(offered))) => return Err(words::no_h264(&session.at, &offered)),
            Some(Err(Refusal::Said(error))) => {
                return Err(match error.status_code() {
                    Some(status) => words::status(&session.at, status, asked),
                    // The library gives no more than text.
                    None => session.ask_why(url, &error),
                });
            }
            None => return Err(words::silent(&session.at)),
        });
        Ok(session)
    }

    /// The next access unit; `None` where none came in time.
    ///
    /// # Errors
    /// [`Kind::Camera`] where the stream has ended or cannot be followed any more.
    pub fn next(&mut self, until: Instant) -> Result<Option<Unit>> {
        loop {
            let (Some(runtime), Some(stream)) = (&self.runtime, &mut self.stream) else { return Ok(None) };
            let waited = runtime.block_on(async { timeout_at(until.into(), stream.next()).await });
            let Ok(item) = waited else { return Ok(None) };
            if let Some(unit) = self.taken(item)? {
                return Ok(Some(unit));
            }
        }
    }

    /// An access unit that is there already.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn ready(&mut self) -> Result<Option<Unit>> {
        loop {
            let (Some(runtime), Some(stream)) = (&self.runtime, &mut self.stream) else { return Ok(None) };
            let item = runtime.block_on(async {
                // So that the runtime looks at its sockets before it is asked.
                tokio::task::yield_now().await;
                stream.next().now_or_never()
            });
            let Some(item) = item else { return Ok(None) };
            if let Some(unit) = self.taken(item)? {
                return Ok(Some(unit));
            }
        }
    }

    /// How much older a unit is by now than the stream's quickest was when it came.
    pub fn age(&self, unit: &Unit) -> Duration {
        self.delay.age(self.begun.elapsed().as_secs_f64(), unit.stamped)
    }

    fn taken(&mut self, item: Option<Result<CodecItem, retina::Error>>) -> Result<Option<Unit>> {
        match item {
            Some(Ok(CodecItem::VideoFrame(frame))) => {
                let arrived = frame.end_ctx().received().saturating_duration_since(self.begun);
                let stamped = frame.timestamp().elapsed_secs();
                self.delay.came(arrived.as_secs_f64(), stamped);
                Ok(Some(Unit { torn: frame.loss() > 0, stamped, data: frame.into_data() }))
            }
            Some(Ok(_)) => Ok(None),
            Some(Err(error)) => Err(words::broken(&self.at, &error)),
            None => Err(words::ended(&self.at)),
        }
    }

    fn wait<T>(&self, until: Instant, what: impl Future<Output = T>) -> Option<T> {
        self.runtime.as_ref()?.block_on(async { timeout_at(until.into(), what).await }).ok()
    }

    /// Why nothing was answered: whether the address takes a connection at all.
    fn ask_why(&self, url: &Url, said: &retina::Error) -> Error {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let connect = TcpStream::connect((host, url.port().unwrap_or(words::PORT)));
        match self.wait(Instant::now() + ASKING, connect) {
            Some(Ok(_)) => words::broken(&self.at, said),
            Some(Err(error)) => words::unreachable(&self.at, error),
            None => words::silent(&self.at),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let stream = self.stream.take();
        let group = Arc::clone(&self.group);
        runtime.block_on(async {
            drop(stream);
            // Where it is not told in time, the camera learns of it from the connection's end.
            let _ = tokio::time::timeout(FAREWELL, group.await_teardown()).await;
        });
        // Not waited for: a name may still be looked up.
        runtime.shutdown_background();
    }
}

/// Why nothing plays.
enum Refusal {
    /// There is no H.264 video among the streams that are offered, which are these.
    Offered(Vec<String>),
    Said(retina::Error),
}

impl From<retina::Error> for Refusal {
    fn from(error: retina::Error) -> Self {
        Self::Said(error)
    }
}

async fn play(url: &Url, options: SessionOptions) -> Result<Demuxed, Refusal> {
    let mut session = Retina::describe(url.clone(), options).await?;
    let h264 =
        session.streams().iter().position(|stream| stream.media() == "video" && stream.encoding_name() == "h264");
    let Some(h264) = h264 else {
        let offered = |stream: &retina::client::Stream| format!("{}/{}", stream.media(), stream.encoding_name());
        return Err(Refusal::Offered(session.streams().iter().map(offered).collect()));
    };
    // Its packets between the messages of the one connection: what a firewall lets through, and nothing is lost.
    let setup = SetupOptions::default().transport(Transport::Tcp(Default::default())).frame_format(FrameFormat::SIMPLE);
    session.setup(h264, setup).await?;
    Ok(session.play(PlayOptions::default()).await?.demuxed()?)
}
