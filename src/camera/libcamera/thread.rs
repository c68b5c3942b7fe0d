//! The one thread of the process that has libcamera, and every camera of it.
//!
//! There may be one manager of cameras in a process, for good, and neither it nor its cameras can be handed from thread to thread.
//! Orders come over a channel; frames go out over another, from a thread of libcamera's.

use std::{
    collections::HashMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{self, Receiver, Sender},
};

use libcamera::{
    camera::{ActiveCamera, Camera, CameraConfiguration},
    camera_manager::CameraManager,
    color_space::{Range, YcbcrEncoding},
    control::ControlList,
    control_value::ControlValue,
    controls::{ControlId, FrameDurationLimits},
    framebuffer_allocator::{FrameBuffer, FrameBufferAllocator},
    framebuffer_map::MemoryMappedFrameBuffer,
    geometry::Size,
    pixel_format::PixelFormat,
    properties,
    request::Request,
    stream::{Stream, StreamRole},
    utils::UniquePtr,
};
use parking_lot::Mutex;

use super::{
    Settings, Value,
    pixels::{Layout, Pixels},
};
use crate::{
    camera::{convert::Colour, feed::panic_error},
    error::{Context, Error, Kind, Result},
};

/// A frame's memory, to be read.
pub(super) type Mapped = MemoryMappedFrameBuffer<FrameBuffer>;

/// What the thread is asked to do.
pub(super) enum Order {
    Open(Settings, Sender<Result<Opened>>),
    /// A frame was read: its memory is for the next one.
    Again(u64, Request),
    Close(u64),
}

/// A camera that streams.
pub(super) struct Opened {
    pub number: u64,
    pub frames: Receiver<Request>,
    pub stream: Stream,
    pub layout: Layout,
    pub description: String,
}

/// Where orders go. The thread is begun with the first, and stays.
///
/// # Errors
/// [`Kind::Camera`] where no thread can be had.
pub(super) fn orders() -> Result<Sender<Order>> {
    static THREAD: Mutex<Option<Sender<Order>>> = Mutex::new(None);
    let mut thread = THREAD.lock();
    if let Some(orders) = &*thread {
        return Ok(orders.clone());
    }
    let (orders, todo) = mpsc::channel();
    std::thread::Builder::new()
        .name("libcamera".into())
        .spawn(move || work(&todo))
        .context(Kind::Camera, || "cannot start libcamera's thread")?;
    Ok(thread.insert(orders).clone())
}

fn work(todo: &Receiver<Order>) {
    let mut cameras = Cameras::default();
    for order in todo {
        // What the bindings take for impossible they panic at.
        let done = catch_unwind(AssertUnwindSafe(|| match order {
            Order::Open(settings, opened) => {
                let result = catch_unwind(AssertUnwindSafe(|| cameras.open(&settings)));
                // Whoever asked may have gone: then nobody will close it either.
                let unread = opened.send(result.unwrap_or_else(|panic| Err(panic_error(&*panic))));
                if let Err(mpsc::SendError(Ok(unread))) = unread {
                    cameras.running.remove(&unread.number);
                }
            }
            Order::Again(number, request) => cameras.again(number, request),
            Order::Close(number) => drop(cameras.running.remove(&number)),
        }));
        if let Err(panic) = done {
            tracing::error!("{}", panic_error(&*panic));
        }
    }
}

#[derive(Default)]
struct Cameras {
    // Dropped before the manager.
    running: HashMap<u64, Running>,
    opened: u64,
    manager: Option<CameraManager>,
}

struct Running {
    camera: ActiveCamera<'static>,
    /// Has the frames' memory.
    _memory: FrameBufferAllocator,
}

impl Cameras {
    fn open(&mut self, settings: &Settings) -> Result<Opened> {
        let manager = match &mut self.manager {
            Some(manager) => manager,
            none => {
                let manager = CameraManager::new()
                    .context(Kind::Camera, || "libcamera does not start")
                    .map_err(|error| error.help("see what LIBCAMERA_LOG_LEVELS=*:INFO has it say"))?;
                none.insert(manager)
            }
        };
        let version = manager.version().to_owned();
        let camera = choose(manager, &settings.device)?;
        let name = format!("libcamera camera {}", label(&camera));
        let failed = |doing: &'static str| {
            let name = name.clone();
            move |error: io::Error| explain(&name, doing, error)
        };
        let mut camera = camera.acquire().map_err(failed("taken"))?;
        let mut config = camera
            .generate_configuration(&[StreamRole::ViewFinder])
            .ok_or_else(|| Error::new(Kind::Camera, format!("{name} gives no pictures to be looked at")))?;
        let pixels = settle(&mut config, settings)
            .ok_or_else(|| Error::new(Kind::Camera, format!("{name} gives none of the formats that are read here")))?;
        camera.configure(&mut config).map_err(failed("configured"))?;
        let broken = || Error::new(Kind::Camera, format!("{name} has no stream, configured as it is"));
        let settled = config.get(0).ok_or_else(broken)?;
        let stream = settled.stream().ok_or_else(broken)?;
        let colour = settled.get_color_space().map(|space| Colour {
            full_range: space.range == Range::Full,
            bt709: space.ycbcr_encoding == YcbcrEncoding::Rec709,
        });
        let size = settled.get_size();
        let layout = Layout {
            pixels,
            width: size.width,
            height: size.height,
            stride: settled.get_stride(),
            colour: colour.unwrap_or_default(),
        };
        let mut memory = FrameBufferAllocator::new(&camera);
        let buffers = memory.alloc(&stream).map_err(failed("given memory"))?;
        let (send, frames) = mpsc::channel();
        camera.on_request_completed(move |request| {
            // Nobody reads any more while it is being closed.
            let _ = send.send(request);
        });
        let (controls, missed) = controls(&camera, settings);
        camera.start(controls.as_deref()).map_err(failed("started"))?;
        for buffer in buffers {
            let mapped = Mapped::new(buffer).map_err(io::Error::other).map_err(failed("mapped"))?;
            let mut request = camera.create_request(None).ok_or_else(broken)?;
            request.add_buffer(&stream, mapped).map_err(failed("given memory"))?;
            camera.queue_request(request).map_err(|(_, error)| error).map_err(failed("asked for frames"))?;
        }
        self.opened += 1;
        let missed: String = missed.iter().map(|missed| format!("; {missed}")).collect();
        let description = format!(
            "{name}: {} {}×{}, {:.1} frames a second, libcamera {version}{missed}",
            pixels.name(),
            layout.width,
            layout.height,
            settings.rate_fps
        );
        self.running.insert(self.opened, Running { camera, _memory: memory });
        Ok(Opened { number: self.opened, frames, stream, layout, description })
    }

    fn again(&self, number: u64, mut request: Request) {
        let Some(running) = self.running.get(&number) else { return };
        request.reuse(libcamera::request::ReuseFlag::REUSE_BUFFERS);
        // Without it one frame fewer is under way; without any, the camera stalls, and that is told.
        if let Err((_, error)) = running.camera.queue_request(request) {
            tracing::warn!("libcamera takes a frame's memory no more: {error}");
        }
    }
}

/// The camera that is meant: by its id, or by its sensor's model; the only one where nothing is said.
fn choose(manager: &CameraManager, device: &str) -> Result<Camera<'static>> {
    let list = manager.cameras();
    let all: Vec<Camera<'static>> = (0..list.len()).filter_map(|at| list.get(at)).collect();
    let names = all.iter().map(label).collect::<Vec<_>>().join(", ");
    if all.is_empty() {
        return Err(Error::new(Kind::Camera, "libcamera finds no camera")
            .help("see the ribbon cable, `dmesg`, and the lines dtoverlay= and camera_auto_detect= of config.txt; and whether the \
                   service may open /dev/media*: docs/cameras.md"));
    }
    let mut meant: Vec<_> = all
        .into_iter()
        .filter(|camera| device.is_empty() || camera.id() == device || model(camera).as_deref() == Some(device))
        .collect();
    match (meant.pop(), meant.is_empty()) {
        (Some(camera), true) => Ok(camera),
        (Some(_), false) => Err(Error::new(Kind::Camera, "there are several such cameras")
            .help(format!("set camera.device to the id of one of: {names}"))),
        (None, _) => Err(Error::new(Kind::Camera, format!("libcamera knows no camera '{}'", device.escape_debug()))
            .help(format!("set camera.device to one of: {names}"))),
    }
}

fn model(camera: &Camera<'_>) -> Option<String> {
    camera.properties().get::<properties::Model>().ok().map(|model| model.to_string())
}

fn label(camera: &Camera<'static>) -> String {
    match model(camera) {
        Some(model) => format!("{} ({model})", camera.id()),
        None => camera.id().to_owned(),
    }
}

/// Asks for the best kind of pictures that is given, at the wished size or the nearest.
fn settle(config: &mut CameraConfiguration, settings: &Settings) -> Option<Pixels> {
    Pixels::ALL.into_iter().find(|pixels| {
        let format = PixelFormat::new(pixels.fourcc(), 0);
        let Some(mut wish) = config.get_mut(0) else { return false };
        wish.set_pixel_format(format);
        wish.set_size(Size::new(settings.width, settings.height));
        wish.set_buffer_count(4);
        !config.validate().is_invalid() && config.get(0).is_some_and(|given| given.get_pixel_format() == format)
    })
}

/// What is to be set, and what of it cannot be, in words: a door whose camera has another exposure than it was to have is better
/// than a shut one.
fn controls(camera: &Camera<'_>, settings: &Settings) -> (Option<UniquePtr<ControlList>>, Vec<String>) {
    let known = camera.controls();
    let mut missed = Vec::new();
    let Some(mut list) = ControlList::from_info_map(known) else { return (None, missed) };
    let each = (1e6 / f64::from(settings.rate_fps)) as i64;
    let rate = ControlId::FrameDurationLimits as u32;
    if known.count(rate) > 0 && list.set(FrameDurationLimits([each, each])).is_err() {
        missed.push("the frame rate cannot be set".to_owned());
    }
    let names: Vec<_> = known
        .into_iter()
        .filter_map(|(number, about)| ControlId::from_id(number).map(|id| (id.name(), number, about.def())))
        .collect();
    for (name, value) in &settings.controls {
        let Some((_, number, default)) = names.iter().find(|(known, ..)| known == name) else {
            let there: Vec<_> = names.iter().map(|(name, ..)| name.as_str()).collect();
            missed.push(format!("no control {name}; there are: {}", there.join(", ")));
            continue;
        };
        match typed(default, *value).map(|value| list.set_raw(*number, value)) {
            Some(Ok(())) => {}
            _ => missed.push(format!("the control {name} cannot be set to {value:?}")),
        }
    }
    for missed in &missed {
        tracing::warn!("libcamera: {missed}");
    }
    (Some(list), missed)
}

/// The value as the control has it.
fn typed(like: &ControlValue, value: Value) -> Option<ControlValue> {
    match (like, value) {
        (ControlValue::Bool(_), Value::Switch(on)) => Some(on.into()),
        (ControlValue::Byte(_), Value::Whole(whole)) => u8::try_from(whole).ok().map(Into::into),
        (ControlValue::Int32(_), Value::Whole(whole)) => i32::try_from(whole).ok().map(Into::into),
        (ControlValue::Int64(_), Value::Whole(whole)) => Some(whole.into()),
        (ControlValue::Float(_), Value::Whole(whole)) => Some((whole as f32).into()),
        (ControlValue::Float(_), Value::Number(number)) => Some((number as f32).into()),
        _ => None,
    }
}

fn explain(name: &str, doing: &str, error: io::Error) -> Error {
    let help = match error.kind() {
        io::ErrorKind::ResourceBusy => "end the other program that has it: libcamera gives a camera to one",
        io::ErrorKind::PermissionDenied => {
            "the daemon's user has to be of the group video, and the service may have to be let at /dev/dma_heap: docs/cameras.md"
        }
        _ => "see what LIBCAMERA_LOG_LEVELS=*:INFO has libcamera say",
    };
    Error::new(Kind::Camera, format!("{name} cannot be {doing}")).help(help).source(error)
}
