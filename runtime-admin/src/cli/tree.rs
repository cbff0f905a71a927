//! The live tree, drawn.

use jiff::Timestamp;
use runtime_core::node::NodePath;
use runtime_proto::v1;

use super::failure::Failure;
use super::output::Output;
use super::table::{Cell, Column, Table};
use super::words::{age, clean, count, health, node_kind, node_state, slots};
use crate::client::AdminClient;

/// `runtimectl tree`.
pub(super) async fn show(
    root: &NodePath,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let nodes = output.saw(client.tree(root).await?);
    let whole = v1::GetTreeResponse { nodes, event_cursor: output.as_of.clone() };
    output.list(&whole, "nodes", &whole.nodes, |node| &node.name, |now| table(&whole.nodes, now))?;
    Ok(())
}

fn table(nodes: &[v1::Node], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("NAME").gives(),
        Column::text("KIND").wide(),
        Column::text("STATE"),
        Column::figure("INC/RST"),
        Column::figure("SLOTS"),
        Column::figure("QUEUED"),
        Column::figure("HANDLED").wide(),
        Column::figure("ERRORS").wide(),
        Column::figure("AGE"),
    ]);
    for branch in branches(nodes) {
        let node = branch.node;
        let notes = notes(node).into_iter().map(|(tone, text)| tone(format!("{}{text}", branch.below)));
        table.row_with_notes(
            [
                Cell::plain(format!("{}{}", branch.before, branch.label)),
                node_kind(node).into(),
                node_state(node),
                format!("{}/{}", node.incarnation, node.restarts).into(),
                slots(node.slots.as_ref()).into(),
                node.slots.map_or_else(|| "-".to_owned(), |_| count(node.queued)).into(),
                count(node.handled).into(),
                count(node.errors).into(),
                age(node.since.as_ref(), now).into(),
            ],
            notes.collect(),
        );
    }
    table
}

/// A line below a row: how loud, and what.
type Note = (fn(String) -> Cell, String);

/// What somebody should know about a node beyond its row.
fn notes(node: &v1::Node) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    if let Some(state) = node.health.as_ref().filter(|health| health.level() != v1::HealthLevel::Healthy) {
        let tone = if state.level() == v1::HealthLevel::Degraded { Cell::warn } else { Cell::bad };
        let level = health(Some(state));
        notes.push((tone, format!("{}: {}", level.text(), clean(&state.reason))));
    }
    if !node.last_fault.is_empty() {
        notes.push((Cell::faint, format!("last fault: {}", clean(&node.last_fault))));
    }
    notes
}

/// A node with the lines that lead to it.
struct Branch<'a> {
    node: &'a v1::Node,
    /// Its place under the nearest node above it that is shown.
    label: String,
    /// Drawn before the label.
    before: String,
    /// Drawn before notes on it.
    below: String,
}

/// Draws a list in which parents come before children. A node whose parent is not listed hangs under the nearest node above
/// it, and its label says the rest of the path.
fn branches(nodes: &[v1::Node]) -> Vec<Branch<'_>> {
    let parents: Vec<Option<usize>> = (0..nodes.len()).map(|index| parent(nodes, index)).collect();
    let is_last = |index: usize| !parents.iter().skip(index + 1).any(|other| *other == parents[index]);
    let mut lead = vec![String::new(); nodes.len()];
    let mut branches = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let path = path(node);
        let (label, before) = match parents[index] {
            None => (path.to_owned(), String::new()),
            Some(above) => {
                let corner = if is_last(index) { "\u{2514}\u{2500} " } else { "\u{251c}\u{2500} " };
                let line = if is_last(index) { "   " } else { "\u{2502}  " };
                lead[index] = format!("{}{line}", lead[above]);
                (below(path, self::path(&nodes[above])).to_owned(), format!("{}{corner}", lead[above]))
            }
        };
        let has_children = parents.contains(&Some(index));
        let below = format!("{}{}", lead[index], if has_children { "\u{2502}  " } else { "   " });
        branches.push(Branch { node, label, before, below });
    }
    branches
}

/// The nearest node above, of those that came before.
fn parent(nodes: &[v1::Node], index: usize) -> Option<usize> {
    let path = path(&nodes[index]);
    (0..index)
        .filter(|other| is_above(self::path(&nodes[*other]), path))
        .max_by_key(|other| self::path(&nodes[*other]).len())
}

fn is_above(above: &str, path: &str) -> bool {
    above != path && (above == "/" || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/')))
}

fn below<'a>(path: &'a str, above: &str) -> &'a str {
    path.strip_prefix(above).unwrap_or(path).trim_start_matches('/')
}

fn path(node: &v1::Node) -> &str {
    node.name.strip_prefix("nodes").unwrap_or(&node.name)
}
