//! Where a command goes, and as whom.
//!
//! What stands on the command line comes first, a profile that was named there included; then the environment; then the profile that the
//! environment names, or else the one called `default`; then what is built in. Whoever names an endpoint and no profile gets no profile.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{Common, Format};
use super::profiles::{Profile, ProfileError, Profiles};
use super::{
    CA_VARIABLE, CLIENT_CERT_VARIABLE, CLIENT_KEY_VARIABLE, ENDPOINT_VARIABLE, PROFILE_VARIABLE,
    TOKEN_FILE_VARIABLE, TOKEN_VARIABLE,
};
use crate::client::{ClientTls, DEFAULT_ENDPOINT};

/// The profile for looking, when nobody says where.
const DEFAULT_PROFILE: &str = "default";

/// How long an answer may take when nothing else is said.
const DEFAULT_TIMEOUT_SECS: u32 = 30;

/// What others may not do to a file with a token: anything. Its group may read it.
const FORBIDDEN_MODE: u32 = 0o027;

/// Why it cannot be made out where a command goes, or as whom.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    /// The profiles cannot be used.
    #[error(transparent)]
    Profiles(#[from] ProfileError),
    /// The file with the token cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Others can read the token, or put another in its place.
    #[error("the token file {} is open to others (mode {mode:03o}): chmod 600 closes it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// The server that is asked, as people name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) endpoint: String,
    pub(super) profile: Option<String>,
    /// Whether somebody named it for this command, or it is the machine's own.
    named: bool,
}

impl Place {
    /// Whether something may be changed there: what a file alone says is for looking.
    pub(super) fn is_named(&self) -> bool {
        self.named
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoint)?;
        self.profile.as_ref().map_or(Ok(()), |profile| write!(f, " (profile {profile})"))
    }
}

/// A value, and who said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting<T> {
    pub(super) value: T,
    pub(super) origin: String,
}

/// All that a command needs to know of its server.
#[derive(Debug)]
pub(super) struct Target {
    /// All there are.
    pub(super) profiles: Profiles,
    pub(super) profile: Option<Setting<String>>,
    pub(super) endpoint: Setting<String>,
    pub(super) token_file: Option<Setting<PathBuf>>,
    pub(super) ca: Option<Setting<PathBuf>>,
    /// A certificate and its key come from the same place.
    pub(super) identity: Option<Setting<(PathBuf, PathBuf)>>,
    pub(super) output: Setting<Format>,
    pub(super) timeout_secs: Setting<u32>,
}

impl Target {
    /// Puts it together; `named` is the profile of the command line.
    pub(super) fn of(
        args: &Common,
        named: Option<&str>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, TargetError> {
        let said = |name: &'static str| variable(name).filter(|text| !text.is_empty());
        let profiles = Profiles::of(args.config.as_deref(), variable)?;
        let chosen = match (named, said(PROFILE_VARIABLE)) {
            (Some(name), _) => Some((name.to_owned(), "--profile")),
            (None, Some(name)) => Some((name, PROFILE_VARIABLE)),
            (None, None) if args.endpoint.is_some() || said(ENDPOINT_VARIABLE).is_some() => None,
            (None, None) => profiles.has(DEFAULT_PROFILE).then(|| (DEFAULT_PROFILE.to_owned(), "built in")),
        };
        let profile = chosen.as_ref().map(|(name, _)| profiles.get(name)).transpose()?;
        let layers = Layers {
            profile: profile.zip(chosen.as_ref().map(|(name, _)| format!("profile {name}"))),
            named_on_the_line: named.is_some(),
            said: &said,
        };
        let built_in = DEFAULT_ENDPOINT.to_owned();
        let endpoint = layers
            .pick(args.endpoint.clone(), "--endpoint", Some(ENDPOINT_VARIABLE), |profile| {
                profile.endpoint.clone()
            })
            .unwrap_or_else(|| Setting { value: built_in, origin: "built in".to_owned() });
        // The files of the environment are for endpoints with TLS alone.
        let without_tls = endpoint.value.starts_with("http://") || endpoint.value.starts_with("unix:");
        let for_tls = |name: &'static str| (!without_tls).then_some(name);
        let given = args.client_cert.clone().zip(args.client_key.clone());
        Ok(Self {
            profile: chosen
                .as_ref()
                .map(|(value, origin)| Setting { value: value.clone(), origin: (*origin).to_owned() }),
            token_file: layers.pick(
                args.token_file.clone(),
                "--token-file",
                Some(TOKEN_FILE_VARIABLE),
                |profile| profile.token_file.clone(),
            ),
            ca: layers.pick(args.ca.clone(), "--ca", for_tls(CA_VARIABLE), |profile| profile.ca.clone()),
            identity: layers.pick_with(
                given,
                "--client-cert",
                || {
                    let pair = (said(for_tls(CLIENT_CERT_VARIABLE)?)?, said(CLIENT_KEY_VARIABLE)?);
                    Some(((PathBuf::from(pair.0), PathBuf::from(pair.1)), CLIENT_CERT_VARIABLE))
                },
                |profile| profile.client_cert.clone().zip(profile.client_key.clone()),
            ),
            output: layers
                .pick_with(args.output, "--output", || None, |profile| profile.output)
                .unwrap_or_else(|| Setting { value: Format::default(), origin: "built in".to_owned() }),
            timeout_secs: layers
                .pick_with(args.timeout_secs, "--timeout-secs", || None, |profile| profile.timeout_secs)
                .map(|known| Setting { value: known.value.get(), origin: known.origin })
                .unwrap_or_else(|| Setting { value: DEFAULT_TIMEOUT_SECS, origin: "built in".to_owned() }),
            endpoint,
            profiles,
        })
    }

    /// The server, as people name it.
    pub(super) fn place(&self) -> Place {
        let said = |origin: &str| origin != "built in";
        let named = match &self.profile {
            Some(profile) => said(&profile.origin),
            None => true,
        };
        Place {
            named: named || self.endpoint.value == DEFAULT_ENDPOINT,
            endpoint: self.endpoint.value.clone(),
            profile: self.profile.as_ref().map(|profile| profile.value.clone()),
        }
    }

    /// The files for TLS.
    pub(super) fn tls(&self) -> ClientTls {
        ClientTls {
            ca: self.ca.as_ref().map(|known| known.value.clone()),
            identity: self.identity.as_ref().map(|known| known.value.clone()),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_secs.value.into())
    }

    /// The token of whoever asks: never from the command line, which everybody on the machine can read.
    pub(super) fn token(
        &self,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, TargetError> {
        match &self.token_file {
            Some(file) => token_in(&file.value).map(Some),
            None => Ok(variable(TOKEN_VARIABLE).filter(|token| !token.is_empty())),
        }
    }
}

/// What is asked, one after the other.
struct Layers<'a> {
    profile: Option<(&'a Profile, String)>,
    /// The profile stands beside the flags, above the environment.
    named_on_the_line: bool,
    said: &'a dyn Fn(&'static str) -> Option<String>,
}

impl Layers<'_> {
    fn pick<T: From<String>>(
        &self,
        flag: Option<T>,
        flag_name: &str,
        variable: Option<&'static str>,
        of: impl Fn(&Profile) -> Option<T>,
    ) -> Option<Setting<T>> {
        let environment = || variable.and_then(|name| Some((T::from((self.said)(name)?), name)));
        self.pick_with(flag, flag_name, environment, of)
    }

    fn pick_with<T>(
        &self,
        flag: Option<T>,
        flag_name: &str,
        environment: impl Fn() -> Option<(T, &'static str)>,
        of: impl Fn(&Profile) -> Option<T>,
    ) -> Option<Setting<T>> {
        let profile = || {
            let (profile, name) = self.profile.as_ref()?;
            Some(Setting { value: of(profile)?, origin: name.clone() })
        };
        let environment = || environment().map(|(value, name)| Setting { value, origin: name.to_owned() });
        let flag = flag.map(|value| Setting { value, origin: flag_name.to_owned() });
        if self.named_on_the_line {
            flag.or_else(profile).or_else(environment)
        } else {
            flag.or_else(environment).or_else(profile)
        }
    }
}

fn token_in(path: &Path) -> Result<String, TargetError> {
    let unreadable = |source| TargetError::Unreadable { path: path.to_owned(), source };
    let known = std::fs::metadata(path).map_err(unreadable)?;
    let mode = known.permissions().mode() & 0o777;
    // A pipe is open to its two ends alone.
    if known.is_file() && mode & FORBIDDEN_MODE != 0 {
        return Err(TargetError::Exposed { path: path.to_owned(), mode });
    }
    Ok(std::fs::read_to_string(path).map_err(unreadable)?.trim().to_owned())
}
