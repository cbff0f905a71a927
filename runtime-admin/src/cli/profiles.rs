//! Profiles: servers by name, in a file. `runtimectl profile …` shows them.
//!
//! ```toml
//! [profiles.prod]
//! endpoint = "https://runtime.example:7070"
//! token_file = "prod.token"
//! ```
//!
//! A file holds no token, only where one is. Paths in it are seen from its folder.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CONFIG_VARIABLE;
use super::args::{Format, ProfileVerb};
use super::failure::Failure;
use super::output::Output;
use super::table::{Cell, Column, Sheet, Table};
use super::target::{Setting, Target};
use super::words::{NONE, clean};

/// Why profiles cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProfileError {
    /// The file cannot be read.
    #[error("cannot read the profiles in {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file does not say what a file of profiles says. What stands there is not repeated.
    #[error("{}, line {line}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// A certificate without its key, or a key without its certificate.
    #[error("{}, profile {profile}: client_cert and client_key go together", path.display())]
    Half {
        /// The file.
        path: PathBuf,
        /// The profile.
        profile: String,
    },
    /// No profile goes by that name.
    #[error("no profile {name}: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
}

/// What a profile says of a server.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) endpoint: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) client_cert: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
    pub(super) output: Option<Format>,
    pub(super) timeout_secs: Option<NonZeroU32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// The profiles there are.
#[derive(Debug, Default)]
pub(super) struct Profiles {
    /// Where they stand, or would.
    path: Option<PathBuf>,
    by_name: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Reads the file that is named, which has to be there; or else the one in the usual place, if it is.
    pub(super) fn of(
        named: Option<&Path>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ProfileError> {
        let said = |name: &str| variable(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        let usual = || {
            let folder = said("XDG_CONFIG_HOME").or_else(|| Some(said("HOME")?.join(".config")))?;
            Some(folder.join("runtimectl/config.toml"))
        };
        let named = named.map(Path::to_owned).or_else(|| said(CONFIG_VARIABLE));
        let Some(path) = named.clone().or_else(usual) else { return Ok(Self::default()) };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { path: Some(path), by_name: BTreeMap::new() });
            }
            Err(source) => return Err(ProfileError::Unreadable { path, source }),
        };
        let mut by_name = parsed(&text, &path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for (name, profile) in &mut by_name {
            if profile.client_cert.is_some() != profile.client_key.is_some() {
                return Err(ProfileError::Half { path: path.clone(), profile: name.clone() });
            }
            let files =
                [&mut profile.token_file, &mut profile.ca, &mut profile.client_cert, &mut profile.client_key];
            files.into_iter().flatten().for_each(|file| *file = folder.join(&*file));
        }
        Ok(Self { path: Some(path), by_name })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    pub(super) fn get(&self, name: &str) -> Result<&Profile, ProfileError> {
        self.by_name.get(name).ok_or_else(|| {
            let place = self.path.as_ref().map_or_else(String::new, |path| format!(" in {}", path.display()));
            let names = self.names().collect::<Vec<_>>().join(", ");
            let known =
                if names.is_empty() { format!("there is none{place}") } else { format!("{names}{place}") };
            ProfileError::Unknown { name: name.to_owned(), known }
        })
    }
}

fn parsed(text: &str, path: &Path) -> Result<BTreeMap<String, Profile>, ProfileError> {
    toml_edit::de::from_str::<Content>(text).map(|content| content.profiles).map_err(|error| {
        let before = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1;
        let problem = error.message().lines().next().unwrap_or("malformed").to_owned();
        ProfileError::Malformed { path: path.to_owned(), line, problem }
    })
}

/// A profile, or what is in force, as a document.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    endpoint: Option<String>,
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    output: Option<Format>,
    timeout_secs: Option<u32>,
}

pub(super) fn run(verb: &ProfileVerb, target: &Target, output: &mut Output<'_>) -> Result<(), Failure> {
    match verb {
        ProfileVerb::List => {
            let shown: Vec<_> =
                target.profiles.by_name.iter().map(|(name, profile)| listed(name, profile)).collect();
            let in_use = target.profile.as_ref().map(|profile| profile.value.as_str());
            let names = shown.iter().map(|one| (one.name.as_str(), one));
            output.documents(&shown, "profiles", names, |_| table(&shown, in_use))?;
        }
        ProfileVerb::Show { .. } => {
            let shown = in_force(target);
            output.document(&shown, &shown.name, |_, _| sheet(target).render(false))?;
        }
    }
    Ok(())
}

fn listed(name: &str, profile: &Profile) -> Shown {
    let Profile { endpoint, token_file, ca, client_cert, client_key, output, timeout_secs } = profile.clone();
    let timeout_secs = timeout_secs.map(NonZeroU32::get);
    Shown { name: name.to_owned(), endpoint, token_file, ca, client_cert, client_key, output, timeout_secs }
}

fn in_force(target: &Target) -> Shown {
    let (client_cert, client_key) = target.identity.clone().map(|known| known.value).unzip();
    Shown {
        name: target.profile.as_ref().map(|profile| profile.value.clone()).unwrap_or_default(),
        endpoint: Some(target.endpoint.value.clone()),
        token_file: target.token_file.clone().map(|known| known.value),
        ca: target.ca.clone().map(|known| known.value),
        client_cert,
        client_key,
        output: Some(target.output.value),
        timeout_secs: Some(target.timeout_secs.value),
    }
}

fn table(all: &[Shown], in_use: Option<&str>) -> Table {
    let mut table = Table::new([
        Column::text("NAME").gives(),
        Column::text("IN USE"),
        Column::text("ENDPOINT").gives(),
        Column::text("TOKEN FILE").wide(),
    ]);
    for one in all {
        let used = if in_use == Some(&one.name) { Cell::good("yes") } else { Cell::plain("no") };
        table.row([
            clean(&one.name).into(),
            used,
            one.endpoint.as_deref().map_or_else(|| NONE.to_owned(), clean).into(),
            one.token_file
                .as_ref()
                .map_or_else(|| NONE.to_owned(), |file| clean(&file.display().to_string()))
                .into(),
        ]);
    }
    table
}

/// Each setting with who said it.
fn sheet(target: &Target) -> Sheet {
    let mut sheet = Sheet::default();
    let mut line = |title, said: Option<(String, &str)>| {
        sheet.line(
            title,
            said.map_or_else(|| NONE.to_owned(), |(value, origin)| format!("{} ({origin})", clean(&value))),
        );
    };
    let path = |known: &Setting<PathBuf>| known.value.display().to_string();
    line("Profile", target.profile.as_ref().map(|known| (known.value.clone(), known.origin.as_str())));
    line("Endpoint", Some((target.endpoint.value.clone(), &target.endpoint.origin)));
    line("Token file", target.token_file.as_ref().map(|known| (path(known), known.origin.as_str())));
    line("Authorities", target.ca.as_ref().map(|known| (path(known), known.origin.as_str())));
    let certificate = |known: &Setting<(PathBuf, PathBuf)>| known.value.0.display().to_string();
    line("Certificate", target.identity.as_ref().map(|known| (certificate(known), known.origin.as_str())));
    line("Output", Some((target.output.value.to_string(), &target.output.origin)));
    line("Timeout", Some((format!("{} s", target.timeout_secs.value), &target.timeout_secs.origin)));
    sheet
}
