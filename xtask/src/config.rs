//! `cargo xtask config`: the schema and the commented example of each app's configuration, as the app itself prints them.
//!
//! They are in the repository so that a change of the configuration is seen where changes are read; a test says when they are stale.

use std::fs;
use std::process::Stdio;

use crate::failure::Failure;
use crate::step;
use crate::workspace::Workspace;

/// The apps, each with a folder of its name under `apps/`.
const APPS: [&str; 2] = ["mail-order-bot", "storefront"];

/// What `config` of an app prints, and where that is kept.
const FILES: [(&str, &str); 2] = [("schema", "schema.json"), ("example", "example.toml")];

pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    for app in APPS {
        let folder = workspace.root().join("apps").join(app).join("config");
        fs::create_dir_all(&folder).map_err(Failure::io(format!("make {}", folder.display())))?;
        for (verb, file) in FILES {
            let mut cargo = workspace.cargo();
            cargo.args(["run", "--quiet", "--package", app, "--", "config", verb]).stderr(Stdio::inherit());
            let name = step::shown(&cargo);
            let output = cargo.output().map_err(Failure::io(name.clone()))?;
            step::passed(&name, output.status)?;
            let path = folder.join(file);
            fs::write(&path, output.stdout).map_err(Failure::io(format!("write {}", path.display())))?;
            eprintln!("==> wrote apps/{app}/config/{file}");
        }
    }
    Ok(())
}
