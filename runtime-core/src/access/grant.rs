//! Roles, and the part of the world they are for.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a principal may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Steer what runs.
    Operator,
    /// Everything, also what cannot be undone and who may do what.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The name used in grants, logs and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a grant: {rule}")]
pub struct InvalidGrant {
    text: String,
    rule: &'static str,
}

const RULE: &str =
    "viewer, operator or admin, for a part alone with its resource prefix, such as operator:apps/shop";
const PREFIX_RULE: &str = "a resource prefix is apps, nodes, queues, workers, schedules or tasks with a name, without a slash at its end";

/// The beginning of resource names, whole segments: `apps/shop` covers `apps/shop` and what lies under it, but not `apps/shop2`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourcePrefix(Arc<str>);

impl ResourcePrefix {
    const COLLECTIONS: [&'static str; 6] = ["apps", "nodes", "queues", "workers", "schedules", "tasks"];

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` is the resource of this name, or lies under it.
    pub fn covers(&self, name: &str) -> bool {
        name.strip_prefix(&*self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for ResourcePrefix {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut segments = text.split('/');
        let collection = segments.next().unwrap_or_default();
        let known = Self::COLLECTIONS.contains(&collection);
        let is_name = |segment: &str| {
            !segment.is_empty() && !segment.chars().any(|c| c.is_control() || c.is_whitespace())
        };
        if known && text.len() > collection.len() && text.len() <= 512 && segments.all(is_name) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidGrant { text: text.chars().take(80).collect(), rule: PREFIX_RULE })
        }
    }
}

impl fmt::Display for ResourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A role, for everything or for a part. Written `operator` or `operator:apps/shop`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// What may be done.
    pub role: Role,
    /// To what; `None` is everything.
    pub part: Option<ResourcePrefix>,
}

impl Grant {
    /// The role for everything.
    pub fn whole(role: Role) -> Self {
        Self { role, part: None }
    }

    /// Whether it allows what needs `role` to be done to `target`.
    fn allows(&self, role: Role, names: &[String]) -> bool {
        let covers = |part: &ResourcePrefix| names.iter().any(|name| part.covers(name));
        self.role >= role && self.part.as_ref().is_none_or(covers)
    }
}

/// Whether `grants` together allow what needs `role` to be done to `target`.
pub(super) fn allow(grants: &[Grant], role: Role, target: &Target) -> bool {
    let any = |names: &[String]| grants.iter().any(|grant| grant.allows(role, names));
    match target {
        Target::Nothing => grants.iter().any(|grant| grant.role >= role),
        Target::Whole => any(&[]),
        Target::Things(things) => !things.is_empty() && things.iter().all(|names| any(names)),
    }
}

impl FromStr for Grant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (role, part) = match text.split_once(':') {
            Some((role, part)) => (role, Some(part.parse()?)),
            None => (text, None),
        };
        let role = Role::ALL.into_iter().find(|known| known.as_str() == role);
        let invalid = || InvalidGrant { text: text.chars().take(80).collect(), rule: RULE };
        Ok(Self { role: role.ok_or_else(invalid)?, part })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Some(part) => write!(f, "{}:{part}", self.role),
            None => write!(f, "{}", self.role),
        }
    }
}

impl Serialize for Grant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nothing in particular: who this is, and how it is. Any grant will do.
    Nothing,
    /// The runtime as a whole, or many things at once: a grant for everything is needed.
    Whole,
    /// These things, all of them. Each goes by one name or more, and a grant for one of its names is enough: a task is covered by its own
    /// name, by its app's and by its queue's.
    Things(Vec<Vec<String>>),
}

impl Target {
    /// One thing that goes by these names.
    pub fn thing(names: impl IntoIterator<Item = String>) -> Self {
        Self::Things(vec![names.into_iter().collect()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(texts: &[&str]) -> Vec<Grant> {
        texts.iter().map(|text| text.parse().expect("a grant")).collect()
    }

    #[test]
    fn a_grant_is_written_as_it_was_read() {
        for text in ["viewer", "operator:apps/shop", "admin:nodes/engine/apps/shop", "operator:queues/mail"] {
            assert_eq!(text.parse::<Grant>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "root",
            "Viewer",
            "operator:",
            "operator:apps",
            "operator:apps/",
            "operator:apps//x",
            "operator:x/y",
            "operator:apps/a b",
            "viewer:apps/shop/",
        ] {
            assert!(bad.parse::<Grant>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_covers_whole_segments() {
        let prefix: ResourcePrefix = "apps/shop".parse().unwrap();
        assert!(prefix.covers("apps/shop") && prefix.covers("apps/shop/x"));
        for other in ["apps/shop2", "apps/sho", "apps", "", "queues/shop"] {
            assert!(!prefix.covers(other), "{other}");
        }
    }

    #[test]
    fn what_is_allowed_follows_the_table() {
        let (nothing, whole) = (Target::Nothing, Target::Whole);
        let shop = Target::thing(["tasks/1".to_owned(), "apps/shop".into(), "queues/mail".into()]);
        let books = Target::thing(["tasks/2".to_owned(), "apps/books".into(), "queues/mail".into()]);
        let both = Target::Things(vec![vec!["apps/shop".into()], vec!["apps/books".into()]]);
        use Role::{Admin, Operator, Viewer};
        for (held, role, target, allowed) in [
            (&["viewer"][..], Viewer, &whole, true),
            (&["viewer"], Operator, &nothing, false),
            (&["admin"], Operator, &both, true),
            (&["operator:apps/shop"], Operator, &shop, true),
            (&["operator:apps/shop"], Viewer, &shop, true),
            (&["operator:apps/shop"], Admin, &shop, false),
            (&["operator:apps/shop"], Operator, &books, false),
            (&["operator:queues/mail"], Operator, &books, true),
            (&["operator:apps/shop"], Operator, &both, false),
            (&["operator:apps/shop", "operator:apps/books"], Operator, &both, true),
            (&["viewer", "operator:apps/shop"], Viewer, &books, true),
            (&["viewer", "operator:apps/shop"], Operator, &books, false),
            (&["operator:apps/shop"], Viewer, &nothing, true),
            (&["operator:apps/shop"], Viewer, &whole, false),
            (&[], Viewer, &nothing, false),
            (&["admin"], Viewer, &Target::Things(Vec::new()), false),
        ] {
            assert_eq!(allow(&grants(held), role, target), allowed, "{held:?} {role} {target:?}");
        }
    }
}
