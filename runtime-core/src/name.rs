//! Names and keys: outside text becomes one of these once, at the edge, and is trusted from there on.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The text does not fit the rules of the name it should become.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
pub struct InvalidName {
    what: &'static str,
    text: String,
    rule: &'static str,
}

const SLUG: &str = "1 to 64 of a-z, 0-9, '-', '_' and '.', starting with a letter or a digit";
const KEY: &str = "1 to 256 printable characters";

fn is_slug(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= 256 && !text.chars().any(char::is_control)
}

/// A cheap-to-clone text with a rule that every value obeys.
macro_rules! text_type {
    ($($(#[$doc:meta])* $name:ident: $what:literal, $rule:ident, $check:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text against the rule of this type.
            ///
            /// # Errors
            /// [`InvalidName`] with the rule, when the text breaks it.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
                let text = text.as_ref();
                if $check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName { what: $what, text: text.chars().take(80).collect(), rule: $rule })
                }
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

text_type! {
    /// An app: a named set of modules.
    AppName: "app name", SLUG, is_slug;
    /// A queue.
    QueueName: "queue name", SLUG, is_slug;
    /// A handler, as tasks name it.
    HandlerName: "handler name", SLUG, is_slug;
    /// A worker.
    WorkerName: "worker name", SLUG, is_slug;
    /// A source.
    SourceName: "source name", SLUG, is_slug;
    /// Something outside that handlers call, with a breaker around it.
    DependencyName: "dependency name", SLUG, is_slug;
    /// A schedule.
    ScheduleName: "schedule name", SLUG, is_slug;
    /// A step of a handler that has an effect outside.
    StepName: "step name", SLUG, is_slug;
    /// A person or a service that calls the admin API.
    PrincipalName: "principal name", SLUG, is_slug;
    /// What a principal calls one of its tokens.
    TokenName: "token name", SLUG, is_slug;
    /// One running process.
    InstanceName: "instance name", KEY, is_key;
    /// Whose work a task is.
    Tenant: "tenant", KEY, is_key;
    /// The part of the world a task concerns, written `store=42`.
    Scope: "scope", KEY, is_key;
    /// Same key, same task.
    IdempotencyKey: "idempotency key", KEY, is_key;
    /// Tasks of one ordering key run one at a time, in order.
    OrderingKey: "ordering key", KEY, is_key;
    /// The lane of a task: its tenant, its scope or another expression of it. Limits hold for each lane.
    FlowKey: "flow key", KEY, is_key;
    /// What a chain of tasks has in common, chosen by whoever began it.
    CorrelationId: "correlation id", KEY, is_key;
    /// What a caller calls one of its requests: the same id, the same request.
    RequestId: "request id", KEY, is_key;
}

/// Where a task goes: shared by all tasks of one kind, so that it is stored and cloned once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The app that owns the task.
    pub app: AppName,
    /// The queue that keeps it.
    pub queue: QueueName,
    /// The handler that runs it.
    pub handler: HandlerName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_checked_once_at_the_edge() {
        assert!(QueueName::new("mail.orders-2").is_ok());
        for bad in ["", "Mail", "-x", "a b", "ü", &"x".repeat(65)] {
            assert!(QueueName::new(bad).is_err(), "{bad:?}");
        }
        assert!(Scope::new("store=42").is_ok());
        assert!(IdempotencyKey::new("line\nbreak").is_err());
        assert!(serde_json::from_str::<QueueName>("\"A\"").is_err());
    }
}
