//! A server's process: started here, and gone when its value is.

use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, ServerError};

/// Between two looks at a process that has been told to end.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running server.
pub(crate) struct ServerProcess {
    name: &'static str,
    child: Child,
}

impl ServerProcess {
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<Self, ServerError> {
        let child = command.spawn().map_err(ServerError::io(format!("start {name}")))?;
        Ok(Self { name, child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The end of a process that ended by itself.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, ServerError> {
        self.child.try_wait().map_err(ServerError::io(format!("look at {}", self.name)))
    }

    /// Asks it to end and waits until it has; a process that does not comply is killed, which is an error.
    pub(crate) async fn stop(mut self) -> Result<(), ServerError> {
        let stopped = tokio::task::spawn_blocking(move || self.end());
        stopped.await.map_err(|error| ServerError::io("stop a server")(error.into()))?
    }

    fn end(&mut self) -> Result<(), ServerError> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        // Not reaped yet, so the pid is still this process and no other.
        let told = ServerError::io(format!("tell {} to end", self.name));
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).map_err(|errno| told(errno.into()))?;
        }
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if self.ended()?.is_some() {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        self.child.kill().and_then(|()| self.child.wait()).map_err(ServerError::io("kill a server"))?;
        Err(ServerError::Deadline {
            waited_for: format!("the end of {}", self.name),
            deadline: PATIENCE,
            seen: "it had to be killed".into(),
        })
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{}: {error}", self.name);
        }
    }
}
