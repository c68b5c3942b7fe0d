//! From sightings to decisions.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::{
    Decision, DenialReason, Flaw, Living, Observation, Outcome, PadPolicy, Policy, Sighting, Subject, Track,
    rules::RuleReason,
};
use crate::Moment;

/// A track not seen for this long is forgotten.
const TRACK_MEMORY: Duration = Duration::from_secs(60);

/// More tracks than this are never held; the one that was not seen for the longest goes first.
const MAX_TRACKS: usize = 256;

/// The three reasons for not recognising anybody are told as one: a stranger whose frames flicker is denied once.
const UNRECOGNISED: &str = "unrecognised";

/// One usable frame of a track.
struct Vote {
    at: Moment,
    /// The best subject, where it is over the threshold.
    subject: Option<Subject>,
    /// Finite, or none.
    similarity: Option<f32>,
    /// Over the threshold, but the runner-up is too close.
    ambiguous: bool,
}

/// A track has opened the door.
struct Opening {
    subject: Subject,
    /// When the frame that did it was taken.
    at: Moment,
    /// It is known that nobody passed.
    missed: bool,
}

/// What is known of one track.
struct State {
    seen: Moment,
    /// The newest usable frames, oldest first, at most `window`.
    votes: VecDeque<Vote>,
    /// How many frames in a row were of poor quality.
    poor: u32,
    /// For whom this track has opened the door.
    opened: Option<Opening>,
    /// Nobody is granted by this track before that: the door itself has refused.
    again_at: Moment,
    /// When each kind of denial was told last. There are no more kinds than codes of reasons,
    /// rules and flaws.
    denied: Vec<(&'static str, Moment)>,
}

impl State {
    fn new(at: Moment) -> Self {
        Self {
            seen: at,
            votes: VecDeque::new(),
            poor: 0,
            opened: None,
            again_at: Moment::default(),
            denied: Vec::new(),
        }
    }

    /// Whether a denial of this kind may be told now; if so, notes that it was.
    fn may_tell(&mut self, kind: &'static str, now: Moment, interval: Duration) -> bool {
        match self.denied.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, told)) if now.since(*told) < interval => false,
            Some((_, told)) => {
                *told = now;
                true
            }
            None => {
                self.denied.push((kind, now));
                true
            }
        }
    }
}

/// Decides about every track of one door.
pub struct Decider {
    policy: Policy,
    tracks: HashMap<Track, State>,
    /// When each subject was last granted; kept for as long as the cooldown lasts.
    granted: HashMap<Subject, Moment>,
    swept: Moment,
}

impl Decider {
    /// A decider that has seen nobody. `policy` must be valid.
    pub fn new(policy: Policy) -> Self {
        Self { policy, tracks: HashMap::new(), granted: HashMap::new(), swept: Moment::default() }
    }

    /// What the door asks for.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Takes over another policy. Votes cast under the old one are void; cooldowns and used tracks stay.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
        for state in self.tracks.values_mut() {
            state.votes.clear();
        }
    }

    /// Takes in what a frame says of a track. The answer is what there is to tell, if anything.
    pub fn observe(&mut self, observation: Observation) -> Option<Decision> {
        let Observation { track, sighting, living, at } = observation;
        self.make_room(track, at);
        let policy = &self.policy;
        let state = self.tracks.entry(track).or_insert_with(|| State::new(at));
        state.seen = state.seen.max(at);
        let outcome = match sighting {
            Sighting::PoorQuality(flaw) => poor(state, flaw, at, policy),
            Sighting::Stranger { similarity } => {
                let similarity = similarity.is_finite().then_some(similarity);
                cast(state, Vote { at, subject: None, similarity, ambiguous: false }, policy);
                unrecognised(state, at, policy)
            }
            Sighting::Match { subject, similarity, runner_up } => {
                let over = similarity.is_finite() && similarity >= policy.threshold;
                // Written so that a runner-up that is not a number counts as too close.
                let leads = runner_up.is_none_or(|second| similarity - second >= policy.margin);
                cast(
                    state,
                    Vote {
                        at,
                        subject: over.then(|| subject.clone()),
                        similarity: similarity.is_finite().then_some(similarity),
                        ambiguous: over && !leads,
                    },
                    policy,
                );
                if over && leads && supporters(state, &subject, at, policy) >= policy.votes {
                    let best = Recognised { subject, similarity, living };
                    recognised(state, best, at, policy, &mut self.granted)
                } else if over
                    && leads
                    && state.votes.iter().flat_map(|vote| &vote.subject).all(|best| *best == subject)
                {
                    // The next frame may bring the vote that is missing.
                    None
                } else {
                    unrecognised(state, at, policy)
                }
            }
        };
        outcome.map(|outcome| Decision { track, outcome, at })
    }

    /// Takes a grant back that the rules do not allow: it neither uses the track up nor begins a cooldown, and with the next
    /// frame the subject is asked about again. Gives the denial where it may be told now.
    pub fn refuse(&mut self, granted: &Decision, reason: RuleReason) -> Option<Decision> {
        let Outcome::Granted { subject, similarity, .. } = &granted.outcome else { return None };
        self.granted.remove(subject);
        let state = self.tracks.get_mut(&granted.track)?;
        state.opened = None;
        let outcome = Outcome::Denied {
            reason: DenialReason::Rules(reason),
            subject: Some(subject.clone()),
            similarity: Some(*similarity),
        };
        let told = state.may_tell(reason.code(), granted.at, self.policy.deny_interval());
        told.then_some(Decision { track: granted.track, outcome, at: granted.at })
    }

    /// Takes a grant back that the door itself refused: it neither uses the track up nor begins a cooldown. From `again_at` on the
    /// subject may be granted anew on that track.
    pub fn give_back(&mut self, granted: &Decision, again_at: Moment) {
        let Outcome::Granted { subject, .. } = &granted.outcome else { return };
        if self.granted.get(subject) == Some(&granted.at) {
            self.granted.remove(subject);
        }
        if let Some(state) = self.used_by(granted) {
            (state.opened, state.again_at) = (None, again_at);
        }
    }

    /// Takes down that nobody passed by that grant. The track stays used: whoever stands about before a door does not have it open
    /// again and again. But from now on it is said why it does not open.
    pub fn missed(&mut self, granted: &Decision) {
        let opening = self.used_by(granted).and_then(|state| state.opened.as_mut());
        opening.into_iter().for_each(|opening| opening.missed = true);
    }

    /// The track of that grant, where it is used up by it and not by a later one.
    fn used_by(&mut self, granted: &Decision) -> Option<&mut State> {
        let state = self.tracks.get_mut(&granted.track)?;
        state.opened.as_ref().is_some_and(|opening| opening.at == granted.at).then_some(state)
    }

    /// Whether the door was opened for this track: nothing that it shows counts any more.
    pub fn has_opened(&self, track: Track) -> bool {
        self.tracks.get(&track).is_some_and(|state| state.opened.is_some())
    }

    /// Drops what is known of a track that has ended.
    pub fn forget(&mut self, track: Track) {
        self.tracks.remove(&track);
    }

    /// Drops what is known of every track, for whoever numbers them anew. Cooldowns stay: who was granted a moment ago is not granted
    /// once more for that.
    pub fn forget_tracks(&mut self) {
        self.tracks.clear();
    }

    /// Drops tracks that were not seen for a minute and cooldowns that are over. [`observe`](Self::observe) does it too,
    /// once a second.
    pub fn expire(&mut self, now: Moment) {
        self.swept = now;
        let memory = TRACK_MEMORY.max(self.policy.deny_interval().max(self.policy.vote_age()));
        let cooldown = self.policy.cooldown();
        self.tracks.retain(|_, state| now.since(state.seen) <= memory);
        self.granted.retain(|_, at| now.since(*at) < cooldown);
    }

    /// How many tracks and cooldowns are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.tracks.len() + self.granted.len()
    }

    fn make_room(&mut self, track: Track, at: Moment) {
        if at.since(self.swept) >= Duration::from_secs(1) {
            self.expire(at);
        }
        if self.tracks.len() >= MAX_TRACKS && !self.tracks.contains_key(&track) {
            let oldest = self.tracks.iter().min_by_key(|(track, state)| (state.seen, **track)).map(|(track, _)| *track);
            if let Some(oldest) = oldest {
                self.tracks.remove(&oldest);
            }
        }
    }
}

fn cast(state: &mut State, vote: Vote, policy: &Policy) {
    state.poor = 0;
    state.votes.push_back(vote);
    while state.votes.len() > policy.window as usize {
        state.votes.pop_front();
    }
}

/// How many fresh frames speak for `subject`, back to the last one that was over the threshold for somebody else: a track
/// that changes its subject starts anew.
fn supporters(state: &State, subject: &Subject, now: Moment, policy: &Policy) -> u32 {
    let same = state.votes.iter().rev().take_while(|vote| vote.subject.as_ref().is_none_or(|best| best == subject));
    let fresh =
        same.filter(|vote| vote.subject.is_some() && !vote.ambiguous && now.since(vote.at) <= policy.vote_age());
    fresh.map(|_| 1).sum()
}

/// On whom enough frames agree.
struct Recognised {
    subject: Subject,
    similarity: f32,
    living: Option<Living>,
}

fn recognised(
    state: &mut State,
    Recognised { subject, similarity, living }: Recognised,
    now: Moment,
    policy: &Policy,
    granted: &mut HashMap<Subject, Moment>,
) -> Option<Outcome> {
    let resting =
        |granted: &HashMap<Subject, Moment>| granted.get(&subject).is_some_and(|at| now.since(*at) < policy.cooldown());
    let reason = match &state.opened {
        Some(opening) if opening.subject == subject && !opening.missed => return None,
        Some(opening) if opening.subject == subject => Some(DenialReason::NotUsed),
        Some(_) => Some(DenialReason::TrackUsed),
        None if now < state.again_at => return None,
        None if resting(granted) => Some(DenialReason::Cooldown),
        None if policy.liveness == PadPolicy::Required => match (policy.lives(living.as_ref()), living) {
            (Some(true), _) => None,
            (Some(false), Some(living)) => Some(DenialReason::LivenessFailed(living.flaw)),
            // The next frames will tell.
            _ => return None,
        },
        None => None,
    };
    if let Some(reason) = reason {
        return state.may_tell(reason.code(), now, policy.deny_interval()).then_some(Outcome::Denied {
            reason,
            subject: Some(subject),
            similarity: Some(similarity),
        });
    }
    let votes = supporters(state, &subject, now, policy);
    let frames = u32::try_from(state.votes.len()).unwrap_or(policy.window);
    granted.insert(subject.clone(), now);
    state.opened = Some(Opening { subject: subject.clone(), at: now, missed: false });
    Some(Outcome::Granted { subject, similarity, votes, frames })
}

/// No subject has enough votes. Said once the window is full; a track that has opened the door is left in peace.
fn unrecognised(state: &mut State, now: Moment, policy: &Policy) -> Option<Outcome> {
    if state.opened.is_some() || state.votes.len() < policy.window as usize {
        return None;
    }
    let reason = if state.votes.iter().any(|vote| vote.ambiguous) {
        DenialReason::Ambiguous
    } else if state.votes.iter().any(|vote| vote.subject.is_some()) {
        DenialReason::NotAgreed
    } else {
        DenialReason::BelowThreshold
    };
    let similarity = state.votes.iter().filter_map(|vote| vote.similarity).reduce(f32::max);
    let told = state.may_tell(UNRECOGNISED, now, policy.deny_interval());
    told.then_some(Outcome::Denied { reason, subject: None, similarity })
}

/// A face that is not worth recognising. Said once as many frames in a row as the window holds were like that: whoever
/// walks up to a door is too small at first.
fn poor(state: &mut State, flaw: Flaw, now: Moment, policy: &Policy) -> Option<Outcome> {
    state.poor = state.poor.saturating_add(1);
    if state.opened.is_some() || state.poor < policy.window {
        return None;
    }
    let told = state.may_tell(flaw.code, now, policy.deny_interval());
    told.then_some(Outcome::Denied { reason: DenialReason::PoorQuality(flaw), subject: None, similarity: None })
}
