//! Where things are in this checkout.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;

/// The checkout this program was built from.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    pub(crate) fn current() -> Result<Self, Failure> {
        // Cargo sets the variable when it runs the program; a moved checkout is then seen as what it is.
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
        match Path::new(&manifest).parent() {
            Some(root) if root.join("Cargo.toml").is_file() => Ok(Self { root: root.to_owned() }),
            _ => Err(Failure::Usage("run it as `cargo xtask` inside the workspace".into())),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Holds everything that is installed for the tests alone; git ignores it, and removing it costs a download.
    pub(crate) fn servers_dir(&self) -> PathBuf {
        self.root.join(".servers")
    }

    /// A cargo command in the workspace, with the cargo that runs this program.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        // Cargo set these for this program; the cargo below shall make its own.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME"] {
            cargo.env_remove(name);
        }
        cargo
    }
}
