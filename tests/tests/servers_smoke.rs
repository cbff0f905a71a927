//! The private servers do what the tests rely on: each starts, serves, goes away and leaves no process behind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{
    Link, Span as _, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use runtime_tests::servers::{Dovecot, MailCorpus, ReceivedSpan, Rotel, ServerError, SmtpServer};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const MAIL: &[u8] = b"From: ann@example.org\nTo: orders@example.org\nSubject: three bolts\n\n.A-1 3\n";

fn is_running(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

/// An IMAP session read line by line, so that the server is seen without any client library of ours.
struct ImapSession {
    stream: BufReader<TcpStream>,
}

impl ImapSession {
    async fn log_in(dovecot: &Dovecot, user: &str) -> Self {
        let stream = TcpStream::connect(dovecot.imap_addr()).await.expect("connect");
        let mut session = Self { stream: BufReader::new(stream) };
        session.read_until("* OK").await;
        let answer = session.ask(&format!("a1 LOGIN {user} {}", Dovecot::PASSWORD), "a1 ").await;
        assert!(answer.contains("a1 OK"), "{answer}");
        session
    }

    /// Sends a line and reads up to the line that starts with `last`.
    async fn ask(&mut self, line: &str, last: &str) -> String {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.expect("write");
        self.read_until(last).await
    }

    async fn read_until(&mut self, last: &str) -> String {
        let mut answer = String::new();
        loop {
            let start = answer.len();
            let read = self.stream.read_line(&mut answer).await.expect("read");
            if read == 0 || answer[start..].starts_with(last) {
                return answer;
            }
        }
    }
}

#[tokio::test]
async fn a_delivered_mail_is_seen_over_imap_and_survives_a_restart() {
    let dovecot = Dovecot::start().await.expect("start");
    dovecot.deliver_lmtp("ann", MAIL).await.expect("deliver");
    assert_eq!(dovecot.count("ann", "INBOX").await.expect("count"), 1);
    assert_eq!(dovecot.count("ben", "INBOX").await.expect("count"), 0);
    assert_eq!(dovecot.count("ann", "Processed").await.expect("count"), 0);

    let before = dovecot.pid().await.expect("running");
    dovecot.restart().await.expect("restart");
    let after = dovecot.pid().await.expect("running again");
    assert_ne!(before, after);
    assert!(!is_running(before));

    dovecot.deliver_lmtp("ann", MAIL).await.expect("deliver after the restart");
    let mut session = ImapSession::log_in(&dovecot, "ann").await;
    let selected = session.ask("a2 SELECT INBOX", "a2 ").await;
    assert!(selected.contains("* 2 EXISTS"), "{selected}");
    let fetched = session.ask("a3 FETCH 2 BODY.PEEK[TEXT]", "a3 ").await;
    assert!(fetched.contains("\r\n.A-1 3\r\n"), "the leading dot came through: {fetched}");

    dovecot.stop().await.expect("stop");
    assert!(!is_running(after));
    assert!(TcpStream::connect(dovecot.imap_addr()).await.is_err());
    let refused = dovecot.deliver_lmtp("ann", MAIL).await;
    assert!(matches!(refused, Err(ServerError::Io { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_kicked_session_reads_bye_and_the_end() {
    let dovecot = Dovecot::start().await.expect("start");
    assert!(!dovecot.kick("cara").await.expect("nobody to kick"));

    let mut session = ImapSession::log_in(&dovecot, "cara").await;
    session.ask("a2 SELECT INBOX", "a2 OK").await;
    session.ask("a3 IDLE", "+ idling").await;
    assert!(dovecot.kick("cara").await.expect("kick"));
    let rest = session.read_until("no such line").await;
    assert!(rest.contains("* BYE"), "{rest}");
}

#[tokio::test]
async fn a_mailbox_gets_another_uid_validity_and_keeps_its_mails() {
    let dovecot = Dovecot::start().await.expect("start");
    dovecot.deliver_lmtp("dora", MAIL).await.expect("deliver");
    dovecot.set_uid_validity("dora", "INBOX", 4711).await.expect("update");
    let mut session = ImapSession::log_in(&dovecot, "dora").await;
    let selected = session.ask("a2 SELECT INBOX", "a2 OK").await;
    assert!(selected.contains("[UIDVALIDITY 4711]") && selected.contains("* 1 EXISTS"), "{selected}");
}

/// Reads the greeting over TLS, trusting one authority.
async fn greeting_over_tls(dovecot: &Dovecot, ca_pem: &str, name: &'static str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("PEM")).expect("an authority");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(dovecot.imaps_addr()).await?;
    let name = ServerName::try_from(name).expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    Ok(line)
}

#[tokio::test]
async fn a_strict_client_trusts_the_certificate_of_this_server_alone() {
    let (dovecot, other) = tokio::join!(Dovecot::start(), Dovecot::start());
    let (dovecot, other) = (dovecot.expect("start"), other.expect("start"));
    for name in ["localhost", "127.0.0.1"] {
        let greeting = greeting_over_tls(&dovecot, dovecot.ca_pem(), name).await.expect("trusted");
        assert!(greeting.starts_with("* OK"), "{greeting}");
    }
    greeting_over_tls(&dovecot, dovecot.ca_pem(), "example.org").await.expect_err("another name");
    greeting_over_tls(&dovecot, other.ca_pem(), "localhost").await.expect_err("another authority");
    let file = std::fs::read_to_string(dovecot.ca_file()).expect("the authority's file");
    assert_eq!(file, dovecot.ca_pem());
}

#[tokio::test]
async fn two_mail_servers_run_side_by_side_and_share_nothing() {
    let (one, other) = tokio::join!(Dovecot::start(), Dovecot::start());
    let (one, other) = (one.expect("one"), other.expect("the other"));
    one.deliver_lmtp("ann", MAIL).await.expect("deliver");
    assert_eq!(one.count("ann", "INBOX").await.expect("count"), 1);
    assert_eq!(other.count("ann", "INBOX").await.expect("count"), 0);
    assert_ne!(one.ca_pem(), other.ca_pem());

    let pid = one.pid().await.expect("running");
    drop(one);
    assert!(!is_running(pid), "dropping the value ends the server");
    other.deliver_lmtp("ann", MAIL).await.expect("the other is untouched");
}

/// Says each line to an SMTP server and returns its answers.
async fn talk_smtp(server: &SmtpServer, lines: &[&str]) -> std::io::Result<Vec<String>> {
    let mut stream = BufReader::new(TcpStream::connect(server.addr()).await?);
    let mut answers = vec![String::new()];
    stream.read_line(&mut answers[0]).await?;
    for line in lines {
        stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        answers.push(answer);
    }
    Ok(answers)
}

#[tokio::test]
async fn a_mail_taken_by_smtp_is_kept_through_an_outage() {
    let server = SmtpServer::start().await.expect("start");
    assert!(server.mails().expect("none yet").is_empty());
    let lines = [
        "HELO localhost",
        "MAIL FROM:<shop@example.org>",
        "RCPT TO:<ann@example.org>",
        "DATA",
        "Subject: your order\r\n\r\nthree bolts\r\n.",
        "QUIT",
    ];
    let answers = talk_smtp(&server, &lines).await.expect("talk");
    let codes: Vec<&str> = answers.iter().map(|answer| &answer[..3]).collect();
    assert_eq!(codes, ["220", "250", "250", "250", "354", "250", "221"], "{answers:?}");

    let pid = server.pid().await.expect("running");
    server.stop().await.expect("stop");
    assert!(!is_running(pid));
    talk_smtp(&server, &lines).await.expect_err("nobody there");
    server.start_again().await.expect("start again");

    let mails = server.wait_for_mails(1, Duration::from_secs(30)).await.expect("the mail");
    let [mail] = mails.as_slice() else { panic!("one mail, not {}", mails.len()) };
    let mail = String::from_utf8_lossy(mail);
    for part in ["Subject: your order", "X-RcptTo: ann@example.org", "three bolts"] {
        assert!(mail.contains(part), "{part} is missing in {mail}");
    }
}

#[tokio::test]
async fn spans_sent_to_the_receiver_come_out_with_parents_and_links() {
    let rotel = Rotel::start().await.expect("start");
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(rotel.grpc_endpoint()).build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter.expect("an exporter"))
        .with_resource(Resource::builder().with_service_name("smoke").build())
        .build();
    let tracer = provider.tracer("smoke");

    let source = tracer.span_builder("enqueue mail").with_kind(SpanKind::Producer).start(&tracer);
    let source_context = source.span_context().clone();
    let parent = opentelemetry::Context::new().with_span(source);
    let mut attempt = tracer
        .span_builder("process mail")
        .with_kind(SpanKind::Consumer)
        .with_attributes([KeyValue::new("attempt", 1)])
        .start_with_context(&tracer, &parent);
    attempt.end();
    parent.span().end();
    let mut retry = tracer
        .span_builder("process mail again")
        .with_kind(SpanKind::Consumer)
        .with_links(vec![Link::with_context(source_context.clone())])
        .start(&tracer);
    retry.end();
    // Flushing blocks its thread until the receiver has answered.
    tokio::task::spawn_blocking(move || provider.force_flush()).await.expect("flush").expect("exported");

    let complete =
        |spans: &[ReceivedSpan]| spans.len() == 3 && spans.iter().any(|span| !span.links.is_empty());
    let spans = rotel.wait_for_spans(complete, Duration::from_secs(30)).await.expect("three spans");
    let named = |name: &str| spans.iter().find(|span| span.name == name).expect("a span of that name");
    let (source, attempt, retry) =
        (named("enqueue mail"), named("process mail"), named("process mail again"));

    assert_eq!(source.trace_id, source_context.trace_id().to_string());
    assert_eq!((source.kind.as_str(), attempt.kind.as_str()), ("PRODUCER", "CONSUMER"));
    assert_eq!(source.service.as_deref(), Some("smoke"));
    assert_eq!(source.parent_id, None);
    assert_eq!(attempt.trace_id, source.trace_id);
    assert_eq!(attempt.parent_id.as_ref(), Some(&source.span_id));
    assert_eq!(attempt.attributes.get("attempt").map(String::as_str), Some("1"));
    assert_ne!(retry.trace_id, source.trace_id);
    let [link] = retry.links.as_slice() else { panic!("one link, not {:?}", retry.links) };
    assert_eq!((&link.trace_id, &link.span_id), (&source.trace_id, &source.span_id));

    let pid = rotel.pid().expect("running");
    rotel.stop().await.expect("stop");
    assert!(!is_running(pid));
}

#[test]
fn the_corpus_holds_thousands_of_mails() {
    let corpus = MailCorpus::open().expect("open");
    assert!(corpus.len() >= 3_000, "only {}", corpus.len());
    for mail in corpus.mails() {
        let mail = mail.expect("read");
        assert!(!mail.bytes.is_empty(), "{} is empty", mail.name);
    }
}
