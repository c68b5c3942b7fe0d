//! What the tests stand on: networks, photographs, and the real server on a port of its own.

pub mod certificates;
pub mod daemon;
pub mod disk;
pub mod gpio_sim;
pub mod http;
pub mod pictures;
#[cfg(feature = "rtsp")]
pub mod rtsp;

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use facegate::{
    api::{self, Listener, Readiness},
    clock::{Clock, SystemClock},
    gallery::{self, Gallery, Rights, TenantId},
    journal::{self, Journal},
    operator::Desk,
    recognition::Recognition,
    vision::{engine::Engine, models::Pack},
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use self::http::{Form, Reply, call};

const BASE: &str = "/v1/face-matching";

/// A file or folder of the project. Where that lies cargo says when the tests run; clones that share a target folder run what one of them
/// compiled.
pub fn project(name: &str) -> PathBuf {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&folder).join(name)
}

/// A folder of the project, or where the variable says.
pub fn folder(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| project(default), PathBuf::from)
}

/// The folder that holds one folder a pack.
pub fn models_dir() -> PathBuf {
    folder("FACEGATE_MODELS_DIR", "models")
}

/// The starter pack once more, as `dir`/`name`, with a manifest in which something was changed.
pub fn other_pack(dir: &Path, name: &str, change: impl FnOnce(&mut toml::Table)) {
    let (from, to) = (models_dir().canonicalize().expect("the packs").join("starter"), dir.join(name));
    std::fs::create_dir_all(&to).expect("a folder");
    let manifest = std::fs::read_to_string(from.join("manifest.toml")).expect("a manifest");
    let mut manifest: toml::Table = toml::from_str(&manifest).expect("TOML");
    manifest.insert("name".into(), name.into());
    change(&mut manifest);
    std::fs::write(to.join("manifest.toml"), toml::to_string(&manifest).expect("TOML")).expect("written");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "onnx") {
            std::os::unix::fs::symlink(entry.path(), to.join(entry.file_name())).expect("a link can be made");
        }
    }
}

/// Takes the networks that look for life out of a manifest.
pub fn without_liveness(manifest: &mut toml::Table) {
    manifest.remove("liveness").expect("the pack has them");
}

/// Takes what a manifest's cosines stand for out of it.
pub fn without_calibration(manifest: &mut toml::Table) {
    let recogniser = manifest["recogniser"].as_table_mut().expect("a section");
    recogniser.remove("calibration").expect("it is calibrated");
}

/// Takes the curve out of it from which thresholds are derived.
pub fn without_curve(manifest: &mut toml::Table) {
    let calibration = manifest["recogniser"]["calibration"].as_table_mut().expect("a section");
    for key in ["points", "measured_to", "extrapolated_to"] {
        calibration.remove(key).expect("it has a curve");
    }
}

/// The starter pack's networks.
pub fn engine() -> Arc<Engine> {
    let pack = Pack::open(&models_dir(), "starter")
        .unwrap_or_else(|error| panic!("{error}: run `models/fetch starter`, as `make test` does"));
    Engine::load(&pack).expect("the starter pack loads")
}

/// Where a photograph lies: `obama.jpg`, `obama2.jpg`, `biden.jpg`.
pub fn photo_path(name: &str) -> PathBuf {
    folder("FACEGATE_PHOTOS", "models/photos").join(name)
}

/// The file of a photograph.
pub fn photo(name: &str) -> Vec<u8> {
    let path = photo_path(name);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: run `models/fetch photos`, as `make test` does", path.display()))
}

/// The API with its gallery in a folder of its own, until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    pub gallery: Arc<Gallery>,
    pub readiness: Arc<Readiness>,
    /// Keys of two tenants.
    pub keys: [String; 2],
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    _folder: TempDir,
}

impl Server {
    /// A server that limits nobody's rate: a test may call as often as it likes.
    pub fn start() -> Self {
        Self::with(api::Settings { limits: api::Limits::off(), ..api::Settings::default() })
    }

    pub fn with(settings: api::Settings) -> Self {
        Self::of(settings, gallery::Settings::default())
    }

    /// A server with a gallery of these settings, in a new folder.
    pub fn of(settings: api::Settings, store: gallery::Settings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = gallery::Settings { dir: folder.path().join("gallery"), ..store };
        let engine = engine();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let gallery =
            Arc::new(Gallery::open(&store, engine.model_id(), Arc::clone(&clock)).expect("a new gallery opens"));
        let keys = ["acme", "beta"].map(|tenant| {
            let tenant = tenant.parse::<TenantId>().expect("a tenant's name");
            gallery.add_key(&tenant, None, Rights::default()).expect("a key is added").secret
        });
        let recognition = Recognition::start(engine, &settings.recognition).expect("the recognition starts");
        settings.validate().expect("the settings are valid");
        let kept = journal::Settings { dir: folder.path().join("journal"), ..journal::Settings::default() };
        let journal = Arc::new(Journal::open(&kept, clock).expect("a new journal opens"));
        let state = api::State::new(settings, Arc::clone(&gallery), Some(recognition), Desk::default(), journal);
        let readiness = Arc::clone(state.readiness());

        let (stop, stopped) = oneshot::channel::<()>();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            let shutdown = async {
                // Dropping the sender stops it, too.
                let _ = stopped.await;
            };
            runtime.block_on(api::serve(vec![Listener::Tcp(listener)], state, shutdown)).expect("it serves");
        });
        Self { address, gallery, readiness, keys, stop: Some(stop), thread: Some(thread), _folder: folder }
    }

    /// A call by the first tenant.
    pub fn call(&self, method: &str, path: &str, form: Option<&Form>) -> Reply {
        self.call_as(0, method, path, form)
    }

    /// A call by one of the two tenants.
    pub fn call_as(&self, tenant: usize, method: &str, path: &str, form: Option<&Form>) -> Reply {
        let authorization = format!("Bearer {}", self.keys[tenant]);
        let mut headers = vec![("Authorization", authorization.as_str())];
        let content_type = Form::content_type();
        if form.is_some() {
            headers.push(("Content-Type", &content_type));
        }
        let body = form.map(Form::bytes);
        call(self.address, method, &format!("{BASE}{path}"), &headers, body.as_deref())
    }

    /// Enrols a photograph and gives the embedding's id.
    pub fn enrol(&self, tenant: usize, subject: &str, photo: &[u8]) -> String {
        let form = Form::new().text("subject_id", subject).image(photo);
        let reply = self.call_as(tenant, "POST", "/enroll", Some(&form));
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        reply.body["embeddingId"].as_str().expect("an id").to_owned()
    }

    /// Stops it as SIGTERM would, and waits for its end.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server does not panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
