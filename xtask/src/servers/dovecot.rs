//! Dovecot, the mail server: IMAP, IMAPS and LMTP for the mail tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt::{Apt, is_executable, program};
use super::{Place, Server};

const PACKAGES: [&str; 3] = ["dovecot-core", "dovecot-imapd", "dovecot-lmtpd"];

/// The private instances are configured in the language of this release line; 2.4 changed it.
const RELEASE: (u32, u32) = (2, 3);

/// Where distributions keep the programs that serve one protocol each.
const PROTOCOL_FOLDERS: [&str; 2] = ["/usr/lib/dovecot", "/usr/libexec/dovecot"];

pub(super) struct Dovecot {
    protocol_folders: Vec<PathBuf>,
}

impl Dovecot {
    pub(super) fn of_this_machine() -> Self {
        Self { protocol_folders: PROTOCOL_FOLDERS.map(PathBuf::from).to_vec() }
    }

    /// The server needs its IMAP and LMTP halves, which are packages of their own.
    fn has_protocols(&self) -> bool {
        let holds = |folder: &Path, name| is_executable(&folder.join(name));
        self.protocol_folders.iter().any(|folder| holds(folder, "imap") && holds(folder, "lmtp"))
    }
}

impl Server for Dovecot {
    fn name(&self) -> &'static str {
        "dovecot"
    }

    fn find(&self) -> Result<Option<Vec<Place>>, String> {
        let (Some(dovecot), Some(doveadm)) = (program("dovecot"), program("doveadm")) else {
            return Ok(None);
        };
        if !self.has_protocols() {
            return Ok(None);
        }
        let output = Command::new(&dovecot).arg("--version").output();
        let output = output.map_err(|error| format!("{}: {error}", dovecot.display()))?;
        let version = String::from_utf8_lossy(&output.stdout);
        match release(&version) {
            Some(RELEASE) => Ok(Some(vec![
                Place { variable: "RUNTIME_DOVECOT", path: dovecot },
                Place { variable: "RUNTIME_DOVEADM", path: doveadm },
            ])),
            _ => Err(format!("the tests speak to Dovecot {}.{}, found {version}", RELEASE.0, RELEASE.1)),
        }
    }

    fn install(&self, apt: &mut Apt) -> Result<(), String> {
        apt.install(&PACKAGES)
    }
}

/// The first two numbers of a version such as `2.3.19.1 (9b53102964)`.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim().split(['.', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_line_is_read_from_the_version() {
        assert_eq!(release("2.3.19.1 (9b53102964)\n"), Some((2, 3)));
        assert_eq!(release("2.4.1-4 (7d8c0e5759)"), Some((2, 4)));
        assert_eq!(release("2.3"), Some((2, 3)));
        assert_eq!(release(""), None);
        assert_eq!(release("dovecot: not found"), None);
    }

    #[test]
    fn a_server_without_its_protocols_is_not_complete() {
        let folder = std::env::temp_dir().join(format!("xtask-dovecot-{}", std::process::id()));
        let dovecot = Dovecot { protocol_folders: vec![folder.clone()] };
        assert!(!dovecot.has_protocols());

        std::fs::create_dir_all(&folder).expect("folder");
        std::os::unix::fs::symlink("/bin/sh", folder.join("imap")).expect("imap");
        assert!(!dovecot.has_protocols());
        std::os::unix::fs::symlink("/bin/sh", folder.join("lmtp")).expect("lmtp");
        assert!(dovecot.has_protocols());
        std::fs::remove_dir_all(&folder).expect("clean up");
    }
}
