//! What is watched.

/// One form of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nobody watches: what the others are compared with.
    Nobody,
    /// Nodes and queues.
    Narrow,
    /// As `runtimectl events --watch` does: everything but single tasks.
    Usual,
    /// With `--count`: everything, of tasks how many, queue by queue.
    Counted,
    /// Everything, each task by itself.
    Every,
}

impl Form {
    pub(crate) const ALL: [Self; 5] = [Self::Nobody, Self::Narrow, Self::Usual, Self::Counted, Self::Every];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Narrow => "narrow",
            Self::Usual => "usual",
            Self::Counted => "counted",
            Self::Every => "every",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Nobody => "nobody watches",
            Self::Narrow => "nodes and queues alone",
            Self::Usual => "events --watch",
            Self::Counted => "events --watch --count",
            Self::Every => "every single task",
        }
    }

    pub(crate) fn filter(self) -> &'static str {
        match self {
            Self::Nobody | Self::Usual | Self::Counted => "",
            Self::Narrow => "resource:nodes/ OR resource:queues/",
            // What names a type of theirs means single tasks too; what names all types means everything.
            Self::Every => "type:task_ OR NOT type:task_",
        }
    }
}
