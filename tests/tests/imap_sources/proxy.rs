//! A line between a source and its server that can be cut, fall silent, or hide what the server can do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What happens when the server has said as much as it may.
#[derive(Clone, Copy)]
pub(crate) enum Line {
    /// The line is cut.
    IsCut,
    /// The line stays open and brings nothing more.
    FallsSilent,
}

#[derive(Default)]
struct Count {
    /// Bytes the server said on the latest connection.
    said: AtomicUsize,
    /// Bytes the server may say on a connection.
    limit: AtomicUsize,
    /// After how many bytes each line of the latest connection ended.
    line_ends: Mutex<Vec<usize>>,
}

/// A line in operation; it ends when dropped.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    count: Arc<Count>,
    _running: JoinSet<()>,
}

impl Proxy {
    /// A line on which the server may say so many bytes in each connection.
    pub(crate) async fn start(server: SocketAddr, line: Line, limit: usize) -> Self {
        Self::run(server, line, limit, &[]).await
    }

    /// An endless line that hides words from the client.
    pub(crate) async fn hiding(server: SocketAddr, words: &'static [&'static str]) -> Self {
        Self::run(server, Line::IsCut, usize::MAX, words).await
    }

    async fn run(server: SocketAddr, line: Line, limit: usize, words: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let count = Arc::new(Count { limit: limit.into(), ..Count::default() });
        let counter = count.clone();
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.expect("the server");
                connections.spawn(carry(client, server, line, words, counter.clone()));
            }
        });
        Self { addr, count, _running: running }
    }

    /// Bytes the server said on the latest connection.
    pub(crate) fn said(&self) -> usize {
        self.count.said.load(Ordering::SeqCst)
    }

    /// After how many bytes each line of the latest connection ended.
    pub(crate) fn line_ends(&self) -> Vec<usize> {
        self.count.line_ends.lock().expect("not poisoned").clone()
    }

    /// Lets the server say so many bytes in each connection.
    pub(crate) fn limit_to(&self, bytes: usize) {
        self.count.limit.store(bytes, Ordering::SeqCst);
    }
}

async fn carry(client: TcpStream, server: TcpStream, line: Line, words: &[&str], count: Arc<Count>) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("set");
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::io::copy(&mut from_client, &mut to_server);
    let down = async {
        let mut bytes = vec![0; 64 * 1024];
        let mut carried = 0;
        count.said.store(0, Ordering::SeqCst);
        count.line_ends.lock().expect("not poisoned").clear();
        loop {
            let Ok(read @ 1..) = from_server.read(&mut bytes).await else { return };
            let limit = count.limit.load(Ordering::SeqCst);
            let chunk = &mut bytes[..read.min(limit.saturating_sub(carried))];
            for word in words {
                hide(chunk, word.as_bytes());
            }
            let ends = chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            count.line_ends.lock().expect("not poisoned").extend(ends.map(|(at, _)| carried + at + 1));
            carried += chunk.len();
            count.said.store(carried, Ordering::SeqCst);
            if to_client.write_all(chunk).await.is_err() {
                return;
            }
            if carried >= limit {
                match line {
                    Line::IsCut => return,
                    Line::FallsSilent => std::future::pending().await,
                }
            }
        }
    };
    tokio::select! {
        _ = up => {}
        () = down => {}
    }
}

/// Writes another word of the same length over a word.
fn hide(text: &mut [u8], word: &[u8]) {
    let found: Vec<usize> = text
        .windows(word.len())
        .enumerate()
        .filter(|(_, window)| *window == word)
        .map(|(at, _)| at)
        .collect();
    for at in found {
        text[at..at + word.len()].fill(b'X');
    }
}
