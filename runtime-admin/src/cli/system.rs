//! `runtimectl info` and `runtimectl overview`.

use jiff::Timestamp;
use runtime_proto::v1;

use super::exit::Exit;
use super::failure::Failure;
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
        sheet
    })?;
    Ok(())
}

/// How is it? With `check`, an unhealthy whole is an exit code of its own.
pub(super) async fn overview(
    check: bool,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let overview = client.overview().await?;
    let colours = output.colours;
    output.one(&overview, "overview", |now, wide| {
        let mut sheet = Sheet::default();
        sheet.line("Health", health(overview.health.as_ref()));
        if let Some(health) = overview.health.as_ref().filter(|health| !health.reason.is_empty()) {
            sheet.line("Reason", clean(&health.reason));
        }
        sheet.line("Stopping", if overview.stopping { Cell::warn("yes") } else { Cell::plain("no") });
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
        let apps = apps(&overview.apps).render(wide, colours);
        let queues = queues::table(&overview.queues, now).render(wide, colours);
        let mut text = format!("{}\n{apps}\n{queues}", sheet.render(colours));
        if !overview.dependencies.is_empty() {
            text.push('\n');
            text.push_str(&dependencies(&overview.dependencies, now).render(wide, colours));
        }
        text
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
