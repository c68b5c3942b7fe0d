//! A camera module that is open: the newest of its pictures.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use libcamera::{
    framebuffer::{AsFrameBuffer, FrameMetadataStatus},
    request::{Request, RequestStatus},
    stream::Stream,
};

use super::{
    Settings,
    pixels::{self, Layout},
    thread::{self, Mapped, Opened, Order},
};
use crate::{
    camera::{After, Camera, Frame, throttle::Throttle, turn::Turn},
    clock::Clock,
    error::{Error, Kind, Result},
};

/// How long libcamera may take to find, configure and start a camera.
const OPENING: Duration = Duration::from_secs(15);

/// An open camera that is streaming.
pub struct Libcamera {
    clock: Arc<dyn Clock>,
    // Frames that nobody read go before the camera whose memory they are: fields are dropped in this order.
    frames: Receiver<Request>,
    running: Running,
    stream: Stream,
    layout: Layout,
    throttle: Throttle,
    turn: Turn,
    stall: Duration,
    description: String,
    given: u64,
    after: After,
}

impl Libcamera {
    /// Opens and starts it.
    ///
    /// # Errors
    /// [`Kind::Camera`] where there is no such camera, another program has it, or it cannot be configured.
    pub fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let orders = thread::orders()?;
        let (done, opened) = mpsc::channel();
        let gone = || Error::new(Kind::Camera, "libcamera's thread does not answer").help("restart facegate");
        orders.send(Order::Open(settings.clone(), done)).map_err(|_| gone())?;
        let Opened { number, frames, stream, layout, description } =
            opened.recv_timeout(OPENING).map_err(|_| gone())??;
        tracing::info!("{description}");
        Ok(Self {
            clock,
            frames,
            running: Running { orders, number },
            stream,
            layout,
            throttle: Throttle::new(settings.rate_fps),
            turn: Turn { mirror: settings.mirror, upside_down: settings.upside_down },
            stall: Duration::from_millis(settings.stall_ms),
            description,
            given: 0,
            after: After::Reopen,
        })
    }

    /// The newest frame; older ones go back unread.
    fn newest(&self) -> Result<Request> {
        let mut request = self.frames.recv_timeout(self.stall).map_err(|error| {
            let words = match error {
                RecvTimeoutError::Timeout => "the camera module gave no frame in time",
                RecvTimeoutError::Disconnected => "the camera module is gone",
            };
            Error::new(Kind::Camera, words).help("see its ribbon cable, and what `dmesg` says of it")
        })?;
        while let Ok(newer) = self.frames.try_recv() {
            self.again(std::mem::replace(&mut request, newer));
        }
        Ok(request)
    }

    fn again(&self, request: Request) {
        // Without the thread no frame comes any more, which is told.
        let _ = self.running.orders.send(Order::Again(self.running.number, request));
    }

    fn read(&self, request: &Request) -> Result<image::RgbImage> {
        let bad = |words: &str| Error::new(Kind::Camera, format!("the camera module gave a frame {words}"));
        let mapped: &Mapped = request.buffer(&self.stream).ok_or_else(|| bad("without memory"))?;
        if mapped.metadata().is_none_or(|about| about.status() != FrameMetadataStatus::Success) {
            return Err(bad("that is damaged"));
        }
        // Once through memory that may not be cached, then as often as the conversion likes.
        let copied: Vec<Vec<u8>> = mapped.data().into_iter().map(<[u8]>::to_vec).collect();
        let planes: Vec<&[u8]> = copied.iter().map(Vec::as_slice).collect();
        let mut image = pixels::to_rgb(&self.layout, &planes)?;
        self.turn.apply(&mut image);
        Ok(image)
    }
}

impl Camera for Libcamera {
    fn next_frame(&mut self) -> Result<Frame> {
        loop {
            self.after = After::Reopen;
            let request = self.newest()?;
            let at = self.clock.now();
            if request.status() != RequestStatus::Complete {
                return Err(Error::new(Kind::Camera, "libcamera has stopped the camera module"));
            }
            if !self.throttle.due(at) {
                self.again(request);
                continue;
            }
            let read = self.read(&request);
            self.again(request);
            self.after = After::Retry;
            let image = read?;
            self.given += 1;
            return Ok(Frame { image, at, sequence: self.given });
        }
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn after_error(&self) -> After {
        self.after
    }
}

/// A camera that libcamera's thread runs until this is dropped.
struct Running {
    orders: Sender<Order>,
    number: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Close(self.number));
    }
}
