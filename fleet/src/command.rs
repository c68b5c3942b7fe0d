//! Which commands a device obeys.
//!
//! A command is for one connection ([`Session`]), which the device tells in its status when it connects: whatever was queued
//! while it was away, by a broker, a proxy or somebody with a copy, is for another one and is refused, whatever the clocks
//! say. Within a connection each nonce counts once. Where the device's clock can be relied on, a command has an end, too;
//! where it cannot, the session is changed every few minutes instead, so that a command that somebody held back is of no use
//! after that.

use std::collections::HashSet;

use crate::{
    Name, Now,
    keys::{Nonce, PublicKey, Session},
    refusal::Cause,
    registry::Registry,
    voucher::Role,
    wire::{Command, Order},
};

/// The longest life of a command that moves a lock, in milliseconds.
pub const MOVEMENT_LIFE_MS: u64 = 60_000;

/// And of another.
pub const LIFE_MS: u64 = 600_000;

/// How long an accepted command may wait for its turn where the clock cannot be relied on, in milliseconds.
const WITHOUT_CLOCK_MS: u64 = 5_000;

/// How far a sender's clock may be ahead of ours, in milliseconds.
pub const SKEW_MS: u64 = 30_000;

/// How many commands are told apart within one session.
pub const WINDOW: usize = 4096;

/// How old a session may grow where the clock cannot be relied on, in milliseconds.
pub const SESSION_LIFE_MS: u64 = 300_000;

/// Decides about the commands that a device is sent.
#[derive(Clone, Debug)]
pub struct Inbox {
    device: Name,
    session: Option<(Session, u64)>,
    seen: HashSet<Nonce>,
}

impl Inbox {
    /// The inbox of a device, without a session: nothing is obeyed.
    pub fn new(device: Name) -> Self {
        Self { device, session: None, seen: HashSet::new() }
    }

    /// Begins a session. Publish it in the device's status; commands for the one before are refused from here on.
    pub fn begin(&mut self, session: Session, now: Now) {
        self.session = Some((session, now.mono));
        self.seen.clear();
    }

    /// Ends the session: the connection is lost.
    pub fn end(&mut self) {
        self.session = None;
        self.seen.clear();
    }

    /// Whether a new session should begin, on the same connection: the window is nearly full, or the clock cannot be relied
    /// on and the session is old.
    pub fn is_worn(&self, now: Now) -> bool {
        let old = |since: u64| !now.trusted && now.mono.saturating_sub(since) >= SESSION_LIFE_MS;
        self.session.is_some_and(|(_, since)| self.seen.len() > WINDOW / 4 * 3 || old(since))
    }

    /// Decides about a command that [`Opener`](crate::open::Opener) has opened; `key` is the one that it was signed with.
    /// `Ok`: obey it, once.
    ///
    /// # Errors
    /// Why it is not to be obeyed. Nothing is remembered of it.
    pub fn accept(&mut self, command: &Command, key: &PublicKey, registry: &Registry, now: Now) -> Result<(), Cause> {
        // Again, since it may have waited for its turn.
        let voucher = registry.trusted(&command.by, now)?;
        if voucher.key != *key {
            return Err(Cause::Revoked);
        }
        if command.to != self.device {
            return Err(Cause::WrongDevice);
        }
        if command.role != voucher.role || !may(voucher.role, &command.order) {
            return Err(Cause::Role);
        }
        if self.session.is_none_or(|(session, _)| session != command.session) {
            return Err(Cause::Session);
        }
        // Before its end is looked at: a copy of what was obeyed must not be told to be late.
        if self.seen.contains(&command.nonce) {
            return Err(Cause::Replayed);
        }
        let life = if moves_a_lock(&command.order) { MOVEMENT_LIFE_MS } else { LIFE_MS };
        if command.expires.checked_sub(command.issued).is_none_or(|lasts| lasts == 0 || lasts > life) {
            return Err(Cause::Late);
        }
        if let Some(wall) = now.trusted_wall()
            && (command.expires <= wall || command.issued > wall.saturating_add(SKEW_MS))
        {
            return Err(Cause::Late);
        }
        if self.seen.len() >= WINDOW {
            return Err(Cause::Busy);
        }
        self.seen.insert(command.nonce);
        Ok(())
    }
}

/// How long an accepted command may still wait until it is obeyed, in milliseconds: until its end where the clock can be relied
/// on, else a few seconds. Whoever ordered it has been told long before that nothing came of it.
pub fn left_ms(command: &Command, now: Now) -> u64 {
    match now.trusted_wall() {
        Some(wall) => command.expires.saturating_sub(wall),
        None => command.expires.saturating_sub(command.issued).min(WITHOUT_CLOCK_MS),
    }
}

/// Whether a role may order that.
pub const fn may(role: Role, order: &Order) -> bool {
    match order {
        Order::Unlock { .. }
        | Order::Lockdown { .. }
        | Order::Release { .. }
        | Order::FreeAccess { .. }
        | Order::EndFreeAccess { .. }
        | Order::Enrol { .. }
        | Order::SetRules { .. }
        | Order::Identify { .. } => matches!(role, Role::Operator | Role::Admin),
        Order::Reload {} | Order::Restart {} | Order::SetConfig { .. } => matches!(role, Role::Admin),
    }
}

/// Whether an order moves a lock, or has somebody let in later.
pub const fn moves_a_lock(order: &Order) -> bool {
    !matches!(order, Order::Identify { .. } | Order::Reload {} | Order::Restart {} | Order::SetConfig { .. })
}
