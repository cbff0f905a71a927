//! Dead letters in groups.

use runtime_core::store::DeadGroup;
use runtime_proto::v1;

use super::{app_name, queue_name, task_name, timestamp};

/// A group, for the wire.
pub(crate) fn dead_letter_group(group: &DeadGroup) -> v1::DeadLetterGroup {
    v1::DeadLetterGroup {
        app: app_name(&group.app),
        queue: queue_name(&group.queue),
        handler: group.handler.to_string(),
        code: group.code.as_str().to_owned(),
        code_name: group.code.name().to_owned(),
        error_class: group.code.class().as_str().to_owned(),
        count: group.count,
        oldest_at: Some(timestamp(group.oldest)),
        newest_at: Some(timestamp(group.newest)),
        example: task_name(group.example),
        at_least: !group.whole,
    }
}
