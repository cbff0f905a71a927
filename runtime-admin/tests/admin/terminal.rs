//! `runtimectl` at a terminal: the program itself, in a pseudo-terminal or without one.

use std::process::{Command, Output, Stdio};

use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use runtime_admin::v1;
use runtime_core::control::RunProgress;
use runtime_core::task::TaskState;

use crate::cli::runtimectl;
use crate::control::{InMemoryControl, World};
use crate::world::setup;

/// Nothing here takes so long, unless it hangs.
const PATIENCE_MS: u64 = 60_000;

/// Runs in a pseudo-terminal while the server goes on.
async fn at_a_terminal<T: Send + 'static>(
    command: Command,
    act: impl FnOnce(&mut PtySession) -> T + Send + 'static,
) -> T {
    let acting = tokio::task::spawn_blocking(move || {
        let mut session = spawn_command(command, Some(PATIENCE_MS)).expect("a pseudo-terminal");
        act(&mut session)
    });
    acting.await.expect("as expected")
}

/// As a shell starts what it waits for. Tests that were started in the background hand on that Ctrl-C is ignored.
fn in_the_foreground(command: &Command) -> Command {
    let mut env = Command::new("env");
    env.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => env.env(name, value),
            None => env.env_remove(name),
        };
    }
    env
}

fn exit_code(session: &mut PtySession) -> i32 {
    match session.process().wait().expect("an end") {
        WaitStatus::Exited(_, code) => code,
        // As a shell says it.
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        other => panic!("{other:?}"),
    }
}

/// Runs without a terminal anywhere.
async fn without_a_terminal(mut command: Command) -> Output {
    command.stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("it starts")
}

const DISCARD: [&str; 5] = ["dead-letter", "discard", "--all", "--reason", "too late"];

#[tokio::test(flavor = "multi_thread")]
async fn a_question_shows_the_target_and_a_sample_and_takes_yes_or_no() {
    let served = setup().await;
    let task = crate::control::id(5).to_string();
    for (answer, code) in [("n", 130), ("", 130), ("y", 0)] {
        let (place, task) = (served.endpoint(), task.clone());
        let ended = at_a_terminal(runtimectl(&served, &DISCARD), move |session| {
            session.exp_string(&task).expect("a sample");
            session.exp_string(&format!("discard 1 dead task at {place}? [y/N] ")).expect("the question");
            session.send_line(answer).unwrap();
            let rest = session.exp_eof().unwrap();
            (exit_code(session), rest)
        });
        let (ended, rest) = ended.await;
        assert_eq!(ended, code, "{answer:?}: {rest}");
        assert_eq!(rest.contains("nothing was changed"), code != 0, "{rest}");
        served.control.change(|world| assert_eq!(world.acts.len(), usize::from(code == 0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_severe_question_takes_the_name_alone() {
    let served = setup().await;
    let purge = ["queue", "purge", "mail", "--reason", "old"];
    for (answer, code) in [("y", 130), ("mail", 0)] {
        let ended = at_a_terminal(runtimectl(&served, &purge), move |session| {
            session.exp_string("Its queue's name: [mail] ").expect("the question");
            session.send_line(answer).unwrap();
            session.exp_eof().unwrap();
            exit_code(session)
        });
        assert_eq!(ended.await, code, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_at_a_question_changes_nothing_and_gives_130() {
    let served = setup().await;
    for (args, until) in [(&DISCARD[..], "[y/N] ")] {
        let ended = at_a_terminal(in_the_foreground(&runtimectl(&served, args)), move |session| {
            session.exp_string(until).expect("it waits");
            session.send_control('c').unwrap();
            session.exp_eof().expect("it ends");
            exit_code(session)
        });
        assert_eq!(ended.await, 130, "{args:?}");
    }
    served.control.change(|world| assert!(world.acts.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_what_destroys_is_refused_unless_that_was_said() {
    let served = setup().await;
    let refused = without_a_terminal(runtimectl(&served, &DISCARD)).await;
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0));
    let purge = ["queue", "purge", "mail", "--reason", "old"];
    assert_eq!(without_a_terminal(runtimectl(&served, &purge)).await.status.code(), Some(2));
    served.control.change(|world| assert!(world.acts.is_empty()));
    let said = [&DISCARD[..], &["--yes"]].concat();
    assert_eq!(without_a_terminal(runtimectl(&served, &said)).await.status.code(), Some(0));
    let named = [&purge[..], &["--confirm", "mail"]].concat();
    assert_eq!(without_a_terminal(runtimectl(&served, &named)).await.status.code(), Some(0));
    served.control.change(|world| assert_eq!(world.acts.len(), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_and_progress_are_for_terminals() {
    let served = setup().await;
    let mut plain = runtimectl(&served, &["tree"]);
    plain.env("NO_COLOR", "1");
    let text = |session: &mut PtySession| session.exp_eof().unwrap();
    assert!(at_a_terminal(runtimectl(&served, &["tree"]), text).await.contains("\u{1b}[32m"));
    assert!(!at_a_terminal(plain, text).await.contains('\u{1b}'));
    let piped = without_a_terminal(runtimectl(&served, &["tree"])).await;
    assert!(!String::from_utf8(piped.stdout).unwrap().contains('\u{1b}'));

    let one_by_one = v1::RetryTasksRequest { all: true, rate: 1, ..Default::default() };
    served.client.retry_tasks(one_by_one).await.unwrap();
    let watch = ["operation", "watch", "1"];
    let shown = at_a_terminal(runtimectl(&served, &watch), text).await;
    assert!(shown.contains("operation 1 [") && shown.contains('%'), "{shown:?}");
    let piped = without_a_terminal(runtimectl(&served, &watch)).await;
    let told = String::from_utf8([piped.stdout, piped.stderr].concat()).unwrap();
    assert!(!told.contains('%') && !told.contains('\u{1b}'), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_worker_is_shown_as_it_goes_on_a_terminal_alone() {
    let served = setup().await;
    served.control.change(|world| world.held_runs = Some(Vec::new()));
    let so_far = |done: u64| {
        let mut run = RunProgress { selected: 4, ..RunProgress::default() };
        *run.counts.of_mut(TaskState::Done) = done;
        run
    };
    // The last of what is under way.
    let goes = move |control: &InMemoryControl, done| {
        let send = |world: &mut World| {
            let held = world.held_runs.as_ref().and_then(|held| held.last()).expect("a run");
            held.progress.send_replace(so_far(done));
        };
        control.change(send);
    };
    let ends = move |control: &InMemoryControl| {
        let send = |world: &mut World| {
            let held = world.held_runs.as_mut().and_then(Vec::pop).expect("a run");
            held.reply.send(Ok(so_far(4)));
        };
        control.change(send);
    };
    let args = ["worker", "run", "fetch", "--scope", "store=42", "--correlation", "audit-7"];
    let control = served.control.clone();
    let ended = at_a_terminal(runtimectl(&served, &args), move |session| {
        session.exp_string("worker fetch [--------------------] 0 of 3, 0 %").expect("a bar");
        for (done, bar) in
            [(1, "[#####---------------] 1 of 4, 25 %"), (3, "[###############-----] 3 of 4, 75 %")]
        {
            goes(&control, done);
            session.exp_string(&format!("\r\u{1b}[2Kworker fetch {bar}")).expect("it grows");
        }
        ends(&control);
        let rest = session.exp_eof().unwrap();
        (exit_code(session), rest)
    });
    let (code, rest) = ended.await;
    assert_eq!(code, 0, "{rest:?}");
    assert!(rest.starts_with("\r\u{1b}[2K") && rest.contains("Done"), "the bar is gone: {rest:?}");
    let piped = tokio::spawn(without_a_terminal(runtimectl(&served, &args)));
    let is_held = |world: &World| world.held_runs.as_ref().is_some_and(|held| !held.is_empty());
    served.control.until(is_held).await;
    goes(&served.control, 1);
    ends(&served.control);
    let piped = piped.await.unwrap();
    let told = String::from_utf8([piped.stdout, piped.stderr].concat()).unwrap();
    assert!(told.contains("Done") && !told.contains('%') && !told.contains('\u{1b}'), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_is_offered_the_names_that_the_server_has() {
    let served = setup().await;
    let offered = async |words: &[&str], endpoint: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtimectl"));
        let at = words.len().to_string();
        command
            .env_clear()
            .env("COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", at)
            .env("_CLAP_COMPLETE_COMP_TYPE", "9");
        command.env("_CLAP_COMPLETE_SPACE", "true").env("_CLAP_IFS", "\n");
        command.args(["--", "runtimectl", "--endpoint", endpoint]).args(words);
        command.env("_CLAP_COMPLETE_INDEX", (words.len() + 2).to_string());
        let output = without_a_terminal(command).await;
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let here = served.endpoint();
    // A shell waits for a part of a second. Where the machine is busy, that may be too short: whoever types asks again.
    let named = async |words: &[&str], first: &str| {
        for _ in 0..100 {
            let names = offered(words, &here).await;
            if names.first().is_some_and(|name| name == first) {
                return names;
            }
            assert!(names.iter().all(|name| name.starts_with('-')), "{words:?}: {names:?}");
        }
        panic!("{words:?}: {first} is never offered");
    };
    assert_eq!(named(&["queue", "pause", "m"], "mail").await, ["mail"]);
    assert_eq!(named(&["worker", "get", ""], "fetch").await, ["fetch", "import", "settle"]);
    let both = ["shop/workers/fetch", "shop/workers/settle"];
    assert_eq!(named(&["node", "restart", "shop/w"], both[0]).await, both);
    assert_eq!(offered(&["que"], &here).await, ["queue"]);
    assert_eq!(offered(&["worker", "get", "--out"], &here).await, ["--output"]);
    assert!(
        offered(&["worker", "list", ""], &here).await.contains(&"--help".to_owned()),
        "nothing else fits"
    );
    assert_eq!(offered(&["worker", "list", "--output", "j"], &here).await, ["json", "jsonl"]);
    assert!(offered(&["queue", "pause", "m"], "127.0.0.1:1").await.is_empty(), "nobody is there to ask");
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_and_manual_pages_come_from_the_program() {
    let served = setup().await;
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = without_a_terminal(runtimectl(&served, &["completion", shell])).await;
        let text = String::from_utf8(script.stdout).unwrap();
        assert!(
            script.status.success() && text.contains("COMPLETE") && text.contains("runtimectl"),
            "{text}"
        );
    }
    let page = without_a_terminal(runtimectl(&served, &["man"])).await;
    assert!(String::from_utf8(page.stdout).unwrap().contains(".TH runtimectl 1"));
    let folder = tempfile::tempdir().unwrap();
    let all = ["man", "--dir", folder.path().to_str().unwrap()];
    assert!(without_a_terminal(runtimectl(&served, &all)).await.status.success());
    for page in ["runtimectl.1", "runtimectl-queue-pause.1"] {
        assert!(folder.path().join(page).is_file(), "{page}");
    }
}
