//! A connection for people: asks the broker what it keeps, watches, commands. For one command of the command line at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use facegate_fleet::{
    Name, Now,
    keys::{Nonce, Session},
    open::{Body, Opened, Opener},
    registry::Registry,
    topic::{PREFIX, Topic},
    wire::{self, Answer, Command, Order, Outcome, Status, V1},
};
use tokio::{runtime::Runtime, sync::mpsc};

use super::{
    client::{self, Client, Happened, Outgoing},
    identity::Installed,
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

/// A connection.
pub struct Console {
    runtime: Runtime,
    client: Client,
    heard: mpsc::Receiver<Happened>,
    opener: Opener,
    installed: Installed,
    clock: SystemClock,
}

impl Console {
    /// Connects as this device. Beside a running daemon of the same device it takes another name at the broker.
    ///
    /// # Errors
    /// `Config` where the device has not joined; `Io` where the broker is not reached.
    pub fn connect(settings: &Settings) -> Result<Self> {
        let installed = Installed::read(settings)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context(Kind::Io, || "the connection's runtime cannot be started")?;
        let identity = &installed.identity;
        let id = format!("{}-console-{:08x}", identity.device, rand::random::<u32>());
        let opener =
            Opener { site: identity.site.clone(), sealing: None, registry: Arc::new(installed.registry.clone()) };
        let (client, mut heard) = {
            let _inside = runtime.enter();
            client::connect_without_will(settings, &id)?
        };
        let connected = runtime.block_on(async {
            loop {
                match heard.recv().await {
                    Some(Happened::Connected) => return Ok(()),
                    Some(Happened::Ended(why)) => return Err(why),
                    Some(_) => {}
                    None => return Err("the connection ended".into()),
                }
            }
        });
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
        let (device, own) = (self.installed.identity.device.clone(), Arc::clone(&self.installed.voucher));
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
            let wait = deadline.saturating_duration_since(Instant::now());
            let happened = self.runtime.block_on(async { tokio::time::timeout(wait, self.heard.recv()).await });
            let message = match happened {
                Err(_) => return Ok(None),
                Ok(Some(Happened::Message(message))) => message,
                Ok(Some(Happened::Ended(why))) => return Err(lost(why)),
                Ok(None) => return Err(lost("the connection ended".into())),
                Ok(Some(_)) => continue,
            };
            match self.opener.open(&message.topic, &message.payload, self.now()) {
                Ok(opened) => {
                    if let Body::Voucher(vouched) = &opened.body {
                        let mut registry = Registry::clone(&self.opener.registry);
                        registry.take(Arc::clone(vouched));
                        self.opener.registry = Arc::new(registry);
                    }
                    return Ok(Some(opened));
                }
                Err(refusal) => tracing::debug!("{refusal}"),
            }
        }
    }

    /// Publishes a message that is signed already, and waits until the broker has it.
    ///
    /// # Errors
    /// `Io` where the connection ends.
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
    /// `NotReady` where it is not connected: nothing is left waiting for it. `NotFound`, `Io`.
    pub fn order(&mut self, device: &Name, order: Order, patience: Duration) -> Result<Answer> {
        let status = self.status(device)?;
        if !status.online {
            return Err(Error::new(Kind::NotReady, format!("{device} is not connected, and nothing waits for it"))
                .help("see to its network; command it on its own machine with facegate door"));
        }
        self.subscribe(&format!("answers/{device}"))?;
        let command = self.command(device, order, status.session);
        let topic = Topic::Command(device.clone());
        let identity = &self.installed.identity;
        let payload = wire::write(&command, &identity.site, &topic, &identity.key)
            .map_err(|error| Error::new(Kind::TooLarge, error.to_string()))?;
        let message = Outgoing {
            topic: topic.of(&identity.site),
            payload,
            retain: false,
            expiry: Some((VALID_MS / 1000) as u32),
        };
        if self.client.publish(message).is_err() {
            return Err(lost("nothing can be sent".into()));
        }
        let deadline = Instant::now() + patience;
        while let Some(opened) = self.next(deadline.saturating_duration_since(Instant::now()))? {
            if let Body::Answer(answer) = opened.body
                && answer.id == command.id
                && answer.outcome != Outcome::Begun
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
            by: self.installed.identity.device.clone(),
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

fn lost(why: String) -> Error {
    Error::new(Kind::Io, format!("the connection to the broker is lost: {why}")).help("try again")
}
