//! What stands between a process and its receiver: it may speak TLS, and it may keep the receiver's answers back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// How long each answer is kept back once answers are let through.
const SLOW: Duration = Duration::from_millis(100);

/// Largest piece of an answer that is handed on at once.
const PIECE: usize = 4 * 1024;

/// Taken down with the test.
pub(crate) struct Tunnel {
    address: SocketAddr,
    answers: watch::Sender<bool>,
    handed_on: Arc<AtomicU64>,
    reached: Arc<AtomicBool>,
}

impl Tunnel {
    /// To this receiver, over TLS when there is a certificate; its answers are kept back until they are [let through](Self::answer).
    pub(crate) async fn to(receiver: &str, tls: Option<TlsAcceptor>) -> Self {
        let receiver = receiver.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (answers, may_answer) = watch::channel(false);
        let tunnel = Self { address, answers, handed_on: Arc::default(), reached: Arc::default() };
        let (handed_on, reached) = (tunnel.handed_on.clone(), tunnel.reached.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&receiver).await.expect("the receiver listens");
                let (may_answer, handed_on, tls) = (may_answer.clone(), handed_on.clone(), tls.clone());
                reached.store(true, Ordering::Relaxed);
                tokio::spawn(async move {
                    match tls {
                        None => join(near, far, may_answer, handed_on).await,
                        // Who does not know our certificate does not come in.
                        Some(tls) => {
                            if let Ok(near) = tls.accept(near).await {
                                join(near, far, may_answer, handed_on).await;
                            }
                        }
                    }
                });
            }
        });
        tunnel
    }

    /// Where it begins, without the scheme.
    pub(crate) fn address(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Lets the receiver answer from now on, slowly.
    pub(crate) fn answer(&self) {
        self.answers.send_replace(true);
    }

    /// Bytes of answers that were handed on.
    pub(crate) fn answered(&self) -> u64 {
        self.handed_on.load(Ordering::Relaxed)
    }

    /// Whether anybody came.
    pub(crate) fn was_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }
}

async fn join(
    near: impl AsyncRead + AsyncWrite + Send + 'static,
    far: TcpStream,
    mut may_answer: watch::Receiver<bool>,
    handed_on: Arc<AtomicU64>,
) {
    let ((mut asks, mut answers), (mut far_answers, mut far_asks)) = (split(near), split(far));
    let there = tokio::spawn(async move { copy(&mut asks, &mut far_asks).await });
    let mut piece = vec![0; PIECE];
    while may_answer.wait_for(|may| *may).await.is_ok() {
        let Ok(bytes @ 1..) = far_answers.read(&mut piece).await else { break };
        tokio::time::sleep(SLOW).await;
        if answers.write_all(&piece[..bytes]).await.and(answers.flush().await).is_err() {
            break;
        }
        handed_on.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    there.abort();
}
