//! Debian packages, where we may install them.
//!
//! Some packages start a system service when they are installed. The tests start private instances of their own, so
//! Debian's policy script is put in place for the time of an installation; it says that no service is to be started.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step;

const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_MARK: &str = "# written by cargo xtask for the time of an installation";

/// The package manager of this machine; it reads its lists anew at most once a run.
pub(super) struct Apt {
    usable: Result<(), &'static str>,
    updated: bool,
}

impl Apt {
    pub(super) fn of_this_machine() -> Self {
        let root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
        let apt_get = program("apt-get").is_some();
        Self { usable: usable(root, apt_get), updated: false }
    }

    /// Installs packages without what they recommend. A failure of the first try may come from old or absent package
    /// lists, so the lists are read once and it is tried again.
    pub(super) fn install(&mut self, packages: &[&str]) -> Result<(), String> {
        let advice = advice(packages);
        self.usable.map_err(|why| format!("{why}; {advice}"))?;
        let _policy =
            NoServices::in_place(Path::new(POLICY)).map_err(|error| format!("{POLICY}: {error}"))?;
        let mut result = step::run_quietly(&mut install_command(packages));
        if result.is_err() && !self.updated {
            self.updated = true;
            step::run_quietly(apt_get().arg("update")).map_err(|said| format!("{said}\n{advice}"))?;
            result = step::run_quietly(&mut install_command(packages));
        }
        result.map_err(|said| format!("{said}\n{advice}"))
    }
}

/// The first executable of that name in `PATH`, or where administrators' programs are, which `PATH` often lacks.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

pub(super) fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn usable(root: bool, apt_get: bool) -> Result<(), &'static str> {
    match (root, apt_get) {
        (true, true) => Ok(()),
        (_, false) => Err("there is no apt-get on this machine"),
        (false, true) => Err("only root may install packages"),
    }
}

fn advice(packages: &[&str]) -> String {
    format!("install these by hand: {}", packages.join(" "))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300"]);
    command
}

fn install_command(packages: &[&str]) -> Command {
    let mut command = apt_get();
    command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    command
}

/// While it lives, packages do not start services. A policy of the machine's own is left as it is.
struct NoServices {
    ours: Option<PathBuf>,
}

impl NoServices {
    fn in_place(policy: &Path) -> io::Result<Self> {
        match fs::read_to_string(policy) {
            // Ours, left behind by a run that was killed: it is taken over and removed at the end.
            Ok(text) if text.contains(POLICY_MARK) => {}
            Ok(_) => return Ok(Self { ours: None }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::write(policy, format!("#!/bin/sh\n{POLICY_MARK}\nexit 101\n"))?;
                fs::set_permissions(policy, fs::Permissions::from_mode(0o755))?;
            }
            Err(error) => return Err(error),
        }
        Ok(Self { ours: Some(policy.to_owned()) })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = &self.ours
            && let Err(error) = fs::remove_file(policy)
        {
            eprintln!("      {} is still there, remove it: {error}", policy.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_installed_by_root_with_apt_alone() {
        assert!(usable(true, true).is_ok());
        for (root, apt_get) in [(true, false), (false, true), (false, false)] {
            assert!(usable(root, apt_get).is_err(), "{root} {apt_get}");
        }
    }

    #[test]
    fn who_may_not_install_is_told_the_packages() {
        let mut apt = Apt { usable: usable(false, true), updated: false };
        let refusal = apt.install(&["dovecot-core", "dovecot-lmtpd"]).expect_err("not root");
        assert_eq!(
            refusal,
            "only root may install packages; install these by hand: dovecot-core dovecot-lmtpd"
        );
    }

    #[test]
    fn the_policy_stays_no_longer_than_the_installation_and_never_replaces_another() {
        let policy = std::env::temp_dir().join(format!("xtask-policy-{}", std::process::id()));

        let guard = NoServices::in_place(&policy).expect("written");
        assert!(is_executable(&policy));
        std::mem::forget(guard);
        drop(NoServices::in_place(&policy).expect("taken over from a killed run"));
        assert!(!policy.exists());

        fs::write(&policy, "#!/bin/sh\nexit 0\n").expect("the machine's own policy");
        drop(NoServices::in_place(&policy).expect("left alone"));
        assert_eq!(fs::read_to_string(&policy).expect("still there"), "#!/bin/sh\nexit 0\n");
        fs::remove_file(&policy).expect("clean up");
    }
}
