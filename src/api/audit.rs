//! The record of calls: whoever uses or changes a template, a rule, a key or a tenant stands in the journal with it, whatever
//! came of it.
//!
//! Reading is not recorded, but for photographs; what gives templates out is a `POST`. Calls without a valid key are in the log alone, or strangers could
//! fill the journal.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{MatchedPath, RawPathParams, Request, State as Shared, rejection::RawPathParamsRejection},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;

use super::{State, auth::Tenant, error::Failure};
use crate::{
    error::{Error, Kind},
    gallery::{EmbeddingId, SubjectId, TenantId},
    journal::{Call, Entry, Event, Journal},
    operator::Operator,
};

/// What a call that went well came to.
const OK: &str = "ok";

/// What came of a call so far whose answer begins before its work is done.
const BEGUN: &str = "begun";

/// What came of a call whose client went away, or whose time was over: it may have been done all the same.
const UNKNOWN: &str = "unknown";

/// The tenant of a call that is about none, or does not say which.
const NO_TENANT: &str = "-";

/// How the one path ends that gives out what people look like.
const PHOTOGRAPH: &str = "/photograph";

/// What a call is about: an extension of its request, in which its handler says what only it knows.
#[derive(Clone, Default)]
pub(super) struct About(Arc<Mutex<Named>>);

#[derive(Default)]
struct Named {
    subject: Option<String>,
    embedding: Option<String>,
    key: Option<String>,
    tenant: Option<String>,
}

impl About {
    /// Whom it is about: the subject of an enrolment or a deletion, the best match of a search.
    pub(super) fn subject(&self, subject: &SubjectId) {
        self.0.lock().subject = Some(subject.to_string());
    }

    /// Which embedding was made or deleted.
    pub(super) fn embedding(&self, embedding: &EmbeddingId) {
        self.0.lock().embedding = Some(embedding.to_string());
    }

    /// Which key was made, rotated or revoked: its id.
    pub(super) fn key(&self, id: &str) {
        self.0.lock().key = Some(id.to_owned());
    }

    /// Whose data it is, where that is not the caller's own tenant.
    pub(super) fn tenant(&self, tenant: &TenantId) {
        self.0.lock().tenant = Some(tenant.to_string());
    }

    /// As far as the path says it.
    fn of(params: Result<RawPathParams, RawPathParamsRejection>) -> Self {
        let about = Self::default();
        // A path that cannot be read is its handler's to refuse.
        for (name, value) in params.iter().flatten() {
            match name {
                "subject_id" => drop(value.parse().map(|subject| about.subject(&subject))),
                "embedding_id" => drop(value.parse().map(|embedding| about.embedding(&embedding))),
                "tenant" => drop(value.parse().map(|tenant| about.tenant(&tenant))),
                "key_id" if is_key_id(value) => about.key(value),
                _ => {}
            }
        }
        about
    }
}

/// Whether this may be a key's id: eight hexadecimal digits. Nothing else is written down, least of all what a terminal that
/// shows the journal would obey.
fn is_key_id(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Records a call that does more than read. To be used within [`tenants`](super::auth::tenants) or
/// [`operators`](super::auth::operators).
///
/// A call that there is no room to record is refused, unless it deletes: a journal that cannot be written for want of room
/// must not keep anybody from making some. What finds no room at its end all the same is counted as lost, for the door's
/// entries go first.
pub(super) async fn layer(
    Shared(state): Shared<Arc<State>>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("-", MatchedPath::as_str);
    if matches!(*request.method(), Method::GET | Method::HEAD) && !route.ends_with(PHOTOGRAPH) {
        return next.run(request).await;
    }
    if !state.journal.has_room() && *request.method() != Method::DELETE {
        return Failure::new(Kind::Busy, "the journal takes no more calls at the moment").into_response();
    }
    let extensions = request.extensions();
    let Some(operator) = extensions.get::<Operator>().cloned() else {
        return Failure::new(Kind::Internal, "a call without its caller").into_response();
    };
    let tenant = extensions.get::<Tenant>().map(|Tenant(tenant)| tenant.clone());
    let caller = Caller { operator, tenant, call: format!("{} {route}", request.method()) };
    let mut line = caller.line(&state, About::of(params));
    request.extensions_mut().insert(line.about.clone());
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    line.outcome = match response.extensions().get::<Arc<Error>>() {
        Some(error) => error.kind().code(),
        None if response.extensions().get::<Begun>().is_some() => BEGUN,
        None if response.status().is_success() => OK,
        None => UNKNOWN,
    };
    response
}

/// The mark of an answer that begins before its work is done: its entry says so at once, also where the power fails meanwhile, and
/// whoever does the work writes another one at its end.
#[derive(Clone)]
struct Begun;

/// Marks an answer whose [`Caller::rest`] will tell how it ended.
pub(super) fn begun(mut response: Response) -> Response {
    response.extensions_mut().insert(Begun);
    response
}

/// Who calls what: an extension of the request, for calls that do many things and have each recorded.
#[derive(Clone)]
pub(super) struct Caller {
    operator: Operator,
    tenant: Option<TenantId>,
    call: String,
}

impl Caller {
    pub(super) fn operator(&self) -> &Operator {
        &self.operator
    }

    /// One of many things that the call does: what it is about, and its entry.
    pub(super) fn item(&self, state: &State) -> (About, Line) {
        let about = About::default();
        (about.clone(), self.line(state, about))
    }

    /// What the call does after its answer has [begun]: its entry.
    pub(super) fn rest(&self, state: &State) -> Line {
        self.item(state).1
    }

    fn line(&self, state: &State, about: About) -> Line {
        Line {
            journal: Arc::clone(&state.journal),
            call: self.call.clone(),
            by: self.operator.to_string(),
            tenant: self.tenant.as_ref().map_or_else(|| NO_TENANT.to_owned(), TenantId::to_string),
            about,
            outcome: UNKNOWN,
            counts: BTreeMap::new(),
            left_out: false,
        }
    }
}

/// A call's entry, written when it is dropped: also when the client goes away and the rest is never run.
pub(super) struct Line {
    journal: Arc<Journal>,
    call: String,
    by: String,
    tenant: String,
    about: About,
    outcome: &'static str,
    counts: BTreeMap<String, u64>,
    left_out: bool,
}

impl Line {
    /// What came of it.
    pub(super) fn ended(&mut self, outcome: Result<(), &Error>) {
        self.outcome = outcome.map_or_else(|error| error.kind().code(), |()| OK);
    }

    /// How many came to what, whatever came of the whole.
    pub(super) fn counted<'c>(&mut self, counts: impl IntoIterator<Item = (&'c str, u64)>) {
        self.counts = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    }

    /// It is not written: nothing was done that is to be recorded.
    pub(super) fn leave_out(&mut self) {
        self.left_out = true;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.left_out {
            return;
        }
        let mut named = self.about.0.lock();
        let call = Call {
            call: std::mem::take(&mut self.call),
            by: std::mem::take(&mut self.by),
            tenant: named.tenant.take().unwrap_or_else(|| std::mem::take(&mut self.tenant)),
            subject: named.subject.take(),
            embedding: named.embedding.take(),
            key: named.key.take(),
            outcome: self.outcome.into(),
            counts: std::mem::take(&mut self.counts),
        };
        self.journal.append_if_room(Entry { door: None, event: Event::Call(call) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_s_id_is_not_written_down() {
        assert!(is_key_id("1a2b3c4d"));
        for bad in ["", "1a2b3c4", "1a2b3c4d5", "\u{1b}[2J\u{1b}[1m", "1a2b\n3c4", "zzzzzzzz"] {
            assert!(!is_key_id(bad), "{bad:?}");
        }
    }
}
