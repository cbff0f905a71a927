//! `runtimectl node …`.

use jiff::Timestamp;
use runtime_core::control::NodeCommand;
use runtime_core::node::NodePath;
use runtime_proto::v1;

use super::args::NodeVerb;
use super::failure::Failure;
use super::output::Output;
use super::table::{Cell, Column, Sheet, Table};
use super::words::{
    age, clean, count, duration, health, moment, node_kind, node_name, node_state, or_none, slots, word,
};
use crate::client::AdminClient;

pub(super) async fn run(
    verb: NodeVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let (target, word, command) = match verb {
        NodeVerb::List { path } => return list(&path, client, output).await,
        NodeVerb::Get(target) => return get(&target.path, client, output).await,
        NodeVerb::Restarts { path, limit } => return restarts(&path, limit.get(), client, output).await,
        NodeVerb::Start(target) => (target, "start", NodeCommand::Start),
        NodeVerb::Stop(target) => (target, "stop", NodeCommand::Stop),
        NodeVerb::Restart(target) => (target, "restart", NodeCommand::Restart),
        NodeVerb::Pause(target) => (target, "pause", NodeCommand::Pause),
        NodeVerb::Resume(target) => (target, "resume", NodeCommand::Resume),
        NodeVerb::Drain(target) => (target, "drain", NodeCommand::Drain),
        NodeVerb::Resize { target, slots } => (target, "resize", NodeCommand::Resize { slots }),
    };
    let path = &target.node.path;
    output.announce(word, &format!("node {path}"))?;
    let node = client.steer_node(path, command).await?;
    let colours = output.colours;
    output
        .one(&node, &node.name, |now, wide| table(std::slice::from_ref(&node), now).render(wide, colours))?;
    Ok(())
}

async fn list(root: &NodePath, client: &AdminClient, output: &mut Output<'_>) -> Result<(), Failure> {
    let nodes = output.saw(client.tree(root).await?);
    let whole = v1::GetTreeResponse { nodes, event_cursor: output.as_of.clone() };
    output.list(&whole, "nodes", &whole.nodes, |node| &node.name, |now| table(&whole.nodes, now))?;
    Ok(())
}

/// What was begun again; what is no longer kept is said on stderr.
async fn restarts(
    under: &NodePath,
    limit: usize,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let whole = client.restarts(under, limit).await?;
    output.list(
        &whole,
        "restarts",
        &whole.restarts,
        |restart| &restart.name,
        |now| {
            let mut table = Table::new([
                Column::text("NAME").gives(),
                Column::figure("RUN"),
                Column::text("CAUSE"),
                Column::text("FAULT").gives(),
                Column::figure("WAITED"),
                Column::figure("AGE"),
            ]);
            for restart in &whole.restarts {
                table.row([
                    node_name(&restart.name).into(),
                    count(restart.after).into(),
                    word(restart.cause().as_str_name(), "RESTART_CAUSE_").into(),
                    or_none(&restart.fault).into(),
                    restart.backoff.as_ref().map_or_else(|| or_none(""), |wait| duration(Some(wait))).into(),
                    age(restart.at.as_ref(), now).into(),
                ]);
            }
            table
        },
    )?;
    if whole.forgotten > 0 {
        writeln!(output.stderr, "{} older ones of the tree are no longer kept", count(whole.forgotten))?;
    }
    Ok(())
}

async fn get(path: &NodePath, client: &AdminClient, output: &mut Output<'_>) -> Result<(), Failure> {
    let node = output.saw(client.node(path).await?);
    output.sheet(&node, &node.name, |now| sheet(&node, now))?;
    Ok(())
}

fn table(nodes: &[v1::Node], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("NAME").gives(),
        Column::text("KIND"),
        Column::text("STATE"),
        Column::text("HEALTH"),
        Column::figure("RESTARTS"),
        Column::figure("SLOTS").wide(),
        Column::figure("QUEUED").wide(),
        Column::figure("HANDLED").wide(),
        Column::figure("ERRORS").wide(),
        Column::figure("STUCK").wide(),
        Column::text("LAST FAULT").wide(),
        Column::figure("AGE"),
    ]);
    for node in nodes {
        table.row([
            node_name(&node.name).into(),
            node_kind(node).into(),
            node_state(node),
            health(node.health.as_ref()),
            count(node.restarts).into(),
            slots(node.slots.as_ref()).into(),
            count(node.queued).into(),
            count(node.handled).into(),
            count(node.errors).into(),
            count(node.stuck).into(),
            or_none(&node.last_fault).into(),
            age(node.since.as_ref(), now).into(),
        ]);
    }
    table
}

fn sheet(node: &v1::Node, now: Timestamp) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.line("Name", node_name(&node.name));
    sheet.line("Path", node.name.strip_prefix("nodes").unwrap_or_default());
    sheet.line("Kind", node_kind(node));
    sheet.line("State", node_state(node));
    sheet.line("Since", moment(node.since.as_ref(), now));
    sheet.line("Health", health(node.health.as_ref()));
    if let Some(reason) =
        node.health.as_ref().map(|health| &health.reason).filter(|reason| !reason.is_empty())
    {
        sheet.line("Reason", clean(reason));
    }
    sheet.line("Incarnation", count(node.incarnation));
    sheet.line("Restarts", count(node.restarts));
    sheet.line("Handled", count(node.handled));
    sheet.line("Errors", count(node.errors));
    sheet.line("Busy since", moment(node.busy_since.as_ref(), now));
    sheet.line("Queued", count(node.queued));
    sheet.line("Slots", slots(node.slots.as_ref()));
    sheet.line("Stuck", if node.stuck == 0 { Cell::plain("0") } else { Cell::bad(count(node.stuck)) });
    sheet.line("Last fault", or_none(&node.last_fault));
    sheet
}
