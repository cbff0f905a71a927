//! Finds the real servers that tests talk to, or installs them: Debian packages through apt where it may, everything
//! else into `.servers/` of the checkout, which nothing but the tests uses.
//!
//! The public data that some tests read is got in the same way, into `.servers/data/`.
//!
//! Finding comes first and costs next to nothing. All servers are tried before any failure is reported, so that one
//! run tells everything that is missing.

mod apt;
mod corpus;
mod deny;
mod dovecot;
mod llvm;
mod pip;
mod public_data;
mod wheels;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::failure::{Failure, Missing};
use crate::step::seconds;
use crate::workspace::Workspace;
use apt::Apt;

/// Where one thing is, and the variable that tells the tests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) variable: &'static str,
    pub(crate) path: PathBuf,
}

/// What every server of this list can do: say where it is, and get itself installed.
trait Server {
    fn name(&self) -> &'static str;

    /// Where it is, or `None` when it has to be installed. An error means that what is there cannot be used.
    fn find(&self) -> Result<Option<Vec<Place>>, String>;

    /// Installs it. The error says what failed and what a person can do about it.
    fn install(&self, apt: &mut Apt) -> Result<(), String>;
}

/// Finds or installs all servers; fails naming each that could not be had.
pub(crate) fn find_or_install(workspace: &Workspace) -> Result<Vec<Place>, Failure> {
    let folder = workspace.servers_dir();
    fs::create_dir_all(&folder).map_err(Failure::io(format!("make {}", folder.display())))?;
    let mut servers: Vec<Box<dyn Server>> =
        vec![Box::new(dovecot::Dovecot::of_this_machine()), Box::new(corpus::Corpus::in_folder(&folder))];
    servers.extend(wheels::Wheels::in_folder(&folder).map(|wheels| Box::new(wheels) as Box<dyn Server>));
    servers.extend(public_data_sets(&folder));
    find_or_install_all(&servers)
}

fn public_data_sets(folder: &Path) -> impl Iterator<Item = Box<dyn Server>> {
    public_data::PublicData::in_folder(folder).map(|set| Box::new(set) as Box<dyn Server>)
}

fn find_or_install_all(servers: &[Box<dyn Server>]) -> Result<Vec<Place>, Failure> {
    let mut apt = Apt::of_this_machine();
    let mut places = Vec::new();
    let mut missing = Vec::new();
    for server in servers {
        match find_or_install_one(server.as_ref(), &mut apt) {
            Ok(found) => places.extend(found),
            Err(reason) => missing.push(Missing { server: server.name(), reason }),
        }
    }
    if missing.is_empty() { Ok(places) } else { Err(Failure::Missing(missing)) }
}

/// Finds or installs the programs that read coverage; the answer is their folder.
pub(crate) fn coverage_tools(workspace: &Workspace) -> Result<PathBuf, Failure> {
    find_or_install_tool(&llvm::Llvm::in_folder(&workspace.servers_dir()))
}

/// Finds or installs cargo-deny; the answer is the program.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<PathBuf, Failure> {
    find_or_install_tool(&deny::CargoDeny::in_folder(&workspace.servers_dir()))
}

/// The same for what no test needs, and is not among the servers therefore.
fn find_or_install_tool(tool: &dyn Server) -> Result<PathBuf, Failure> {
    let found = find_or_install_one(tool, &mut Apt::of_this_machine());
    let place = found.and_then(|mut places| places.pop().ok_or("it says no place".into()));
    place
        .map(|place| place.path)
        .map_err(|reason| Failure::Missing(vec![Missing { server: tool.name(), reason }]))
}

/// Prints the places as lines a shell can evaluate; everything else goes to standard error.
pub(crate) fn print_places(workspace: &Workspace) -> Result<(), Failure> {
    print_exports(&find_or_install(workspace)?);
    Ok(())
}

/// The same for the public data alone.
pub(crate) fn print_data_places(workspace: &Workspace) -> Result<(), Failure> {
    let sets: Vec<_> = public_data_sets(&workspace.servers_dir()).collect();
    print_exports(&find_or_install_all(&sets)?);
    Ok(())
}

fn print_exports(places: &[Place]) {
    for place in places {
        println!("{}", export(place));
    }
}

fn find_or_install_one(server: &dyn Server, apt: &mut Apt) -> Result<Vec<Place>, String> {
    let name = server.name();
    if let Some(places) = server.find()? {
        eprintln!("==> {name}: found {}", shown(&places));
        return Ok(places);
    }
    eprintln!("==> {name}: not found, installing");
    let started = Instant::now();
    server.install(apt)?;
    let places = server.find()?.ok_or("the installation went well, yet it is not where it should be")?;
    eprintln!("==> {name}: installed in {}: {}", seconds(started.elapsed()), shown(&places));
    Ok(places)
}

fn shown(places: &[Place]) -> String {
    places.iter().map(|place| place.path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn export(place: &Place) -> String {
    format!("export {}='{}'", place.variable, place.path.display().to_string().replace('\'', r"'\''"))
}

/// Fills `folder` by `fill`, which gets an empty folder beside it. The name appears only when everything is in it, so
/// that an installation cut short is never mistaken for a whole one; of two at a time the first wins.
fn install_whole(folder: &Path, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    let mut partial = folder.as_os_str().to_owned();
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = PathBuf::from(partial);
    let told = |error: std::io::Error| format!("{}: {error}", partial.display());
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(told)?;
    }
    fs::create_dir_all(&partial).map_err(told)?;
    let filled = fill(&partial).and_then(|()| match fs::rename(&partial, folder) {
        Err(error) if !folder.exists() => Err(told(error)),
        _ => Ok(()),
    });
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(told)?;
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_survives_a_shell() {
        let place = Place { variable: "RUNTIME_X", path: "/home/o'hara/x y".into() };
        assert_eq!(export(&place), r"export RUNTIME_X='/home/o'\''hara/x y'");
    }

    #[test]
    fn an_installation_cut_short_leaves_nothing_behind() {
        let world = std::env::temp_dir().join(format!("xtask-install-{}", std::process::id()));
        let folder = world.join("thing-1.0");

        let cut_short = install_whole(&folder, |partial| {
            fs::write(partial.join("half"), "").map_err(|error| error.to_string())?;
            Err("the line was cut".into())
        });
        assert_eq!(cut_short, Err("the line was cut".into()));
        assert_eq!(fs::read_dir(&world).expect("the parent folder").count(), 0);

        let whole = install_whole(&folder, |partial| {
            fs::write(partial.join("all"), "").map_err(|error| error.to_string())
        });
        assert_eq!(whole, Ok(()));
        assert!(folder.join("all").is_file());
        assert_eq!(fs::read_dir(&world).expect("the parent folder").count(), 1);
        fs::remove_dir_all(&world).expect("clean up");
    }
}
