//! EventService: what happens in the tree, told to those who ask, as far as they may see it.
//!
//! ```text
//! journal ─▶ read by reference ─▶ place ─▶ filter ─▶ may see ─▶ coalesced ─▶ one message ─▶ the caller, when it reads
//!    ▲                                                                           │
//!    └──────── at most ten times a second, from the watcher's own cursor ◀───────┘     less often, the more they are
//! ```
//!
//! A watcher has no queue: what it does not read stays in the journal, and is forgotten there when the journal forgets it. So a caller who
//! does not read costs nothing but its place, and hears at its next read that it was overtaken.

mod asked;
mod filter;
mod pace;
mod state;
mod watch;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use runtime_core::clock::Clock;
use runtime_core::error::ErrorCode;
use runtime_core::journal::{Cursor, CursorExpired, coalesced};
use runtime_proto::v1;
use runtime_proto::v1::event_service_server::EventService;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::door::Door;
use crate::page::{cursor, page_size, page_token};
use crate::status::{invalid, refused};
use asked::{Asked, Selected};
pub(crate) use pace::Pace;
use watch::{Telling, Watch};

/// Entries that are looked at between two looks at anything else.
const READ: usize = 4_096;

/// What happens in the tree.
pub(crate) struct Events {
    pub(crate) door: Door,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pace: Arc<Pace>,
    /// Set when the server ends.
    pub(crate) stopping: CancellationToken,
}

fn expired(CursorExpired: CursorExpired) -> Status {
    refused(ErrorCode::CursorExpired, CursorExpired.to_string())
}

#[async_trait]
impl EventService for Events {
    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let v1::ListEventsRequest { filter, page_size: asked_size, page_token: token } = request.get_ref();
        let asked = Asked::of(&request, filter, false)?;
        let (list, size) = (format!("events {filter}"), page_size(*asked_size)?);
        let (journal, classes) = (self.door.journal()?, asked.classes);
        let mut at = match cursor(&list, token)? {
            Some(place) => convert::parsed("page_token", &place)?,
            None => journal.oldest(classes),
        };
        let mut events = Vec::new();
        loop {
            let page = journal.read(at, classes, READ).map_err(expired)?;
            // One more than fits says whether there is a next page.
            let Selected { told: found, reached, .. } = asked.select(&page, size + 1 - events.len());
            let is_full = events.len() + found.len() > size;
            let fitting = found.len() - usize::from(is_full);
            events.extend(found[..fitting].iter().map(|told| convert::event(at.life, told)));
            if is_full {
                let last = found[..fitting].last().map_or(at.sequence, |told| told.sequence);
                let next = Cursor { sequence: last, ..at };
                let next_page_token = page_token(&list, &next.to_string());
                return Ok(Response::new(v1::ListEventsResponse {
                    events,
                    next_page_token,
                    cursor: next.to_string(),
                }));
            }
            at = reached;
            if !page.more() {
                let (next_page_token, cursor) = (String::new(), at.to_string());
                return Ok(Response::new(v1::ListEventsResponse { events, next_page_token, cursor }));
            }
            tokio::task::yield_now().await;
        }
    }

    type WatchEventsStream = BoxStream<'static, Result<v1::WatchEventsResponse, Status>>;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let v1::WatchEventsRequest { filter, cursor, initial_state, coalesce, count_tasks } =
            request.get_ref();
        if *initial_state && !cursor.is_empty() {
            return Err(invalid("initial_state", "the state of now, or from an earlier cursor on: not both"));
        }
        let asked = Asked::of(&request, filter, *count_tasks)?;
        let journal = self.door.journal()?;
        // Before anything is looked at: what changes while it is looked at comes again, and nothing is missed.
        let from = match cursor.as_str() {
            "" => journal.tip(),
            text => convert::parsed("cursor", text)?,
        };
        journal.read(from, asked.classes, 1).map_err(expired)?;
        let state = match initial_state {
            true => Some(state::of(&self.door.for_call(&request), &asked, self.clock.now()).await?),
            false => None,
        };
        // Whoever has no cursor is told at once from where it watches.
        let is_new = cursor.is_empty() && state.is_none();
        let telling = Telling { coalesce: *coalesce, count_tasks: *count_tasks };
        let watch = Watch::new(
            (journal, self.pace.clone()),
            asked,
            from,
            telling,
            state,
            is_new,
            self.stopping.clone(),
        );
        let messages = unfold(Some(watch), async |watch| {
            let mut watch = watch?;
            match watch.next().await {
                Ok(message) => Some((Ok(message), Some(watch))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(messages.boxed()))
    }
}

/// Events as they are told, in the order of their last ones: one by one, or those of one resource as one; and what was counted.
fn messages(life: u64, selected: Selected<'_>, coalesce: bool) -> Vec<v1::Event> {
    let Selected { told, counted, .. } = selected;
    let told = if coalesce { coalesced(told) } else { told };
    let told = told.iter().map(|told| (told.sequence, convert::event(life, told)));
    if counted.is_empty() {
        return told.map(|(_, event)| event).collect();
    }
    let counted = counted.iter().map(|counted| (counted.sequence, convert::counted(life, counted)));
    let mut events: Vec<(u64, v1::Event)> = told.chain(counted).collect();
    events.sort_by_key(|(sequence, _)| *sequence);
    events.into_iter().map(|(_, event)| event).collect()
}
