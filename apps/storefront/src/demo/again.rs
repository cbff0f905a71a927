//! Projections are thrown away for one scope and made again from truth, by the workers' own nodes; the rows are the same
//! to the byte.

use std::sync::Arc;

use runtime::Running;
use runtime::core::control::{Command, NodeCommand, RunAsk, RunProgress, RunSelection, ask};
use runtime::core::name::{CorrelationId, WorkerName};
use runtime::core::node::NodePath;
use runtime::core::store::Store as Rows;
use runtime::core::task::TaskState;
use runtime::prelude::{Scope, SqlValue};
use storefront_domain::Sample;
use tokio::sync::watch;

use super::DemoError;
use super::report::{Checks, table};
use crate::module::APP;
use crate::obligations::names;

/// A projection of one scope: the worker, the scope's key and value, and its tables with the column that holds it.
struct Projection {
    worker: &'static str,
    scope: String,
    value: SqlValue,
    tables: &'static [(&'static str, &'static str)],
}

pub(super) async fn all(running: &Running, sample: &Sample) -> Result<bool, DemoError> {
    let store = sample.stores.first().ok_or("a sample without stores")?.id;
    let category = sample.categories().into_iter().next().ok_or("a sample without categories")?;
    let projections = [
        Projection {
            worker: names::SETTLE,
            scope: format!("store={store}"),
            value: crate::rows::number(store.0),
            tables: &[("settlement", "store"), ("payout_lines", "store")],
        },
        Projection {
            worker: names::ROLLUP,
            scope: format!("store={store}"),
            value: crate::rows::number(store.0),
            tables: &[("rollup", "store")],
        },
        Projection {
            worker: names::RECOMMEND,
            scope: format!("category={category}"),
            value: category.0.as_str().into(),
            tables: &[("recommendation", "category"), ("recommendation_model", "category")],
        },
    ];
    let (mut shown, mut same) = (Vec::new(), true);
    for projection in &projections {
        let before = bytes(running.store(), projection).await?;
        // Paused, so that the run alone works: a worker at large would take some of its tasks first.
        steer(running, projection.worker, NodeCommand::Pause).await?;
        let run = again(running, projection).await?;
        steer(running, projection.worker, NodeCommand::Resume).await?;
        let after = bytes(running.store(), projection).await?;
        same &= before == after
            && !before.is_empty()
            && run.made > 0
            && run.counts.of(TaskState::Done) == run.made;
        shown.push(vec![
            projection.worker.to_owned(),
            projection.scope.clone(),
            run.counts.of(TaskState::Done).to_string(),
            after.len().to_string(),
            blake3::hash(&before).to_hex().split_at(16).0.to_owned(),
            blake3::hash(&after).to_hex().split_at(16).0.to_owned(),
        ]);
    }
    println!("Made again from truth\n");
    println!("{}", table(&["WORKER", "SCOPE", "TASKS", "BYTES", "BEFORE", "AFTER"], &shown));
    let mut checks = Checks::default();
    checks.check(same, "each projection is the same to the byte");
    println!();
    Ok(checks.failed == 0)
}

async fn again(running: &Running, projection: &Projection) -> Result<RunProgress, DemoError> {
    let ask_for = RunAsk {
        worker: WorkerName::new(projection.worker)?,
        selection: RunSelection::Scope { scope: Scope::new(&projection.scope)?, since: None, until: None },
        correlation: CorrelationId::new(format!("demo-{}", projection.worker))?,
        once: false,
        rebuild: true,
        dry_run: false,
    };
    let (progress, _seen) = watch::channel(RunProgress::default());
    Ok(ask(&*running.control(), |reply| Command::RunWorker { ask: ask_for, progress, reply }).await?)
}

async fn steer(running: &Running, worker: &str, command: NodeCommand) -> Result<(), DemoError> {
    let path: NodePath = format!("/engine/apps/{APP}/workers/{worker}").parse()?;
    ask(&*running.control(), |reply| Command::SteerNode { path, command, terms: Default::default(), reply })
        .await?;
    Ok(())
}

/// All rows of a projection as the store holds them, in the order of their keys.
async fn bytes(rows: &Arc<dyn Rows>, projection: &Projection) -> Result<Vec<u8>, DemoError> {
    let mut bytes = Vec::new();
    for (table, column) in projection.tables {
        let sql = format!("SELECT * FROM {table} WHERE {column} = ?1");
        for row in rows.query_app(&sql, vec![projection.value.clone()]).await? {
            bytes.extend(format!("{row:?}\n").into_bytes());
        }
    }
    Ok(bytes)
}
