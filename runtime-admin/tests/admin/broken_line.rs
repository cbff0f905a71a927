//! A change whose answer is lost on the way: it is asked for once more under its id, and done once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use runtime_admin::{AdminClient, ClientError, v1};
use runtime_core::error::ErrorCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Served, setup};

/// Stands before a server, and hangs up when the answer of a call comes back: so often, then never again.
struct BrokenLine {
    endpoint: String,
    /// Connections so far.
    connections: Arc<AtomicUsize>,
}

/// In HTTP/2 an answer begins with this kind of frame.
const HEADERS: u8 = 1;
/// Length, kind, flags and stream stand before a frame's content.
const FRAME_HEADER_BYTES: usize = 9;

impl BrokenLine {
    async fn before(served: &Served, breaks: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (endpoint, server) = (listener.local_addr().unwrap().to_string(), served.address);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let breaks = counted.fetch_add(1, Ordering::SeqCst) < breaks;
                let (ask, tell) = client.into_split();
                let (answer, forward) = TcpStream::connect(server).await.unwrap().into_split();
                let asking = tokio::spawn(copy(ask, forward));
                tokio::spawn(async move {
                    answers(answer, tell, breaks).await;
                    asking.abort();
                });
            }
        });
        Self { endpoint, connections }
    }

    async fn client(&self) -> AdminClient {
        AdminClient::connect(&self.endpoint).await.unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    drop(tokio::io::copy(&mut from, &mut to).await);
}

/// Hands frames on until an answer would be one of them.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, breaks: bool) {
    let mut header = [0; FRAME_HEADER_BYTES];
    while from.read_exact(&mut header).await.is_ok() {
        if breaks && header[3] == HEADERS {
            return;
        }
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        if from.read_exact(&mut frame).await.is_err()
            || to.write_all(&header).await.is_err()
            || to.write_all(&frame).await.is_err()
        {
            return;
        }
    }
}

fn a_task(request_id: &str) -> v1::EnqueueTaskRequest {
    v1::EnqueueTaskRequest {
        app: "apps/shop".into(),
        queue: "queues/mail".into(),
        handler: "fetch".into(),
        payload: b"{}".to_vec(),
        request_id: request_id.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_done_once() {
    let served = setup().await;
    let line = BrokenLine::before(&served, 1).await;
    let made = line.client().await.enqueue(a_task("")).await.unwrap();
    assert!(made.name.starts_with("tasks/"), "{made:?}");
    assert_eq!(line.connections(), 2, "the answer came over another connection");
    served.control.change(|world| assert_eq!(world.enqueued.len(), 1));
}

#[tokio::test]
async fn under_another_id_it_would_be_done_twice() {
    let served = setup().await;
    let line = BrokenLine::before(&served, 2).await;
    let client = line.client().await;
    let lost = client.enqueue(a_task("first")).await.unwrap_err();
    assert!(matches!(lost, ClientError::ConnectionLost(_)), "{lost:?}");
    client.enqueue(a_task("second")).await.unwrap();
    served.control.change(|world| assert_eq!(world.enqueued.len(), 2));
}

#[tokio::test]
async fn a_given_id_and_reason_go_with_the_change() {
    let served = setup().await;
    let client = served.client.clone().with_reason("a test").with_request_id("mine".parse().unwrap());
    let (one, again) = (client.enqueue(a_task("")).await.unwrap(), client.enqueue(a_task("")).await.unwrap());
    assert_eq!(one, again);
    served.control.change(|world| assert_eq!(world.enqueued.len(), 1));
    let other = client.pause_queue(&"mail".parse().unwrap(), None, "").await.unwrap_err();
    assert_eq!(other.code(), Some(ErrorCode::RequestIdConflict));
    let entries = served.client.audit("", 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].reason.as_str(), entries[0].request_id.as_str()), ("a test", "mine"));
}
