//! A source over a folder: a file is a job, and moves on when its task is finished.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime::prelude::*;
use runtime_core::task::TaskState;

use super::GroundFolder;

/// Between two looks at an empty inbox.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The inbox of the folder.
pub(super) struct Inbox {
    folder: GroundFolder,
    route: Arc<Route>,
    /// Returned since it was opened.
    taken: HashSet<String>,
}

impl Inbox {
    pub(super) fn new(folder: GroundFolder, route: Arc<Route>) -> Self {
        Self { folder, route, taken: HashSet::new() }
    }

    fn look(&mut self, up_to: usize) -> io::Result<Vec<Found>> {
        let inbox = self.folder.part("inbox")?;
        let mut found = Vec::new();
        for name in self.folder.names_in("inbox")? {
            if found.len() == up_to {
                break;
            }
            if self.taken.contains(&name) {
                continue;
            }
            let payload = match fs::read(inbox.join(&name)) {
                // Moved on since the folder was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                read => read?,
            };
            let key = IdempotencyKey::new(&name).map_err(io::Error::other)?;
            let file = name.clone();
            let row = AppWrite::new(move |tx| {
                let sql = "INSERT OR IGNORE INTO ground_found (file) VALUES (?1)";
                tx.execute(sql, &[file.as_str().into()]).map(drop)
            });
            found.push(Found { key, task: NewTask::new(self.route.clone(), payload), writes: vec![row] });
            self.taken.insert(name);
        }
        Ok(found)
    }
}

#[async_trait]
impl Source for Inbox {
    async fn open(&mut self) -> Result<(), TaskError> {
        self.taken.clear();
        Ok(())
    }

    async fn next(&mut self, up_to: usize) -> Result<Vec<Found>, TaskError> {
        loop {
            let found = self.look(up_to).map_err(unavailable)?;
            if !found.is_empty() {
                return Ok(found);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn finished(&mut self, finished: &[Finished]) -> Result<(), TaskError> {
        let inbox = self.folder.part("inbox").map_err(unavailable)?;
        for end in finished {
            let part = if end.state == TaskState::Done { "outbox" } else { "failed" };
            let to = self.folder.part(part).map_err(unavailable)?.join(end.key.as_str());
            match fs::rename(inbox.join(end.key.as_str()), to) {
                // Marked before: by an instance that died before it could note that.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                moved => moved.map_err(unavailable)?,
            }
        }
        Ok(())
    }
}

fn unavailable(error: io::Error) -> TaskError {
    TaskError::new(ErrorCode::SourceUnavailable, error.to_string())
}
