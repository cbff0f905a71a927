//! Those who watch, in a process of their own: what they cost themselves is not what they cost the server.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runtime::admin::{AdminClient, EventAsk, EventWatch, Watched};

use crate::form::Form;
use crate::product::cpu_seconds;

/// Makes this program the process of the readers: of a server, so many, in this form.
pub(crate) const READERS: &str = "--readers";

/// What the readers say when each of them watches.
const READY: &str = "ready";

/// What readers were told in one run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// Events, a coalesced or counted one as what it stands for.
    pub(crate) events: f64,
    /// Messages.
    pub(crate) messages: f64,
    /// Times that one of them was overtaken and cut off.
    pub(crate) cut_off: f64,
    /// Processor time of their process while they were told, in seconds.
    pub(crate) cpu_secs: f64,
}

/// The process of the readers, seen from the server's.
pub(crate) struct Readers {
    process: Child,
    until: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Readers {
    /// Starts them, and waits until each of them watches.
    pub(crate) fn start(endpoint: &str, count: usize, form: Form) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args([READERS, endpoint, &count.to_string(), form.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let until = process.stdin.take().expect("a pipe");
        let mut told = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut line = String::new();
        told.read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), READY, "the readers watch");
        Self { process, until, told }
    }

    /// Ends them; what they were told.
    pub(crate) fn end(self) -> Told {
        let Self { mut process, until, mut told } = self;
        drop(until);
        let mut line = String::new();
        told.read_line(&mut line).expect("a line");
        assert!(process.wait().expect("it ends").success(), "the readers end well");
        let figures: Vec<f64> = line.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
        let [events, messages, cut_off, cpu_secs] = figures[..] else { panic!("four figures: {line:?}") };
        Told { events, messages, cut_off, cpu_secs }
    }
}

#[derive(Default)]
struct Counted {
    events: AtomicU64,
    messages: AtomicU64,
    cut_off: AtomicU64,
}

/// The process itself: watches until its input ends, and prints what it was told.
pub(crate) fn run(endpoint: &str, count: usize, form: Form) {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let threads = threads.expect("threads");
    let counted = Arc::new(Counted::default());
    for watch in threads.block_on(watches(endpoint, count, form)) {
        threads.spawn(read(watch, counted.clone()));
    }
    let began = cpu_seconds();
    println!("{READY}");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("it is closed");
    let [events, messages, cut_off] =
        [&counted.events, &counted.messages, &counted.cut_off].map(|count| count.load(Ordering::Relaxed));
    println!("{events} {messages} {cut_off} {}", cpu_seconds() - began);
}

/// Each over a connection of its own, and told from where it watches.
async fn watches(endpoint: &str, count: usize, form: Form) -> Vec<EventWatch> {
    let mut watches = Vec::with_capacity(count);
    for _ in 0..count {
        let client = AdminClient::connect(endpoint).await.expect("connected");
        let mut watch = client.watch_events(form.asks()).await.expect("a watch");
        assert_eq!(watch.next().await.expect("a message"), Watched::Bookmark);
        watches.push(watch);
    }
    watches
}

/// Reads as fast as it is told, as `runtimectl events --watch` does; cut off, it begins anew.
async fn read(mut watch: EventWatch, counted: Arc<Counted>) {
    while let Ok(told) = watch.next().await {
        counted.messages.fetch_add(1, Ordering::Relaxed);
        match told {
            Watched::State(events) | Watched::Events(events) => {
                let events = events.iter().map(|event| u64::from(event.count)).sum();
                counted.events.fetch_add(events, Ordering::Relaxed);
            }
            Watched::Missed(_) => drop(counted.cut_off.fetch_add(1, Ordering::Relaxed)),
            Watched::StateEnd | Watched::Bookmark => {}
        }
    }
}

impl Form {
    fn asks(self) -> EventAsk {
        let (filter, count_tasks) = (self.filter().to_owned(), self == Self::Counted);
        EventAsk { filter, count_tasks, ..EventAsk::default() }
    }
}
