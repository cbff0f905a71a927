//! rotel, an OTLP receiver written by others: it shows what our telemetry looks like on the wire. It is published as a
//! Python wheel that carries the program; only the program is used.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt::{Apt, is_executable, program};
use super::{Place, Server, install_whole};
use crate::step;

const VERSION: &str = "0.0.1a15";

pub(super) struct Rotel {
    folder: PathBuf,
}

impl Rotel {
    pub(super) fn in_folder(servers: &Path) -> Self {
        Self { folder: servers.join(format!("rotel-{VERSION}")) }
    }
}

impl Server for Rotel {
    fn name(&self) -> &'static str {
        "rotel"
    }

    fn find(&self) -> Result<Option<Vec<Place>>, String> {
        let path = self.folder.join("rotel/rotel-agent");
        Ok(is_executable(&path).then(|| vec![Place { variable: "RUNTIME_ROTEL", path }]))
    }

    fn install(&self, apt: &mut Apt) -> Result<(), String> {
        if !has_pip() {
            apt.install(&["python3", "python3-pip"])?;
        }
        install_whole(&self.folder, |partial| {
            // Wheels only: nothing is built, and no script of the package runs.
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"])
                .args([
                    "--disable-pip-version-check",
                    "--root-user-action",
                    "ignore",
                    "--no-warn-script-location",
                ])
                .arg(format!("rotel=={VERSION}"))
                .arg("--target")
                .arg(partial);
            step::run_quietly(&mut pip)
        })
    }
}

fn has_pip() -> bool {
    program("python3").is_some_and(|python| {
        Command::new(python)
            .args(["-m", "pip", "--version"])
            .output()
            .is_ok_and(|output| output.status.success())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_lives_in_another_folder() {
        let rotel = Rotel::in_folder(Path::new("servers"));
        assert_eq!(rotel.folder, Path::new("servers/rotel-0.0.1a15"));
        assert_eq!(rotel.find(), Ok(None));
    }
}
