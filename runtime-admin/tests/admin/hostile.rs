//! A server that answers every call with texts that would steer a terminal: no command, in no form, hands one on.

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use runtime_admin::cli::{self, ENDPOINT_VARIABLE, Surroundings};
use runtime_stores::SystemClock;
use tokio::net::TcpListener;
use tonic::{Code, Status};

/// A window's title, a colour that does not end, a cleared screen in two spellings, an erased line, a deleted character, text from right to left.
const HOSTILE: &str =
    "x\u{1b}]0;owned\u{7}\u{1b}[31m\u{1b}[2J\u{9b}2J\roverwritten\u{8}\u{7f}\u{202e}\u{2066}y";

static API: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(runtime_proto::FILE_DESCRIPTOR_SET).unwrap());

/// A message with such a text wherever one fits, and one of everything else.
fn filled(message: &MessageDescriptor, depth: usize) -> DynamicMessage {
    let mut filled = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let Some(value) = value(&field, depth) else { continue };
        filled.set_field(&field, if field.is_list() { Value::List(vec![value]) } else { value });
    }
    filled
}

fn value(field: &FieldDescriptor, depth: usize) -> Option<Value> {
    // There would be another page for ever.
    if field.is_map() || field.name() == "next_page_token" {
        return None;
    }
    Some(match field.kind() {
        Kind::String => Value::String(HOSTILE.to_owned()),
        Kind::Bytes => Value::Bytes(HOSTILE.as_bytes().to_vec().into()),
        Kind::Bool => Value::Bool(true),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(1),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(1),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(1),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(1),
        Kind::Float => Value::F32(1.0),
        Kind::Double => Value::F64(1.0),
        Kind::Enum(_) => Value::EnumNumber(1),
        Kind::Message(inner) if depth > 0 => Value::Message(filled(&inner, depth - 1)),
        Kind::Message(_) => return None,
    })
}

async fn answer(
    request: Request<Incoming>,
    refuses: bool,
) -> Result<Response<tonic::body::Body>, Infallible> {
    if refuses {
        return Ok(Status::new(Code::FailedPrecondition, HOSTILE).into_http());
    }
    let (service, method) = request.uri().path()[1..].split_once('/').unwrap();
    let service = API.get_service_by_name(service).unwrap();
    let method = service.methods().find(|known| known.name() == method).unwrap();
    let message = filled(&method.output(), 6).encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let frame: Bytes = [&[0][..], &length, &message].concat().into();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let body = Full::new(frame).with_trailers(async { Some(Ok::<_, Infallible>(trailers)) });
    let answer = Response::builder().header("content-type", "application/grpc");
    Ok(answer.body(tonic::body::Body::new(body)).unwrap())
}

/// Answers so, or refuses so.
async fn serve(refuses: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request| answer(request, refuses));
            let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http2.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

const TASK: &str = "01920000-0000-7000-8000-000000000001";

/// One command line a verb at least; what needs a body or a file is left out, since it answers with the same message.
fn lines() -> Vec<Vec<&'static str>> {
    let mut lines: Vec<Vec<&str>> = [
        "info",
        "overview",
        "tree",
        "dump",
        "node list",
        "node restarts",
        "node get shop",
        "node pause shop",
        "node resize shop/workers/settle 3",
        "queue list",
        "queue get mail",
        "queue pause mail",
        "queue resume mail",
        "schedule list",
        "schedule get nightly",
        "schedule preview nightly",
        "task list",
        "task count",
        "dead-letter list",
        "dead-letter groups",
        "dead-letter replay --all --yes",
        "dead-letter replay --all --dry-run",
        "operation list",
        "worker list",
        "worker get settle",
        "worker run settle --scope store=42",
        "principal list",
        "principal create someone --grant viewer",
        "token list",
        "token create someone --name laptop",
        "audit list",
        "config show --origins",
        "config validate",
        "config reload",
        "config overrides",
        "config clear queues/mail --reason why",
        "config schema",
        "log-filter get",
        "system capabilities",
    ]
    .into_iter()
    .map(|line| line.split(' ').collect())
    .collect();
    lines.extend([vec!["task", "get", TASK], vec!["task", "cancel", TASK, "--reason", "why"]]);
    lines
}

struct Shown {
    line: String,
    stdout: String,
    stderr: String,
}

async fn shown(address: SocketAddr, terminal: bool, args: &[&str]) -> Shown {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let endpoint = format!("http://{address}");
    let variable = |name: &str| (name == ENDPOINT_VARIABLE).then(|| endpoint.clone());
    let around = Surroundings {
        progress: terminal,
        stdout: &mut stdout,
        stderr: &mut stderr,
        terminal,
        token: None,
        variable: &variable,
        clock: &SystemClock,
        answer: &|| None,
    };
    cli::run(["runtimectl"].iter().chain(args).map(OsString::from), around).await;
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Shown { line: args.join(" "), stdout: text(stdout), stderr: text(stderr) }
}

/// What of a text would steer a terminal; with colours and erased lines of ours taken out.
fn steering(text: &str) -> Vec<String> {
    let mut text = text.replace("\r\u{1b}[2K", "");
    for colour in ["0", "2", "31", "32", "33"] {
        text = text.replace(&format!("\u{1b}[{colour}m"), "");
    }
    let steers = |c: &char| {
        *c != '\n' && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    text.lines().filter(|line| line.chars().any(|c| steers(&c))).map(|line| format!("{line:?}")).collect()
}

#[tokio::test]
async fn no_answer_and_no_error_steers_the_terminal_whatever_form_was_asked_for() {
    let (answers, refuses) = (serve(false).await, serve(true).await);
    let mut wrong = Vec::new();
    let mut handed_on = 0;
    for line in lines() {
        for format in ["table", "wide", "json", "jsonl", "yaml", "name"] {
            let args = [&["-o", format][..], &line].concat();
            for terminal in [false, true] {
                for address in [answers, refuses] {
                    let Shown { line, stdout, stderr } = shown(address, terminal, &args).await;
                    assert!(!stderr.contains("Usage: "), "{line}: {stderr}");
                    handed_on += usize::from(stdout.contains("owned"));
                    for (stream, text) in [("stdout", &stdout), ("stderr", &stderr)] {
                        wrong.extend(steering(text).iter().map(|text| format!("{line} ({stream}): {text}")));
                    }
                }
            }
        }
    }
    assert!(handed_on > 200, "the texts arrive, without what steers: {handed_on}");
    wrong.truncate(20);
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
async fn a_payload_goes_into_a_file_as_it_is_and_not_onto_a_terminal() {
    let address = serve(false).await;
    let args = ["task", "payload", TASK];
    let into_a_file = shown(address, false, &args).await;
    assert!(!steering(&into_a_file.stdout).is_empty(), "whoever asks for it gets it: the check can fail");
    let on_a_terminal = shown(address, true, &args).await;
    assert_eq!(steering(&on_a_terminal.stdout), Vec::<String>::new());
    assert!(on_a_terminal.stdout.contains("owned"));
}
