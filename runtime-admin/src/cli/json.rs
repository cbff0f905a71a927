//! Messages as JSON: the canonical JSON of protocol buffers with the field names of the `.proto` files, so that what
//! `-o json` prints is what any other client of the API sees.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Serializer;
use serde_json::ser::Formatter;

static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(runtime_proto::FILE_DESCRIPTOR_SET)
        .expect("the descriptors were compiled with this crate")
});

/// A message on one line: every field in the order of its number, 64-bit numbers as numbers.
pub(super) fn line<M: Message + Name>(message: &M) -> String {
    let mut json = Vec::new();
    write(message, &mut Serializer::new(&mut json));
    text(json)
}

/// A message over several lines, for people.
pub(super) fn pretty<M: Message + Name>(message: &M) -> String {
    let mut json = Vec::new();
    write(message, &mut Serializer::pretty(&mut json));
    text(json)
}

fn write<M: Message + Name, F: Formatter>(message: &M, serializer: &mut Serializer<&mut Vec<u8>, F>) {
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false)
        .stringify_64_bit_integers(false);
    let descriptor = DESCRIPTORS.get_message_by_name(&M::full_name()).expect("a message of the API");
    DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .expect("a message of the API reads back")
        .serialize_with_options(serializer, &options)
        .expect("a message of the API has a JSON form");
}

fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).expect("JSON is text")
}

#[cfg(test)]
mod tests {
    use runtime_proto::v1;

    use super::*;

    #[test]
    fn a_message_keeps_its_field_names_and_order_and_says_what_is_zero() {
        let stats = v1::QueueStats { live: u64::from(u32::MAX) + 1, ..Default::default() };
        assert_eq!(line(&stats), r#"{"live":4294967296,"capacity":0,"shed":0}"#);
        assert_eq!(pretty(&stats).lines().count(), 5);
    }
}
