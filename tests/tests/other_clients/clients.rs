//! Clients that others wrote, behind one shape: a call goes in as JSON, what was told comes out as JSON.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Deserializer, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// One call of the admin API. `service` is without its suffix.
pub(crate) struct Call {
    pub(crate) service: &'static str,
    pub(crate) method: &'static str,
    pub(crate) fields: Value,
    /// How many answers of a stream are wanted, before the caller hangs up; all of them when absent.
    pub(crate) take: Option<usize>,
}

/// The answers, one unless the method streams; or the canonical code of the refusal, in lower case.
pub(crate) type Told = Result<Vec<Value>, String>;

pub(crate) enum Client {
    Python(Box<Python>),
    Buf { address: String },
}

impl Client {
    pub(crate) async fn tell(&mut self, call: Call) -> Told {
        match self {
            Self::Python(python) => python.tell(call).await,
            Self::Buf { address } => buf_curl(address, call).await,
        }
    }
}

fn protos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto")
}

fn place(variable: &str) -> String {
    std::env::var(variable).expect("`cargo xtask servers` says where it is")
}

/// Python's gRPC, in one process for all its calls.
pub(crate) struct Python {
    calls: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Python {
    pub(crate) fn start(address: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/operate.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(protos()).arg(address).env("PYTHONPATH", place("RUNTIME_GRPCIO"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("python runs");
        let calls = process.stdin.take().expect("its input");
        let told = BufReader::new(process.stdout.take().expect("its output")).lines();
        Self { calls, told, _process: process }
    }

    async fn tell(&mut self, call: Call) -> Told {
        let Call { service, method, fields, take } = call;
        let line = json!({ "service": service, "method": method, "fields": fields, "take": take });
        self.calls.write_all(format!("{line}\n").as_bytes()).await.expect("it listens");
        let told = self.told.next_line().await.expect("it speaks").expect("it goes on");
        let told: Value = serde_json::from_str(&told).expect("a JSON document");
        if let Some(code) = told.get("refused") {
            assert!(told["reason"].as_str().is_some_and(|reason| reason.starts_with("RT")), "{told}");
            return Err(code.as_str().expect("a code").to_lowercase());
        }
        Ok(told["answers"].as_array().expect("answers").clone())
    }
}

async fn buf_curl(address: &str, call: Call) -> Told {
    let Call { service, method, fields, take } = call;
    let mut command = Command::new(place("RUNTIME_BUF"));
    command.args(["curl", "--protocol", "grpc", "--http2-prior-knowledge", "--schema"]).arg(protos());
    command.args(["--data", &fields.to_string()]);
    command.arg(format!("http://{address}/runtime.admin.v1.{service}Service/{method}"));
    if let Some(take) = take {
        return Ok(first(command, take).await);
    }
    let output = command.output().await.expect("buf runs");
    if output.status.success() {
        let answers = Deserializer::from_slice(&output.stdout).into_iter();
        return Ok(answers.collect::<Result<_, _>>().expect("JSON documents"));
    }
    let refusal: Value = serde_json::from_slice(&output.stderr)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    Err(refusal["code"].as_str().expect("a code").to_owned())
}

/// The first answers of a stream; then the program is ended.
async fn first(mut command: Command, take: usize) -> Vec<Value> {
    let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("buf runs");
    let mut output = process.stdout.take().expect("its output");
    let mut told = Vec::new();
    loop {
        let whole = Deserializer::from_slice(&told).into_iter().map_while(Result::ok);
        let answers: Vec<Value> = whole.take(take).collect();
        if answers.len() == take {
            process.kill().await.expect("it ends");
            return answers;
        }
        let more = output.read_buf(&mut told).await.expect("it speaks");
        assert!(more > 0, "it ended: {}", String::from_utf8_lossy(&told));
    }
}
