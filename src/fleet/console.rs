//! A connection for people: asks the broker what it keeps, watches, commands. For one command of the command line at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use facegate_fleet::{
    Name, Now,
    keys::{Nonce, SecretKey, Session},
    open::{Body, Opened, Opener},
    registry::Registry,
    topic::{PREFIX, Topic},
    voucher::Role,
    wire::{self, Answer, Command, Order, Outcome, Status, V1},
};
use tokio::{runtime::Runtime, sync::mpsc};

use super::{
    client::{self, Client, Happened, Message, Outgoing},
    identity::Member,
    settings::Settings,
};
use crate::{
    clock::{Clock as _, SystemClock},
    error::{Context as _, Error, Kind, Result},
};

/// How long the broker must have been silent, to have sent all that it keeps.
const QUIET: Duration = Duration::from_millis(700);

/// How long the broker may take to send what it keeps of one device.
const ANSWER: Duration = Duration::from_secs(3);

/// How long what it kept and what came meanwhile may be apart.
const SETTLE: Duration = Duration::from_millis(50);

/// How long it may take in all.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a command of ours is valid.
const VALID_MS: u64 = 30_000;

/// What comes to somebody who listens for long.
pub enum Heard {
    /// A message of the site that can be believed.
    Believed(Opened),
    /// A message on a topic that is none of the site's: nobody vouches for it.
    Elsewhere(Message),
}

/// What comes next.
enum Came {
    Heard(Heard),
    /// The broker does not take something that was sent, for this reason.
    Denied(String),
}

/// A connection.
pub struct Console {
    runtime: Runtime,
    client: Client,
    heard: mpsc::Receiver<Happened>,
    opener: Opener,
    installed: Member,
    clock: SystemClock,
}

impl Console {
    /// Connects as this device. Beside a running daemon of the same device it takes another name at the broker.
    ///
    /// # Errors
    /// `Config` where the device has not joined; `Io` where the broker is not reached.
    pub fn connect(settings: &Settings) -> Result<Self> {
        Self::begin(settings, false)
    }

    /// The same for a device that stays: its status says that it is there, and its last will that it is not.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_for_long(settings: &Settings) -> Result<Self> {
        let mut console = Self::begin(settings, true)?;
        let status = console.own_status(true)?;
        console.send(status)?;
        Ok(console)
    }

    fn begin(settings: &Settings, stays: bool) -> Result<Self> {
        let installed = Member::read(settings)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context(Kind::Io, || "the connection's runtime cannot be started")?;
        let id = format!("{}-console-{:08x}", installed.device, rand::random::<u32>());
        let opener =
            Opener { site: installed.site.clone(), sealing: None, registry: Arc::new(installed.registry.clone()) };
        let (client, mut heard) = {
            let _inside = runtime.enter();
            match stays {
                true => client::connect(settings, &id, own_status(&installed, false, wall())?)?,
                false => client::connect_without_will(settings, &id)?,
            }
        };
        let connected = runtime.block_on(client::accepted(&mut heard));
        connected.map_err(|why: String| {
            Error::new(Kind::Io, format!("the broker {} is not reached: {why}", settings.broker))
                .help("check fleet.broker, the certificates, and that the broker runs")
        })?;
        let mut console = Self { runtime, client, heard, opener, installed, clock: SystemClock::new() };
        let known = console.gather(&["devices/+"])?;
        console.introduce(&known)?;
        Ok(console)
    }

    /// Has the broker keep the site's word for this device, where it does not yet: doors believe nobody of whom they have not heard.
    fn introduce(&mut self, known: &[Opened]) -> Result<()> {
        let (device, own) = (self.installed.device.clone(), Arc::clone(&self.installed.voucher));
        let kept = |opened: &Opened| matches!(&opened.body, Body::Voucher(vouched) if vouched.message == own.message);
        let revoked = self.registry().revoked().any(|key| *key == own.voucher.key);
        if revoked || known.iter().any(kept) {
            return Ok(());
        }
        self.publish(&Topic::Device(device), own.message.to_vec(), true, None)
    }

    /// Everybody whom the site has vouched for.
    pub fn registry(&self) -> &Registry {
        &self.opener.registry
    }

    /// What the broker keeps below these topics of the site, as far as it can be believed.
    ///
    /// # Errors
    /// `Io` where the connection ends.
    pub fn gather(&mut self, below: &[&str]) -> Result<Vec<Opened>> {
        below.iter().try_for_each(|filter| self.subscribe(filter))?;
        let (mut all, begun) = (Vec::new(), Instant::now());
        while begun.elapsed() < PATIENCE {
            match self.next(QUIET)? {
                Some(opened) => all.push(opened),
                None => break,
            }
        }
        Ok(all)
    }

    /// What this device is to the site.
    pub fn role(&self) -> Role {
        self.installed.role()
    }

    /// What it signs with.
    pub fn key(&self) -> &SecretKey {
        &self.installed.key
    }

    /// How long a command of this device's is valid, in seconds.
    pub const fn valid_s(&self) -> u32 {
        (VALID_MS / 1000) as u32
    }

    /// Listens to topics of the site below this.
    ///
    /// # Errors
    /// `Io` where the connection has ended.
    pub fn listen(&mut self, below: &str) -> Result<()> {
        self.subscribe(below)
    }

    /// Listens to topics that are none of the site's.
    ///
    /// # Errors
    /// `Io` where the connection has ended.
    pub fn listen_elsewhere(&mut self, filter: String) -> Result<()> {
        self.runtime.block_on(self.client.subscribe(filter)).map_err(lost)
    }

    /// Hands a message over without waiting for the broker.
    ///
    /// # Errors
    /// `Io` where the connection has ended, or nothing more can wait.
    pub fn send(&mut self, message: Outgoing) -> Result<()> {
        self.client.publish(message).map_err(|_| lost("nothing can be sent".into()))
    }

    fn own_status(&self, online: bool) -> Result<Outgoing> {
        own_status(&self.installed, online, wall())
    }

    fn subscribe(&mut self, below: &str) -> Result<()> {
        let filter = format!("{PREFIX}/{}/{below}", self.opener.site);
        self.runtime.block_on(self.client.subscribe(filter)).map_err(lost)
    }

    /// The next message that can be believed; `None` where none comes in time.
    ///
    /// # Errors
    /// `Io` where the connection ends.
    pub fn next(&mut self, patience: Duration) -> Result<Option<Opened>> {
        let deadline = Instant::now() + patience;
        loop {
            match self.hear(deadline.saturating_duration_since(Instant::now()))? {
                Some(Heard::Believed(opened)) => return Ok(Some(opened)),
                Some(Heard::Elsewhere(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// The next message, of the site or not; `None` where none comes in time.
    ///
    /// # Errors
    /// `Io` where the connection ends.
    pub fn hear(&mut self, patience: Duration) -> Result<Option<Heard>> {
        let deadline = Instant::now() + patience;
        loop {
            match self.come(deadline.saturating_duration_since(Instant::now()))? {
                Some(Came::Heard(heard)) => return Ok(Some(heard)),
                Some(Came::Denied(why)) => tracing::error!("the broker does not take what was sent: {why}"),
                None => return Ok(None),
            }
        }
    }

    fn come(&mut self, patience: Duration) -> Result<Option<Came>> {
        let deadline = Instant::now() + patience;
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            let happened = self.runtime.block_on(async { tokio::time::timeout(wait, self.heard.recv()).await });
            let message = match happened {
                Err(_) => return Ok(None),
                Ok(Some(Happened::Message(message))) => message,
                Ok(Some(Happened::Ended(why))) => return Err(lost(why)),
                Ok(Some(Happened::Denied(_, why))) => return Ok(Some(Came::Denied(why))),
                Ok(None) => return Err(lost("the connection ended".into())),
                Ok(Some(_)) => continue,
            };
            if !message.topic.starts_with(PREFIX) {
                return Ok(Some(Came::Heard(Heard::Elsewhere(message))));
            }
            match self.opener.open(&message.topic, &message.payload, self.now()) {
                Ok(opened) => {
                    if let Body::Voucher(vouched) = &opened.body {
                        let mut registry = Registry::clone(&self.opener.registry);
                        registry.take(Arc::clone(vouched));
                        self.opener.registry = Arc::new(registry);
                    }
                    return Ok(Some(Came::Heard(Heard::Believed(opened))));
                }
                Err(refusal) => tracing::debug!("{refusal}"),
            }
        }
    }

    /// Publishes a message that is signed already, and waits until the broker has it.
    ///
    /// # Errors
    /// `Io` where the connection ends; `Forbidden` where the broker does not take it.
    pub fn publish(&mut self, topic: &Topic, payload: Vec<u8>, retain: bool, expiry: Option<u32>) -> Result<()> {
        let message = Outgoing { topic: topic.of(&self.opener.site), payload, retain, expiry };
        if self.client.publish(message).is_err() {
            return Err(lost("nothing can be sent".into()));
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let wait = deadline.saturating_duration_since(Instant::now());
            match self.runtime.block_on(async { tokio::time::timeout(wait, self.heard.recv()).await }) {
                Ok(Some(Happened::Acknowledged(_))) => return Ok(()),
                Ok(Some(Happened::Denied(_, why))) => return Err(denied(why)),
                Ok(Some(Happened::Ended(why))) => return Err(lost(why)),
                Ok(None) => return Err(lost("the connection ended".into())),
                _ => {}
            }
        }
        Err(lost("the broker does not acknowledge".into()))
    }

    /// How a device is, by its own word.
    ///
    /// # Errors
    /// `NotFound` where nothing is known of it; `Io`.
    pub fn status(&mut self, device: &Name) -> Result<Status> {
        self.subscribe(&format!("status/{device}"))?;
        let (mut last, mut patience) = (None, ANSWER);
        while let Some(opened) = self.next(patience)? {
            if let Body::Status(status) = opened.body
                && status.by == *device
            {
                last = Some(*status);
                // What the broker keeps, and whatever it sent meanwhile.
                patience = SETTLE;
            }
        }
        last.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("the fleet knows no device {device}")).help("facegate fleet status")
        })
    }

    /// Orders a device to do something, and waits for its answer for so long.
    ///
    /// # Errors
    /// `NotReady` where it is not connected: nothing is left waiting for it. `Forbidden` where the broker does not take it.
    /// `NotFound`, `Io`.
    pub fn order(&mut self, device: &Name, order: Order, patience: Duration) -> Result<Answer> {
        let status = self.status(device)?;
        if !status.online {
            return Err(Error::new(Kind::NotReady, format!("{device} is not connected, and nothing waits for it"))
                .help("see to its network; command it on its own machine with facegate door"));
        }
        self.subscribe(&format!("answers/{device}"))?;
        let command = self.command(device, order, status.session);
        let topic = Topic::Command(device.clone());
        let payload = wire::write(&command, &self.installed.site, &topic, &self.installed.key)
            .map_err(|error| Error::new(Kind::TooLarge, error.to_string()))?;
        let message = Outgoing {
            topic: topic.of(&self.installed.site),
            payload,
            retain: false,
            expiry: Some((VALID_MS / 1000) as u32),
        };
        if self.client.publish(message).is_err() {
            return Err(lost("nothing can be sent".into()));
        }
        let deadline = Instant::now() + patience;
        while let Some(came) = self.come(deadline.saturating_duration_since(Instant::now()))? {
            let opened = match came {
                Came::Heard(Heard::Believed(opened)) => opened,
                Came::Heard(Heard::Elsewhere(_)) => continue,
                Came::Denied(why) => return Err(denied(why)),
            };
            if let Body::Answer(answer) = opened.body
                && answer.id == command.id
                // Whoever restarts says no more than that.
                && (answer.outcome != Outcome::Begun || matches!(command.order, Order::Restart {}))
            {
                return Ok(*answer);
            }
        }
        Err(Error::new(Kind::RequestTimeout, format!("{device} did not answer in time"))
            .help("it may have obeyed all the same: see facegate fleet watch, or its journal"))
    }

    /// A command of this device's for one session of another.
    pub fn command(&self, device: &Name, order: Order, session: Session) -> Command {
        let issued = self.now().wall;
        let mut rng = rand::rng();
        let nonce = Nonce::random(&mut rng);
        Command {
            v: V1,
            by: self.installed.device.clone(),
            role: self.installed.role(),
            to: device.clone(),
            id: nonce.to_string(),
            nonce,
            session,
            issued,
            expires: issued + VALID_MS,
            order,
        }
    }

    /// The site.
    pub fn site(&self) -> &Name {
        &self.opener.site
    }

    /// What time it is.
    pub fn now(&self) -> Now {
        let wall = super::link::wall_ms(&self.clock);
        let mono = u64::try_from(self.clock.now().since_start().as_millis()).unwrap_or(u64::MAX);
        Now { wall, mono, trusted: false }
    }
}

fn wall() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// That this device is there, or is not: it has no doors.
fn own_status(own: &Member, online: bool, at: u64) -> Result<Outgoing> {
    let status = Status {
        v: V1,
        by: own.device.clone(),
        online,
        at,
        // Nobody commands it.
        session: Session::random(&mut rand::rng()),
        version: env!("CARGO_PKG_VERSION").into(),
        model: None,
        doors: Vec::new(),
        needs_enrolling_again: 0,
        filling: None,
    };
    let topic = Topic::Status(own.device.clone());
    let payload = wire::write(&status, &own.site, &topic, &own.key)
        .map_err(|error| Error::new(Kind::TooLarge, error.to_string()))?;
    Ok(Outgoing { topic: topic.of(&own.site), payload, retain: true, expiry: None })
}

fn denied(why: String) -> Error {
    Error::new(Kind::Forbidden, format!("the broker does not take it: {why}"))
        .help("see what this device may publish there")
}

fn lost(why: String) -> Error {
    Error::new(Kind::Io, format!("the connection to the broker is lost: {why}")).help("try again")
}
