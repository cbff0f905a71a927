//! Secrets are named in the configuration, never written there.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::shape::{EXPECTED, SECRET};

const RULE: &str = "a reference to a secret, \"file:PATH\" or \"env:NAME\", never the secret itself";

/// More is no secret.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where a secret is kept: `file:PATH` or `env:NAME`. A literal is refused and never repeated in a message. The
/// reference itself is no secret and may be shown; what it [resolves](Self::resolve) to cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// The content of a file, without its trailing line break.
    File(PathBuf),
    /// The value of an environment variable.
    Env(String),
}

impl SecretRef {
    /// Reads a reference.
    ///
    /// # Errors
    /// [`SecretError::NoReference`] when `text` has neither form; the text is not repeated, since it may be the secret.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            _ => Err(SecretError::NoReference),
        }
    }

    /// Fetches the secret.
    ///
    /// # Errors
    /// [`SecretError`] when the file cannot be read, the variable is not set, or there is nothing in it.
    pub fn resolve(&self) -> Result<SecretString, SecretError> {
        let secret = match self {
            Self::File(path) => {
                content(path).map_err(|source| SecretError::Unreadable { path: path.clone(), source })?
            }
            Self::Env(name) => env::var(name).map_err(|_| SecretError::NotSet { variable: name.clone() })?,
        };
        let secret = SecretString::from(secret);
        let text = secrecy::ExposeSecret::expose_secret(&secret).trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(SecretError::Empty { reference: self.to_string() });
        }
        Ok(SecretString::from(text))
    }
}

/// What a file holds. What has no end, as a device may, or may never begin, as a pipe, keeps nobody waiting: it is no file.
fn content(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for SecretRef {
    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(file|env):.+",
            "examples": ["file:/run/secrets/name"],
            SECRET: true,
            EXPECTED: RULE,
        })
    }
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The text names no place.
    #[error("expected {RULE}")]
    NoReference,
    /// The file cannot be read.
    #[error("secret file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The variable is absent, or no text.
    #[error("environment variable {variable} with a secret is not set")]
    NotSet {
        /// The variable.
        variable: String,
    },
    /// Whoever guesses could find it.
    #[error("secret {reference} is too short: it needs {least} bytes")]
    TooShort {
        /// The reference.
        reference: String,
        /// Bytes that it needs.
        least: usize,
    },
    /// There is nothing but line breaks.
    #[error("secret {reference} is empty")]
    Empty {
        /// The reference.
        reference: String,
    },
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_file_gives_its_text_without_the_line_break() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        fs::write(&path, "canary\n").expect("written");
        let reference = SecretRef::parse(&format!("file:{}", path.display())).expect("a reference");
        let secret = reference.resolve().expect("a secret");
        assert_eq!(secret.expose_secret(), "canary");
        assert!(!format!("{secret:?} {reference:?} {reference}").contains("canary"));
    }

    #[test]
    fn what_is_absent_or_empty_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = folder.path().join("empty");
        fs::write(&empty, "\n").expect("written");
        assert!(matches!(SecretRef::File(empty).resolve(), Err(SecretError::Empty { .. })));
        let missing = folder.path().join("missing");
        assert!(matches!(SecretRef::File(missing).resolve(), Err(SecretError::Unreadable { .. })));
        let unset = SecretRef::Env("RUNTIME_TEST_VARIABLE_THAT_NOBODY_SETS".into());
        assert!(matches!(unset.resolve(), Err(SecretError::NotSet { .. })));
        assert!(SecretRef::Env("PATH".into()).resolve().is_ok());
    }

    #[test]
    fn what_may_never_end_or_never_begin_is_no_file_of_a_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, content).expect("written");
            path
        };
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
        assert!(made.success());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(file("token", b"canary"), &link).expect("linked");
        for unusable in [
            pipe,
            "/dev/zero".into(),
            folder.path().to_owned(),
            file("large", &[b'x'; 65_537]),
            file("bytes", &[0xff]),
        ] {
            let error = SecretRef::File(unusable.clone()).resolve().expect_err("no secret");
            assert!(matches!(error, SecretError::Unreadable { .. }), "{}: {error}", unusable.display());
        }
        let linked = SecretRef::File(link).resolve().expect("where a link leads is a file");
        assert_eq!(linked.expose_secret(), "canary");
    }

    #[test]
    fn a_literal_is_refused_without_being_repeated() {
        for literal in ["canary", "file:", "env:", "vault:canary", ""] {
            let error = SecretRef::parse(literal).expect_err("no reference");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
