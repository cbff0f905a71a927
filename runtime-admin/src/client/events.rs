//! Calls about events, and a watch that goes on where it was broken off.

use std::time::Duration;

use runtime_core::error::ErrorCode;
use runtime_proto::v1;
use runtime_proto::v1::event_service_client::EventServiceClient;
use tokio::time::{Instant, sleep};
use tonic::Streaming;

use super::{AdminClient, Channel, ClientError};
use crate::server::MAX_MESSAGE_BYTES;

/// How long a watch that lost its connection waits before it tries again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What to watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventAsk {
    /// Which events, in the filter language.
    pub filter: String,
    /// From where on; from now on when empty.
    pub cursor: String,
    /// First how the resources are. Told again whenever events were missed.
    pub initial_state: bool,
    /// Several events of one resource as one.
    pub coalesce: bool,
    /// How many tasks of each queue, instead of each task.
    pub count_tasks: bool,
    /// For how long a lost connection is tried again; not at all when zero.
    pub patience: Duration,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched {
    /// How resources are: the beginning of an initial state, or more of it.
    State(Vec<v1::Event>),
    /// The initial state is complete. What was not told in it is not there.
    StateEnd,
    /// What happened, oldest first.
    Events(Vec<v1::Event>),
    /// Nothing happened that was asked for.
    Bookmark,
    /// Events may have been missed: the server no longer had them, or it is another life of its process, or the connection broke before
    /// there was a place to go on from. What is told from here on begins anew,
    /// with the initial state where that was asked for.
    Missed(ErrorCode),
}

/// A watch. Dropped, it ends.
pub struct EventWatch {
    client: AdminClient,
    ask: EventAsk,
    stream: Option<Streaming<v1::WatchEventsResponse>>,
    /// From where it goes on when the stream breaks; empty before the first cursor.
    cursor: String,
}

impl AdminClient {
    /// One page of the events that are still there, oldest first.
    pub async fn list_events(
        &self,
        request: v1::ListEventsRequest,
    ) -> Result<v1::ListEventsResponse, ClientError> {
        Ok(self.event_service().list_events(self.request(request)).await?.into_inner())
    }

    /// Watches events. A connection that breaks is made again, and the watch goes on behind the last message that was told.
    ///
    /// # Errors
    /// What the server said to the first call: a filter that it cannot read, a cursor that it no longer has.
    pub async fn watch_events(&self, ask: EventAsk) -> Result<EventWatch, ClientError> {
        let cursor = ask.cursor.clone();
        let mut watch = EventWatch { client: self.clone(), ask, stream: None, cursor };
        watch.connect().await?;
        Ok(watch)
    }

    fn event_service(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}

impl EventWatch {
    /// What comes next. Waits as long as nothing does. Safe to be dropped before it is done: nothing is lost.
    ///
    /// # Errors
    /// The connection was lost for longer than the patience of the watch, or the server refuses it.
    pub async fn next(&mut self) -> Result<Watched, ClientError> {
        loop {
            let broken = match &mut self.stream {
                Some(stream) => match stream.message().await {
                    Ok(Some(message)) => return Ok(self.take(message)),
                    Ok(None) => ClientError::ConnectionLost("the stream has ended".to_owned()),
                    Err(status) => status.into(),
                },
                None => match self.connect().await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
            };
            self.stream = None;
            let begun = !self.cursor.is_empty();
            match broken.code() {
                Some(code @ (ErrorCode::CursorExpired | ErrorCode::SlowConsumer)) => {
                    self.cursor.clear();
                    return Ok(Watched::Missed(code));
                }
                _ if is_passing(&broken) => {
                    self.connect_again(broken).await?;
                    if !begun {
                        return Ok(Watched::Missed(ErrorCode::NoAnswer));
                    }
                }
                _ => return Err(broken),
            }
        }
    }

    /// From where another watch would go on.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    fn take(&mut self, message: v1::WatchEventsResponse) -> Watched {
        let v1::WatchEventsResponse { events, cursor, bookmark, initial_state_end } = message;
        if cursor.is_empty() {
            return Watched::State(events);
        }
        self.cursor = cursor;
        match (initial_state_end, bookmark) {
            (true, _) => Watched::StateEnd,
            (false, true) => Watched::Bookmark,
            (false, false) => Watched::Events(events),
        }
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        let request = v1::WatchEventsRequest {
            filter: self.ask.filter.clone(),
            cursor: self.cursor.clone(),
            initial_state: self.ask.initial_state && self.cursor.is_empty(),
            coalesce: self.ask.coalesce,
            count_tasks: self.ask.count_tasks,
        };
        self.stream = Some(self.client.event_service().watch_events(request).await?.into_inner());
        Ok(())
    }

    /// Tries until it is connected, or may not be, or its patience is over.
    async fn connect_again(&mut self, mut broken: ClientError) -> Result<(), ClientError> {
        let (until, mut wait) = (Instant::now() + self.ask.patience, AGAIN.0);
        while is_passing(&broken) && Instant::now() < until {
            sleep(wait.min(until - Instant::now())).await;
            wait = (wait * 2).min(AGAIN.1);
            match self.connect().await {
                Ok(()) => return Ok(()),
                // Told by the next look at the stream, as if it had come over it.
                Err(error) if error.code() == Some(ErrorCode::CursorExpired) => return Ok(()),
                Err(error) => broken = error,
            }
        }
        Err(broken)
    }
}

/// Whether the same call may be answered later.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::ConnectionLost(_) | ClientError::Connect { .. } | ClientError::DeadlineExceeded => true,
        ClientError::Refused(refusal) => matches!(
            refusal.code,
            Some(
                ErrorCode::ShuttingDown
                    | ErrorCode::Overloaded
                    | ErrorCode::NoAnswer
                    | ErrorCode::RateLimited
            )
        ),
        _ => false,
    }
}
