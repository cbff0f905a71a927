//! Servers by name, in a file: what is in force, what is refused, and that nothing is changed where nobody pointed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use runtime_admin::cli::{CONFIG_VARIABLE, ENDPOINT_VARIABLE, Exit, PROFILE_VARIABLE, TOKEN_FILE_VARIABLE};
use tempfile::TempDir;

use crate::cli::run_in;
use crate::help::commands;
use crate::world::{Served, setup};

/// A folder with a file of profiles.
struct Home {
    folder: TempDir,
}

impl Home {
    fn with(profiles: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("runtimectl")).unwrap();
        let home = Self { folder };
        home.write("config.toml", profiles, 0o644);
        home
    }

    /// What points to the file, as a user's session has it.
    fn session(&self) -> (&'static str, &str) {
        ("XDG_CONFIG_HOME", self.folder.path().to_str().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("runtimectl").join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.at(name), text).unwrap();
        fs::set_permissions(self.at(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    /// Without what differs from run to run.
    fn without(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "HOME")
    }
}

fn two_servers(served: &Served) -> Home {
    let here = served.endpoint();
    let home = Home::with(&format!(
        "[profiles.default]\nendpoint = \"{here}\"\noutput = \"name\"\n\n\
         [profiles.prod]\nendpoint = \"{here}\"\ntoken_file = \"prod.token\"\ntimeout_secs = 7\n"
    ));
    home.write("prod.token", "rt_0\n", 0o600);
    home
}

#[tokio::test]
async fn a_profile_says_where_and_the_command_line_says_more() {
    let served = setup().await;
    let home = two_servers(&served);
    let session = [home.session()];
    let looked = run_in(&session, false, &["queue", "list"]).await;
    assert_eq!(
        (looked.exit, looked.stdout.as_str()),
        (Exit::Ok, "queues/mail\nqueues/orders\n"),
        "{}",
        looked.stderr
    );
    let table = run_in(&session, false, &["queue", "list", "-o", "table"]).await;
    assert!(table.stdout.starts_with("NAME"), "{}", table.stdout);
    let named = run_in(&session, false, &["queue", "list", "--profile", "prod"]).await;
    assert!(named.stdout.starts_with("NAME"), "the other profile says no form: {}", named.stdout);

    let nowhere = "http://127.0.0.1:1";
    for (variables, args, exit) in [
        // An endpoint without a profile has none, not even the default one.
        (vec![(ENDPOINT_VARIABLE, nowhere)], vec!["queue", "list"], Exit::CannotConnect),
        // The environment comes before the profile that it names, and after the one of the command line.
        (vec![(ENDPOINT_VARIABLE, nowhere), (PROFILE_VARIABLE, "prod")], vec!["info"], Exit::CannotConnect),
        (vec![(ENDPOINT_VARIABLE, nowhere)], vec!["info", "--profile", "prod"], Exit::Ok),
        (vec![(PROFILE_VARIABLE, "prod")], vec!["info", "--endpoint", nowhere], Exit::CannotConnect),
        (vec![(PROFILE_VARIABLE, "prod")], vec!["info"], Exit::Ok),
        (vec![(TOKEN_FILE_VARIABLE, "/nowhere")], vec!["info", "--profile", "prod"], Exit::Ok),
        (vec![(TOKEN_FILE_VARIABLE, "/nowhere"), (PROFILE_VARIABLE, "prod")], vec!["info"], Exit::Usage),
    ] {
        let variables = [&session[..], &variables].concat();
        let run = run_in(&variables, false, &args).await;
        assert_eq!(run.exit, exit, "{variables:?} {args:?}: {}", run.stderr);
    }
}

#[tokio::test]
async fn nothing_is_changed_where_only_a_file_points() {
    let served = setup().await;
    let home = two_servers(&served);
    let refused = run_in(&[home.session()], false, &["queue", "pause", "mail"]).await;
    assert_eq!((refused.exit, refused.stdout.as_str()), (Exit::Usage, ""));
    assert!(refused.stderr.contains("hint: --profile default or --endpoint URL"), "{}", refused.stderr);
    assert!(
        served.client.audit("", 10).await.unwrap().is_empty(),
        "nobody asked the server to change anything"
    );

    let prod = [home.session(), (PROFILE_VARIABLE, "prod")];
    let paused = run_in(&prod, false, &["queue", "pause", "mail"]).await;
    assert_eq!(paused.exit, Exit::Ok, "{}", paused.stderr);
    let place = format!("pause queue mail at {} (profile prod)\n", served.endpoint());
    assert_eq!(paused.stderr, place);
    let named = ["--profile", "default", "queue", "resume", "mail"];
    assert_eq!(run_in(&[home.session()], false, &named).await.exit, Exit::Ok);
    let preview = ["queue", "purge", "mail", "--reason", "old", "--dry-run"];
    assert_eq!(run_in(&[home.session()], false, &preview).await.exit, Exit::Ok, "a preview is a look");
}

/// Arguments with which a command that changes something gets as far as it can; `None` for one that looks.
fn change(words: &[String]) -> Option<Vec<String>> {
    let mut command = runtime_admin::cli::command();
    for word in words {
        command = command.find_subcommand(word).unwrap().clone();
    }
    command.get_arguments().find(|argument| argument.get_id() == "request_id")?;
    let task = crate::control::id(5).to_string();
    let rest = match words.join(" ").as_str() {
        "node resize" => "shop/workers/fetch 3",
        line if line.starts_with("node ") => "shop/workers/fetch --reason why",
        "queue purge" => "mail --reason old --confirm mail",
        "queue update" => "mail --clear",
        line if line.starts_with("queue ") => "mail",
        "schedule create" => "nightly --worker fetch --payload {} --every-secs 60",
        "schedule backfill" => "nightly --from 2030-01-31T08:00:00Z --until 2030-01-31T09:00:00Z",
        line if line.starts_with("schedule ") => "nightly --reason why",
        "task enqueue" => "fetch --payload {}",
        "task reschedule" => "ID --at 2030-01-31T08:00:00Z",
        "task resolve" => "ID --approve",
        "task delete" => "ID --reason why --yes",
        "task discard" => "ID --reason why",
        "task retry" | "task cancel" => "--all --yes --reason why",
        line if line.starts_with("task ") => "ID",
        line if line.starts_with("dead-letter ") => "--all --yes --reason why",
        line if line.starts_with("operation ") => "1 --reason why",
        "worker run" => "fetch --scope store=42",
        "worker retry" => "fetch --yes",
        line if line.starts_with("worker ") => "fetch",
        "principal create" => "alice --grant viewer",
        "principal update" => "alice --disable",
        "principal delete" => "alice --reason left --confirm alice",
        "token create" => "alice --name laptop",
        "token revoke" => "0123456789abcdef --reason lost --yes",
        "system drain" => "--reason why --yes",
        "system shutdown" => "--reason why",
        "config clear" => "queues/mail --reason why",
        "log-filter set" => "info",
        _ => "",
    };
    let rest = rest.split_whitespace().map(|word| word.replace("ID", &task));
    Some(words.iter().cloned().chain(rest).collect())
}

#[tokio::test]
async fn no_command_changes_anything_where_only_a_file_points() {
    let served = setup().await;
    let home = two_servers(&served);
    let mut changes = 0;
    for args in commands().iter().filter_map(|words| change(words)) {
        changes += 1;
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let run = run_in(&[home.session()], false, &args).await;
        // Some do not get that far, for want of what they are about: they change nothing either.
        let short = matches!(run.exit, Exit::NotFound | Exit::Conflict);
        assert!(short || run.stderr.contains("nobody said where"), "{args:?}: {}", run.stderr);
    }
    assert!(changes >= 40, "{changes}");
    assert!(served.client.audit("", 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn profiles_are_listed_and_what_is_in_force_is_shown_with_who_said_it() {
    let home = Home::with(
        "[profiles.default]\nendpoint = \"http://127.0.0.1:7071\"\n\n[profiles.prod]\n\
         endpoint = \"https://runtime.example:7070\"\ntoken_file = \"prod.token\"\nca = \"/etc/ca.pem\"\n\
         client_cert = \"me.pem\"\nclient_key = \"me.key\"\noutput = \"wide\"\ntimeout_secs = 5\n",
    );
    let mut text = String::new();
    for (args, variables) in [
        (&["profile", "list"][..], &[][..]),
        (&["profile", "list", "-o", "yaml"], &[(PROFILE_VARIABLE, "prod")]),
        (&["profile", "list", "-o", "name"], &[]),
        (&["profile", "show"], &[]),
        (&["profile", "show", "prod"], &[]),
        (
            &["profile", "show", "--profile", "prod", "--timeout-secs", "9"],
            &[(ENDPOINT_VARIABLE, "elsewhere:1")],
        ),
        (
            &["profile", "show", "-o", "json"],
            &[(PROFILE_VARIABLE, "prod"), (ENDPOINT_VARIABLE, "elsewhere:1")],
        ),
        (&["profile", "show", "stage"], &[]),
    ] {
        let variables = [&[home.session()], variables].concat();
        let run = run_in(&variables, false, args).await;
        let said: Vec<String> =
            variables[1..].iter().map(|(name, value)| format!("{name}={value} ")).collect();
        text.push_str(&format!("$ {}runtimectl {}\n{}", said.concat(), args.join(" "), run.stdout));
        run.stderr.lines().for_each(|line| text.push_str(&format!("stderr: {line}\n")));
        text.push_str(&format!("exit: {}\n\n", run.exit as u8));
    }
    insta::assert_snapshot!(home.without(&text));
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said_and_no_secret_is_repeated() {
    let secret = "a".repeat(64);
    let token = format!("rt_0123456789abcdef_{secret}");
    let mut text = String::new();
    for profiles in [
        "[profiles.prod]\nendpont = \"http://127.0.0.1:1\"\n",
        &format!("[profiles.prod]\nendpoint = \"http://127.0.0.1:1\"\ntoken = \"{token}\"\n"),
        &format!("[profiles.prod]\ntimeout_secs = \"{token}\"\n"),
        "[profile.prod]\n",
        "[profiles.prod]\noutput = \"xml\"\n",
        "[profiles.prod]\nclient_cert = \"me.pem\"\n",
        "[profiles.prod\n",
        "[profiles.prod]\ntimeout_secs = 0\n",
    ] {
        let home = Home::with(profiles);
        let run = run_in(&[home.session()], false, &["info"]).await;
        assert_eq!(run.exit, Exit::Usage, "{profiles}");
        assert!(!run.stderr.contains(&secret), "{}", run.stderr);
        text.push_str(&home.without(&run.stderr));
    }
    let home = Home::with("[profiles.prod]\ntoken_file = \"prod.token\"\n");
    let missing = home.at("none.toml");
    let config = |file: &Path| file.to_str().unwrap().to_owned();
    for (mode, args) in [
        (0o600, vec!["info", "--profile", "stage"]),
        (0o644, vec!["info", "--profile", "prod"]),
        (0o620, vec!["info", "--profile", "prod"]),
        (0o600, vec!["info", "--config", missing.to_str().unwrap()]),
    ] {
        home.write("prod.token", &token, mode);
        let run = run_in(&[home.session()], false, &args).await;
        assert_eq!(run.exit, Exit::Usage, "{args:?}");
        text.push_str(&home.without(&run.stderr));
    }
    let named = config(&missing);
    let run = run_in(&[home.session(), (CONFIG_VARIABLE, &named)], false, &["info"]).await;
    assert_eq!(run.exit, Exit::Usage, "a file that is named has to be there");
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn the_group_may_read_a_token() {
    let served = setup().await;
    let home = two_servers(&served);
    home.write("prod.token", "rt_0\n", 0o640);
    assert_eq!(run_in(&[home.session()], false, &["info", "--profile", "prod"]).await.exit, Exit::Ok);
}
