//! `runtimectl config …`, `runtimectl log-filter …` and `runtimectl dump`.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use runtime_proto::v1;

use super::args::{ConfigVerb, LogFilterVerb};
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::table::{Cell, Column, Sheet, Table};
use super::terminal::escaped;
use super::words::{age, clean, moment, or_none, span};
use crate::client::AdminClient;

pub(super) async fn run(
    verb: ConfigVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<Exit, Failure> {
    match verb {
        ConfigVerb::Show { origins } => {
            let config = client.config().await?;
            output.one(&config, "config", |now, _| show(&config, origins, now))?;
        }
        ConfigVerb::Schema => {
            let schema = client.config_schema().await?;
            writeln!(output.stdout, "{}", escaped(schema.trim_end()))?;
        }
        ConfigVerb::Validate { file } => {
            let document = file.as_deref().map(read).transpose()?;
            let found = client.validate_config(document).await?;
            let table = |_| problems(&found.problems);
            output.list(&found, "problems", &found.problems, |problem| &problem.key, table)?;
            return Ok(if found.problems.is_empty() { Exit::Ok } else { Exit::CheckFailed });
        }
        ConfigVerb::Reload { change } => {
            output.announce("reload", "the configuration")?;
            let reloaded = client.reload_config(change.dry_run).await?;
            if let Some(certificates) = &reloaded.certificates {
                writeln!(output.stderr, "{}", told(certificates, output.clock.now()))?;
            }
            let table = |_| changes(&reloaded.changes);
            output.list(&reloaded, "changes", &reloaded.changes, |change| &change.key, table)?;
        }
        ConfigVerb::Overrides => {
            let config = client.config().await?;
            let table = |now| overrides(&config.overrides, now);
            output.list(&config, "overrides", &config.overrides, |known| &known.name, table)?;
        }
        ConfigVerb::Clear { name, .. } => {
            output.announce("clear what is said of", &name)?;
            let cleared = client.clear_override(&name).await?;
            let table = |now| overrides(&cleared.cleared, now);
            output.list(&cleared, "overrides", &cleared.cleared, |known| &known.name, table)?;
        }
    }
    Ok(Exit::Ok)
}

pub(super) async fn log_filter(
    verb: LogFilterVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let filter = match verb {
        LogFilterVerb::Get => client.log_filter().await?,
        LogFilterVerb::Set { filter, seconds, .. } => {
            output.announce("set the log filter", &filter)?;
            client.set_log_filter(&filter, Some(Duration::from_secs(seconds.get().into()))).await?
        }
        LogFilterVerb::Reset { .. } => {
            output.announce("reset", "the log filter")?;
            client.set_log_filter("", None).await?
        }
    };
    output.sheet(&filter, &filter.in_force, |_| {
        let mut sheet = Sheet::default();
        sheet.line("In force", clean(&filter.in_force));
        sheet.line("Configured", clean(&filter.configured));
        let back = filter.comes_back_in.as_ref().map(|back| span(back.seconds));
        sheet.line("Comes back in", back.unwrap_or_else(|| or_none("")));
        sheet
    })?;
    Ok(())
}

/// All that can be known: a JSON document, whatever form was asked for.
pub(super) async fn dump(client: &AdminClient, output: &mut Output<'_>) -> Result<(), Failure> {
    let document = client.dump_state().await?;
    Ok(writeln!(output.stdout, "{}", escaped(&document))?)
}

fn read(file: &Path) -> Result<String, Failure> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|source| Failure::Input { file: file.display().to_string(), source })
}

/// As `<app> config show` writes it, with what waits and what operators said in comments.
fn show(config: &v1::GetConfigResponse, origins: bool, now: Timestamp) -> String {
    let mut text = String::new();
    for setting in &config.settings {
        let key = clean(&setting.key);
        match &setting.value {
            Some(value) => text += &format!("{key} = {}", clean(value)),
            None => text += &format!("# {key} is not set"),
        }
        if origins {
            let _ = write!(text, "  # {}", clean(&setting.origin));
        }
        text.push('\n');
        if let Some(pending) = &setting.pending {
            let value = pending.value.as_deref().map_or_else(|| "not set".to_owned(), clean);
            let _ = writeln!(text, "# waits for a restart: {value}, from {}", clean(&pending.origin));
        }
    }
    if let Some(certificates) = &config.certificates {
        let _ = writeln!(text, "# {}", told(certificates, now));
    }
    for known in &config.overrides {
        let since = age(known.since.as_ref(), now);
        let _ =
            writeln!(text, "# an operator said of {}: {} ({since})", clean(&known.name), clean(&known.says));
    }
    text
}

/// When certificates end.
fn told(certificates: &v1::Certificates, now: Timestamp) -> String {
    let v1::Certificates { server_ends, clients_end } = certificates;
    let mut text = format!("the server's certificate ends {}", moment(server_ends.as_ref(), now));
    if clients_end.is_some() {
        let _ = write!(text, ", the authority for clients {}", moment(clients_end.as_ref(), now));
    }
    text
}

fn problems(problems: &[v1::ConfigProblem]) -> Table {
    let mut table =
        Table::new([Column::text("KEY"), Column::text("AT").gives(), Column::text("PROBLEM").gives()]);
    for problem in problems {
        let text = clean(&problem.text.replace('\n', ";"));
        table.row([or_none(&problem.key).into(), clean(&problem.origin).into(), Cell::bad(text)]);
    }
    table
}

fn changes(changes: &[v1::ConfigChange]) -> Table {
    let mut table = Table::new([
        Column::text("KEY"),
        Column::text("BEFORE").gives(),
        Column::text("AFTER").gives(),
        Column::text("EFFECT"),
        Column::text("ORIGIN").wide(),
    ]);
    for change in changes {
        let effect = if change.needs_restart { Cell::warn("after a restart") } else { Cell::good("now") };
        let value = |value: &Option<String>| or_none(value.as_deref().unwrap_or_default());
        table.row([
            clean(&change.key).into(),
            value(&change.before).into(),
            value(&change.after).into(),
            effect,
            clean(&change.origin).into(),
        ]);
    }
    table
}

fn overrides(overrides: &[v1::Override], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("NAME").gives(),
        Column::text("SAYS").gives(),
        Column::text("REASON").wide(),
        Column::text("BY").wide(),
        Column::text("AGE"),
    ]);
    for known in overrides {
        table.row([
            clean(&known.name).into(),
            clean(&known.says).into(),
            or_none(&known.reason).into(),
            or_none(&known.by).into(),
            age(known.since.as_ref(), now).into(),
        ]);
    }
    table
}
