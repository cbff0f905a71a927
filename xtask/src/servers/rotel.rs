//! rotel, an OTLP receiver written by others: it shows what our telemetry looks like on the wire. It is published as a
//! Python wheel that carries the program; only the program is used.

use std::path::{Path, PathBuf};

use super::apt::{Apt, is_executable};
use super::{Place, Server, pip};

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
        pip::install(apt, &self.folder, &[&format!("rotel=={VERSION}")])
    }
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
