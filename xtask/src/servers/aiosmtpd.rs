//! aiosmtpd, an SMTP server written in Python: it takes the mails that our apps send.

use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::{Place, Server, pip};

/// The server and what it needs, by exact version.
const PACKAGES: [&str; 3] = ["aiosmtpd==1.4.6", "atpublic==5.1", "attrs==25.3.0"];

pub(super) struct Aiosmtpd {
    folder: PathBuf,
}

impl Aiosmtpd {
    pub(super) fn in_folder(servers: &Path) -> Self {
        Self { folder: servers.join(PACKAGES[0].replace("==", "-")) }
    }
}

impl Server for Aiosmtpd {
    fn name(&self) -> &'static str {
        "aiosmtpd"
    }

    fn find(&self) -> Result<Option<Vec<Place>>, String> {
        let program = self.folder.join("aiosmtpd/__main__.py");
        // Python finds the server by the folder that holds all its packages.
        Ok(program.is_file().then(|| vec![Place { variable: "RUNTIME_AIOSMTPD", path: self.folder.clone() }]))
    }

    fn install(&self, apt: &mut Apt) -> Result<(), String> {
        pip::install(apt, &self.folder, &PACKAGES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_lives_in_another_folder() {
        let server = Aiosmtpd::in_folder(Path::new("servers"));
        assert_eq!(server.folder, Path::new("servers/aiosmtpd-1.4.6"));
        assert_eq!(server.find(), Ok(None));
    }
}
