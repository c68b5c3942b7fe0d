//! The daemon as one of the doors of a site.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Daemon, living};
use crate::{
    clock::Clock,
    config::Config,
    fleet,
    strictness::Strictness,
    vision::{engine::Engine, models::Pack},
};

impl Daemon {
    /// The link to the other doors of the site, where this board is of one. Keys that are missing or broken are no reason to keep a
    /// door shut: the log tells.
    pub(super) fn start_fleet(&mut self, clock: &Arc<dyn Clock>) {
        let Some(settings) = self.config.fleet.clone() else { return };
        let configuring = self.configuring(&settings);
        let hands = fleet::Hands {
            desk: Arc::clone(&self.desk),
            gallery: Arc::clone(&self.gallery),
            engine: Arc::clone(&self.engine),
            recognition: self.config.api.recognition.clone(),
            leds: "/sys/class/leds".into(),
            configuring,
            upload: Mutex::default(),
        };
        let parts = fleet::Parts {
            hands: Arc::new(hands),
            journal: Arc::clone(&self.journal),
            clock: Arc::clone(clock),
            events: self.listeners.listen(),
            model: self.engine.model_id().to_owned(),
        };
        match fleet::Link::start(settings, parts) {
            Ok(link) => self.fleet = Some(link),
            Err(error) => {
                tracing::error!(%error, help = error.advice(), "no part of the fleet: the doors work without it");
            }
        }
    }

    /// How the fleet orders another configuration, where this one is from a file.
    fn configuring(&self, settings: &fleet::Settings) -> Option<Arc<fleet::Configuring>> {
        let origin = self.config.origin.clone()?;
        let (models, gallery, engine) =
            (self.config.models.clone(), Arc::clone(&self.gallery), Arc::clone(&self.engine));
        let check = move |config: &Config| {
            let other = match config.models == models {
                true => None,
                false => Some(Engine::load(&Pack::open(&config.models.dir, &config.models.pack)?)?),
            };
            let engine = other.as_ref().unwrap_or(&engine);
            living::provided(config, engine)?;
            for door in &config.doors {
                Strictness::of(&door.access, engine.calibration(), gallery.compared_with(&door.tenant))
                    .map_err(|error| error.within(&format!("door '{}'", door.name)))?;
            }
            Ok(())
        };
        Some(fleet::Configuring::new(origin, settings.dir.clone(), check))
    }
}
