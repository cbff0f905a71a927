//! Python packages, each with a folder of its own: the machine's Python is not touched.

use std::path::Path;
use std::process::Command;

use super::apt::{Apt, program};
use super::install_whole;
use crate::step;

/// Installs exactly these packages, as wheels: nothing is built, and no script of a package runs.
pub(super) fn install(apt: &mut Apt, folder: &Path, packages: &[&str]) -> Result<(), String> {
    if !has_pip() {
        apt.install(&["python3", "python3-pip"])?;
    }
    install_whole(folder, |partial| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"])
            .args(["--disable-pip-version-check", "--no-warn-script-location"])
            .env("PIP_ROOT_USER_ACTION", "ignore")
            .args(packages)
            .arg("--target")
            .arg(partial);
        step::run_quietly(&mut pip)
    })
}

fn has_pip() -> bool {
    program("python3").is_some_and(|python| {
        Command::new(python)
            .args(["-m", "pip", "--version"])
            .output()
            .is_ok_and(|output| output.status.success())
    })
}
