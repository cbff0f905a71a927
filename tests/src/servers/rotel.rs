//! rotel: an OTLP receiver by others that prints what it gets, so that a test sees our telemetry as a collector would.

mod log;
mod metric;
mod span;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::ports::{free_addrs, greets};
use super::process::ServerProcess;
use super::{PATIENCE, STARTS, ServerError, place};
pub use log::ReceivedLog;
pub use metric::{ReceivedMetric, ReceivedPoint};
pub use span::{ReceivedSpan, SpanRef};

const KNOCK_EVERY: Duration = Duration::from_millis(10);

/// A private OTLP receiver for traces, metrics and logs. It may gather for a moment before it prints.
pub struct Rotel {
    process: Mutex<Option<ServerProcess>>,
    grpc: SocketAddr,
    http: SocketAddr,
    printed: watch::Receiver<String>,
}

impl Rotel {
    /// Starts an instance of its own and returns when it takes connections.
    ///
    /// # Errors
    /// When `RUNTIME_ROTEL` is not set or the receiver does not come up; the error then carries what it printed.
    pub async fn start() -> Result<Self, ServerError> {
        for _ in 1..STARTS {
            match Self::start_once().await {
                // Most likely a port was taken in between: others then.
                Err(ServerError::NotStarted { .. }) => {}
                other => return other,
            }
        }
        Self::start_once().await
    }

    /// Ends the receiver.
    ///
    /// # Errors
    /// When it does not end within half a minute; it is killed then.
    pub async fn stop(&self) -> Result<(), ServerError> {
        let process = self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        match process {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Where OTLP over gRPC is taken, as an exporter wants it: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn grpc_endpoint(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Where OTLP over HTTP is taken: `http://127.0.0.1:PORT`, to be followed by `/v1/traces` and the like.
    #[must_use]
    pub fn http_endpoint(&self) -> String {
        format!("http://{}", self.http)
    }

    /// The process id, or `None` once it is stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).as_ref().map(ServerProcess::pid)
    }

    /// All that was printed so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.printed.borrow().clone()
    }

    /// The spans printed so far, in the order in which they came.
    #[must_use]
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        span::parse(&self.printed.borrow())
    }

    /// The metrics printed so far, in the order in which they came: one that was sent again is there again.
    #[must_use]
    pub fn metrics(&self) -> Vec<ReceivedMetric> {
        metric::parse(&self.printed.borrow())
    }

    /// The log lines printed so far, in the order in which they came.
    #[must_use]
    pub fn logs(&self) -> Vec<ReceivedLog> {
        log::parse(&self.printed.borrow())
    }

    /// Waits until the printed text satisfies `wanted`, and returns it.
    ///
    /// # Errors
    /// [`ServerError::Deadline`] with what was printed until then.
    pub async fn wait_for(
        &self,
        wanted: impl FnMut(&str) -> bool,
        deadline: Duration,
    ) -> Result<String, ServerError> {
        let mut wanted = wanted;
        let mut printed = self.printed.clone();
        match timeout(deadline, printed.wait_for(|text| wanted(text))).await {
            Ok(Ok(text)) => Ok(text.clone()),
            _ => Err(ServerError::Deadline { waited_for: "telemetry".into(), deadline, seen: self.text() }),
        }
    }

    /// Waits until the spans that came satisfy `wanted`, and returns them.
    ///
    /// # Errors
    /// [`ServerError::Deadline`] with what was printed until then.
    pub async fn wait_for_spans(
        &self,
        mut wanted: impl FnMut(&[ReceivedSpan]) -> bool,
        deadline: Duration,
    ) -> Result<Vec<ReceivedSpan>, ServerError> {
        let text = self.wait_for(|text| wanted(&span::parse(text)), deadline).await?;
        Ok(span::parse(&text))
    }

    async fn start_once() -> Result<Self, ServerError> {
        let [grpc, http] = free_addrs()?;
        let mut command = Command::new(place("RUNTIME_ROTEL")?);
        command
            .args(["start", "--exporter", "blackhole", "--debug-log-verbosity", "detailed"])
            .args(["--debug-log", "traces", "--debug-log", "metrics", "--debug-log", "logs"])
            .args(["--otlp-grpc-endpoint", &grpc.to_string(), "--otlp-http-endpoint", &http.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = ServerProcess::start("rotel", &mut command)?;
        let printed = collect(process.child().stdout.take());

        let started = Instant::now();
        for addr in [grpc, http] {
            while !greets(addr, None).await {
                if process.ended()?.is_some() || started.elapsed() > PATIENCE {
                    let said = printed.borrow().clone();
                    return Err(ServerError::NotStarted { server: "rotel", said });
                }
                sleep(KNOCK_EVERY).await;
            }
        }
        Ok(Self { process: Mutex::new(Some(process)), grpc, http, printed })
    }
}

/// The lines that belong to one signal, whose blocks begin so.
fn of_signal<'t>(text: &'t str, begin: &'static str) -> impl Iterator<Item = &'t str> {
    const BEGINS: [&str; 3] = ["ResourceSpans #", "ResourceMetrics #", "ResourceLog #"];
    let mut inside = false;
    text.lines().filter(move |line| {
        if BEGINS.iter().any(|begins| line.starts_with(begins)) {
            inside = line.starts_with(begin);
        }
        inside
    })
}

/// Gathers what the process prints until it ends. A thread, since the process may outlive the runtime of one test.
fn collect(stdout: Option<ChildStdout>) -> watch::Receiver<String> {
    let (gathered, printed) = watch::channel(String::new());
    if let Some(stdout) = stdout {
        thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                gathered.send_modify(|text| {
                    text.push_str(&String::from_utf8_lossy(&line));
                    text.push('\n');
                });
            }
        });
    }
    printed
}
