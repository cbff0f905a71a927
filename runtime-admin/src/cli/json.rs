//! Documents as JSON and YAML. Messages go by the canonical JSON of protocol buffers with the field names of the `.proto` files, so that what
//! `-o json` prints is what any other client of the API sees.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde::Serialize;
use serde_json::Serializer;

use super::terminal::escaped;
use super::yaml::Yaml;

static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(runtime_proto::FILE_DESCRIPTOR_SET)
        .expect("the descriptors were compiled with this crate")
});

/// A message of the API as a document: every field in the order of its number, 64-bit numbers as numbers.
pub(super) struct Wire<'a, M>(pub(super) &'a M);

impl<M: Message + Name> Serialize for Wire<'_, M> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let options = SerializeOptions::new()
            .use_proto_field_name(true)
            .skip_default_fields(false)
            .stringify_64_bit_integers(false);
        let descriptor = DESCRIPTORS.get_message_by_name(&M::full_name()).expect("a message of the API");
        DynamicMessage::decode(descriptor, self.0.encode_to_vec().as_slice())
            .expect("a message of the API reads back")
            .serialize_with_options(serializer, &options)
    }
}

/// A document on one line.
pub(super) fn line(document: &impl Serialize) -> String {
    let mut json = Vec::new();
    text(document.serialize(&mut Serializer::new(&mut json)), json)
}

/// A document over several lines, for people.
pub(super) fn pretty(document: &impl Serialize) -> String {
    let mut json = Vec::new();
    text(document.serialize(&mut Serializer::pretty(&mut json)), json)
}

/// A document as YAML.
pub(super) fn yaml(document: &impl Serialize) -> String {
    let mut yaml = Vec::new();
    let written = document.serialize(&mut Serializer::with_formatter(&mut yaml, Yaml::default()));
    // Nothing stands behind a key whose value begins on the next line. No text holds a line's end as it is.
    text(written, yaml).replace(": \n", ":\n")
}

fn text(written: serde_json::Result<()>, bytes: Vec<u8>) -> String {
    written.expect("what is shown has a JSON form");
    escaped(&String::from_utf8(bytes).expect("JSON is text"))
}

#[cfg(test)]
mod tests {
    use runtime_proto::v1;

    use super::*;

    #[test]
    fn a_message_keeps_its_field_names_and_order_and_says_what_is_zero() {
        let stats = v1::QueueStats { live: u64::from(u32::MAX) + 1, ..Default::default() };
        assert_eq!(line(&Wire(&stats)), r#"{"live":4294967296,"capacity":0,"shed":0}"#);
        assert_eq!(pretty(&Wire(&stats)).lines().count(), 5);
        assert_eq!(yaml(&Wire(&stats)), "live: 4294967296\ncapacity: 0\nshed: 0");
    }
}
