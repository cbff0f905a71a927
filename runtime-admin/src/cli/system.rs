//! `runtimectl info`, `runtimectl overview` and `runtimectl system …`.

use std::time::Duration;

use jiff::Timestamp;
use runtime_proto::v1;

use super::args::SystemVerb;
use super::exit::Exit;
use super::failure::Failure;
use super::operations::{Progress, number};
use super::output::Output;
use super::queues;
use super::table::{Cell, Column, Sheet, Table};
use super::words::{age, clean, count, health, moment, or_none, short_name, span, word};
use crate::client::AdminClient;

/// Who is this?
pub(super) async fn info(client: &AdminClient, output: &mut Output<'_>) -> Result<(), Failure> {
    let info = client.info().await?;
    output.sheet(&info, &info.instance, |_| {
        let capability = |able: v1::StoreCapability| word(able.as_str_name(), "STORE_CAPABILITY_");
        let mut sheet = Sheet::default();
        sheet.line("Instance", clean(&info.instance));
        sheet.line("Version", clean(&info.version));
        sheet.line(
            "Apps",
            or_none(&info.apps.iter().map(|app| short_name(app)).collect::<Vec<_>>().join(", ")),
        );
        sheet.line("Store", clean(&info.store));
        sheet.line("Can", or_none(&info.store_capabilities().map(capability).collect::<Vec<_>>().join(", ")));
        sheet.line("Up for", span(info.uptime.map_or(0, |uptime| uptime.seconds)));
        if let Some(drain) = &info.drain {
            sheet.line("Draining", draining(drain));
        }
        sheet
    })?;
    Ok(())
}

/// How often somebody who waits looks how far a draining is.
const DRAIN_LOOK: Duration = Duration::from_millis(250);

pub(super) async fn run(
    verb: SystemVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match verb {
        SystemVerb::Capabilities => capabilities(client, output).await?,
        SystemVerb::Drain { change, wait, yes } => {
            let instance = client.info().await?.instance;
            let would = client.start_drain(&change.reason, true).await?;
            output.announce("drain", &format!("instance {instance}"))?;
            if change.dry_run {
                return show_drain(&would, &instance, output);
            }
            let under_way = number(would.leased, "task");
            let question = format!("drain instance {instance} at {}, {under_way} under way?", output.place);
            output.confirm(&question, yes)?;
            let mut drain = client.start_drain(&change.reason, false).await?;
            if wait {
                drain = drained(drain, client, output).await?;
            }
            show_drain(&drain, &instance, output)?;
        }
        SystemVerb::Undrain { change } => {
            let instance = client.info().await?.instance;
            output.announce("undrain", &format!("instance {instance}"))?;
            client.stop_drain(&change.reason).await?;
            info(client, output).await?;
        }
        SystemVerb::Shutdown { change, grace_secs, confirm } => {
            let instance = client.info().await?.instance;
            let grace = grace_secs.map(|secs| Duration::from_secs(secs.get().into()));
            let grace = client.shut_down(&change.reason, grace, true).await?;
            let target = format!("instance {instance}, what runs has {} s,", grace.as_secs());
            output.announce("shut down", &target)?;
            if !change.dry_run {
                let question = format!("end the process at {}? Its instance's name:", output.place);
                output.confirm_by_name(&question, &instance, confirm.as_deref())?;
                client.shut_down(&change.reason, Some(grace).filter(|grace| !grace.is_zero()), false).await?;
            }
        }
    }
    Ok(())
}

async fn capabilities(client: &AdminClient, output: &mut Output<'_>) -> Result<(), Failure> {
    let able = client.capabilities().await?;
    let colours = output.colours;
    output.one(&able, "capabilities", |_, wide| {
        let mut sheet = Sheet::default();
        sheet.line("Version", clean(&able.version));
        sheet.line("API", clean(&able.api));
        let words: Vec<String> =
            able.features().map(|feature| word(feature.as_str_name(), "FEATURE_")).collect();
        sheet.line("Features", or_none(&words.join(", ")));
        sheet.line("Store", clean(&able.store));
        let words: Vec<String> =
            able.store_capabilities().map(|able| word(able.as_str_name(), "STORE_CAPABILITY_")).collect();
        sheet.line("Can", or_none(&words.join(", ")));
        sheet.line("Methods", count(able.methods.len() as u64));
        let mut text = sheet.render(colours);
        if wide {
            text.push('\n');
            text.push_str(&methods(&able.methods).render(wide, colours));
        }
        text
    })?;
    Ok(())
}

fn methods(methods: &[v1::MethodCapability]) -> Table {
    let mut table = Table::new([
        Column::text("METHOD"),
        Column::text("ROLE"),
        Column::text("CHANGES"),
        Column::text("REASON"),
    ]);
    let said = |said: bool, word: &str| if said { word.to_owned() } else { or_none("") };
    for method in methods {
        table.row([
            clean(&method.method).into(),
            clean(&method.role).into(),
            said(method.changes, "yes").into(),
            said(method.needs_reason, "required").into(),
        ]);
    }
    table
}

/// Waits until nothing is under way any more, or somebody has the instance take work again.
async fn drained(
    mut drain: v1::Drain,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<v1::Drain, Failure> {
    let mut progress = Progress::of(output);
    while !drain.drained {
        progress.line(&format!("{} under way", number(drain.leased, "task")));
        tokio::time::sleep(DRAIN_LOOK).await;
        match client.info().await?.drain {
            Some(now) => drain = now,
            None => {
                progress.clear();
                return Err(Failure::Partial(
                    "the instance was told to take work again before it was drained",
                ));
            }
        }
    }
    progress.clear();
    Ok(drain)
}

fn show_drain(drain: &v1::Drain, instance: &str, output: &mut Output<'_>) -> Result<(), Failure> {
    output.sheet(drain, instance, |now| {
        let mut sheet = Sheet::default();
        sheet.line("Instance", clean(instance));
        sheet.line("Draining", draining(drain));
        sheet.line("Since", moment(drain.since.as_ref(), now));
        sheet.line("By", clean(&drain.by));
        sheet.line("Reason", or_none(&drain.reason));
        sheet
    })?;
    Ok(())
}

fn draining(drain: &v1::Drain) -> Cell {
    if drain.drained {
        Cell::warn("drained")
    } else {
        Cell::warn(format!("{} under way", number(drain.leased, "task")))
    }
}

/// How is it? With `check`, an unhealthy whole is an exit code of its own.
pub(super) async fn overview(
    check: bool,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let overview = output.saw(client.overview().await?);
    let colours = output.colours;
    output.one(&overview, "overview", |now, wide| {
        let mut sheet = Sheet::default();
        sheet.line("Health", health(overview.health.as_ref()));
        if let Some(health) = overview.health.as_ref().filter(|health| !health.reason.is_empty()) {
            sheet.line("Reason", clean(&health.reason));
        }
        sheet.line("Stopping", if overview.stopping { Cell::warn("yes") } else { Cell::plain("no") });
        if let Some(drain) = &overview.drain {
            sheet.line("Draining", draining(drain));
        }
        sheet.line("Nodes", count(overview.nodes));
        sheet.line("Restarts", count(overview.restarts));
        let events = overview.events.unwrap_or_default();
        let relayed = format!("{} relayed", count(events.relayed));
        let events = if events.integrated {
            Cell::plain(relayed)
        } else {
            Cell::warn(format!("{relayed}, relay down"))
        };
        sheet.line("Events", events);
        let below = [
            apps(&overview.apps),
            queues::table(&overview.queues, now),
            dependencies(&overview.dependencies, now),
        ];
        let below = below.iter().filter(|table| !table.is_empty());
        below.fold(sheet.render(colours), |text, table| format!("{text}\n{}", table.render(wide, colours)))
    })?;
    let level = overview.health.map_or(v1::HealthLevel::Unspecified, |health| health.level());
    let well = matches!(level, v1::HealthLevel::Healthy | v1::HealthLevel::Degraded);
    Ok(if check && !well { Exit::CheckFailed } else { Exit::Ok })
}

/// What workers depend on; AGE is how long its breaker has stood so.
fn dependencies(dependencies: &[v1::Dependency], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("DEPENDENCY").gives(),
        Column::text("APP").gives(),
        Column::text("BREAKER"),
        Column::figure("FAILURES"),
        Column::text("NEXT PROBE"),
        Column::figure("AGE"),
    ]);
    for dependency in dependencies {
        let state = word(dependency.state().as_str_name(), "BREAKER_STATE_");
        let state = match dependency.state() {
            v1::BreakerState::Open => Cell::bad(state),
            v1::BreakerState::HalfOpen => Cell::warn(state),
            _ => Cell::plain(state),
        };
        table.row([
            clean(&dependency.name).into(),
            short_name(&dependency.app).into(),
            state,
            dependency.failures.to_string().into(),
            moment(dependency.next_probe_at.as_ref(), now).into(),
            age(dependency.since.as_ref(), now).into(),
        ]);
    }
    table
}

fn apps(apps: &[v1::AppOverview]) -> Table {
    let mut table = Table::new([Column::text("APP"), Column::text("HEALTH"), Column::text("REASON").gives()]);
    for app in apps {
        let reason = app.health.as_ref().map_or("", |health| health.reason.as_str());
        table.row([short_name(&app.name).into(), health(app.health.as_ref()), or_none(reason).into()]);
    }
    table
}
