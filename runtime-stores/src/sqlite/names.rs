//! Names are stored once and referred to by number.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::str::FromStr;
use std::sync::Arc;

use runtime_core::name::{InstanceName, QueueName, Route};
use runtime_core::node::NodePath;
use rusqlite::{Connection, OptionalExtension, Row};

use super::fault::Fault;

/// Both directions of one kind of name.
#[derive(Debug, Clone)]
struct Numbered<T> {
    ids: HashMap<T, i64>,
    /// By number: they are given from 1 on, one after the other.
    names: Vec<Option<T>>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn add(&mut self, id: i64, name: T) {
        let index = usize::try_from(id).unwrap_or(0);
        if index >= self.names.len() {
            self.names.resize(index + 1, None);
        }
        self.ids.insert(name.clone(), id);
        self.names[index] = Some(name);
    }

    fn name(&self, id: i64) -> Option<&T> {
        self.names.get(usize::try_from(id).ok()?)?.as_ref()
    }

    fn all(&self) -> impl Iterator<Item = (i64, &T)> {
        (0..).zip(&self.names).filter_map(|(id, name)| name.as_ref().map(|name| (id, name)))
    }

    fn remove(&mut self, id: i64) {
        let index = usize::try_from(id).unwrap_or(0);
        if let Some(name) = self.names.get_mut(index).and_then(Option::take) {
            self.ids.remove(&name);
        }
    }
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { ids: HashMap::new(), names: Vec::new() }
    }
}

/// Which kind of name a number belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    Queue,
    Route,
    Instance,
    Node,
}

/// The names of one file, as far as they were met.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    queues: Numbered<QueueName>,
    routes: Numbered<Arc<Route>>,
    instances: Numbered<InstanceName>,
    nodes: Numbered<NodePath>,
}

impl Names {
    pub(super) fn load(conn: &Connection) -> Result<Self, Fault> {
        let mut names = Self::default();
        let mut queues = conn.prepare_cached("SELECT id, name FROM rt_queue")?;
        let mut rows = queues.query([])?;
        while let Some(row) = rows.next()? {
            names.queues.add(row.get(0)?, parse(row, 1)?);
        }
        let mut routes = conn.prepare_cached("SELECT id, app, queue, handler FROM rt_route")?;
        let mut rows = routes.query([])?;
        while let Some(row) = rows.next()? {
            let route = Route {
                app: parse(row, 1)?,
                queue: names.queue(row.get(2)?)?.clone(),
                handler: parse(row, 3)?,
            };
            names.routes.add(row.get(0)?, Arc::new(route));
        }
        let mut instances = conn.prepare_cached("SELECT id, name FROM rt_instance")?;
        let mut rows = instances.query([])?;
        while let Some(row) = rows.next()? {
            names.instances.add(row.get(0)?, parse(row, 1)?);
        }
        let mut nodes = conn.prepare_cached("SELECT id, path FROM rt_node")?;
        let mut rows = nodes.query([])?;
        while let Some(row) = rows.next()? {
            names.nodes.add(row.get(0)?, parse(row, 1)?);
        }
        Ok(names)
    }

    pub(super) fn forget(&mut self, kind: NameKind, id: i64) {
        match kind {
            NameKind::Queue => self.queues.remove(id),
            NameKind::Route => self.routes.remove(id),
            NameKind::Instance => self.instances.remove(id),
            NameKind::Node => self.nodes.remove(id),
        }
    }

    pub(super) fn queue(&self, id: i64) -> Result<&QueueName, Fault> {
        self.queues.name(id).ok_or_else(|| Fault::corrupt(format!("no queue {id}")))
    }

    pub(super) fn queue_id(&self, name: &QueueName) -> Option<i64> {
        self.queues.ids.get(name).copied()
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = (i64, &QueueName)> {
        self.queues.all()
    }

    pub(super) fn route(&self, id: i64) -> Result<&Arc<Route>, Fault> {
        self.routes.name(id).ok_or_else(|| Fault::corrupt(format!("no route {id}")))
    }

    pub(super) fn route_id(&self, route: &Arc<Route>) -> Option<i64> {
        self.routes.ids.get(route).copied()
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = (i64, &Arc<Route>)> {
        self.routes.all()
    }

    pub(super) fn instance(&self, id: i64) -> Result<&InstanceName, Fault> {
        self.instances.name(id).ok_or_else(|| Fault::corrupt(format!("no instance {id}")))
    }

    pub(super) fn instance_id(&self, name: &InstanceName) -> Option<i64> {
        self.instances.ids.get(name).copied()
    }

    pub(super) fn node(&self, id: i64) -> Result<&NodePath, Fault> {
        self.nodes.name(id).ok_or_else(|| Fault::corrupt(format!("no node {id}")))
    }

    pub(super) fn node_id(&self, path: &NodePath) -> Option<i64> {
        self.nodes.ids.get(path).copied()
    }

    /// The number of a node, given now when it has none.
    pub(super) fn intern_node(&mut self, conn: &Connection, path: &NodePath) -> Result<i64, Fault> {
        let id = number(conn, "rt_node", "path", path.as_str())?;
        self.nodes.add(id, path.clone());
        Ok(id)
    }

    /// The number of a queue, given now when it has none.
    pub(super) fn intern_queue(&mut self, conn: &Connection, name: &QueueName) -> Result<i64, Fault> {
        let id = number(conn, "rt_queue", "name", name.as_str())?;
        self.queues.add(id, name.clone());
        Ok(id)
    }

    /// The number of an instance, given now when it has none.
    pub(super) fn intern_instance(&mut self, conn: &Connection, name: &InstanceName) -> Result<i64, Fault> {
        let id = number(conn, "rt_instance", "name", name.as_str())?;
        self.instances.add(id, name.clone());
        Ok(id)
    }

    /// The number of a route whose queue has one.
    pub(super) fn intern_route(
        &mut self,
        conn: &Connection,
        route: &Arc<Route>,
        queue: i64,
    ) -> Result<i64, Fault> {
        let (app, handler) = (route.app.as_str(), route.handler.as_str());
        let known = conn
            .prepare_cached("SELECT id FROM rt_route WHERE app = ?1 AND queue = ?2 AND handler = ?3")?
            .query_row((app, queue, handler), |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => conn
                .prepare_cached("INSERT INTO rt_route (app, queue, handler) VALUES (?1, ?2, ?3)")?
                .insert((app, queue, handler))?,
        };
        self.routes.add(id, Arc::clone(route));
        Ok(id)
    }
}

fn number(conn: &Connection, table: &str, column: &str, name: &str) -> Result<i64, Fault> {
    let known = conn
        .prepare_cached(&format!("SELECT id FROM {table} WHERE {column} = ?1"))?
        .query_row([name], |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => Ok(id),
        None => {
            Ok(conn.prepare_cached(&format!("INSERT INTO {table} ({column}) VALUES (?1)"))?.insert([name])?)
        }
    }
}

fn parse<T: FromStr<Err: Display>>(row: &Row<'_>, index: usize) -> Result<T, Fault> {
    let text = row.get_ref(index)?.as_str().map_err(|error| Fault::corrupt(error.to_string()))?;
    text.parse().map_err(|error: T::Err| Fault::corrupt(error.to_string()))
}
