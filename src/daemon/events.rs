//! What the daemon tells those who listen within the process: the demo and the benchmark.

use std::{sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, Sender, unbounded};
use facegate_control::door::Happening;
use parking_lot::Mutex;

use crate::{
    access::{Decision, Subject},
    clock::Moment,
};

/// Something that happened at a door.
#[derive(Clone, Debug)]
pub enum Event {
    /// Somebody in view was granted or denied; `latency` from the frame's capture.
    Decision { door: Arc<str>, decision: Decision, latency: Duration },
    /// The relay moved. `latency` is from the capture of the frame that was granted to the edge; none for relocking.
    Edge { door: Arc<str>, energised: bool, at: Moment, latency: Option<Duration> },
    /// Something happened at the door itself: it opened, an alarm was raised, somebody passed. `subject` is who was granted,
    /// where it is about a grant.
    Happened { door: Arc<str>, happening: Happening, subject: Option<Subject>, at: Moment },
}

/// Who listens. Clones share the list; telling costs nothing where nobody does.
#[derive(Clone, Debug, Default)]
pub struct Listeners(Arc<Mutex<Vec<Sender<Event>>>>);

impl Listeners {
    /// Everything told from now on.
    pub fn listen(&self) -> Receiver<Event> {
        let (sender, receiver) = unbounded();
        self.0.lock().push(sender);
        receiver
    }

    /// Tells everybody who still listens.
    pub fn tell(&self, event: impl FnOnce() -> Event) {
        let mut listeners = self.0.lock();
        if listeners.is_empty() {
            return;
        }
        let event = event();
        listeners.retain(|listener| listener.send(event.clone()).is_ok());
    }
}
