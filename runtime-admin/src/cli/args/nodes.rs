//! `runtimectl node …`.

use std::num::NonZeroUsize;

use clap::Subcommand;
use runtime_core::node::NodePath;

use super::Change;
use super::change::needed;
use super::names::{at_least_one, node_path};

/// A node: an absolute path, or short for its path under /engine/apps.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct NodeTarget {
    /// Absolute, or short for one under /engine/apps: shop/workers/settle
    #[arg(value_parser = node_path)]
    pub(in crate::cli) path: NodePath,
}

/// A node that is steered.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct NodeChange {
    #[command(flatten)]
    pub(in crate::cli) node: NodeTarget,
    #[command(flatten)]
    pub(in crate::cli) change: Change,
}

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum NodeVerb {
    /// List nodes
    List {
        /// Only this one and those under it
        #[arg(default_value = "/", value_parser = node_path)]
        path: NodePath,
    },
    /// Show one node
    Get(NodeTarget),
    /// List the latest restarts, newest first
    Restarts {
        /// Only of this one and those under it
        #[arg(default_value = "/", value_parser = node_path)]
        path: NodePath,
        /// Most restarts to list
        #[arg(value_parser = at_least_one::<NonZeroUsize>, long, default_value = "50", value_name = "COUNT")]
        limit: NonZeroUsize,
    },
    /// Bring a node up, and want it running
    Start(NodeChange),
    /// Stop a node in order, and want it stopped
    #[command(mut_arg("reason", needed))]
    Stop(NodeChange),
    /// Stop a node in order and start it again
    Restart(NodeChange),
    /// Take no new work, and want the node paused
    Pause(NodeChange),
    /// Go on, and want the node running
    Resume(NodeChange),
    /// Finish what the node has, then stop it
    #[command(mut_arg("reason", needed))]
    Drain(NodeChange),
    /// Change the number of slots of a worker
    Resize {
        #[command(flatten)]
        target: NodeChange,
        /// Slots from now on
        #[arg(value_parser = at_least_one::<NonZeroUsize>)]
        slots: NonZeroUsize,
    },
}
