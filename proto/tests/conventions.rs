//! What holds for every file of the API: one service a file, wrapped and unshared requests and responses, enums whose zero
//! says nothing, names as strings, and a comment on everything. `buf lint` says the same and more, where it is installed.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(runtime_proto::FILE_DESCRIPTOR_SET).expect("a descriptor set");
    let ours: Vec<_> = set.file.into_iter().filter(|file| file.package() == "runtime.admin.v1").collect();
    assert!(ours.len() >= 10, "the package is there");
    ours
}

#[test]
fn a_file_holds_one_service_at_most_and_is_named_after_it() {
    for file in files() {
        assert!(file.service.len() <= 1, "{}", file.name());
        for service in &file.service {
            let words: String = service.name().chars().fold(String::new(), |mut words, c| {
                if c.is_uppercase() && !words.is_empty() {
                    words.push('_');
                }
                words.push(c.to_ascii_lowercase());
                words
            });
            assert_eq!(file.name(), format!("runtime/admin/v1/{words}.proto"));
            assert!(service.name().ends_with("Service"));
        }
    }
}

#[test]
fn every_method_has_a_request_and_a_response_of_its_own() {
    let mut seen = BTreeSet::new();
    for method in files().iter().flat_map(|file| &file.service).flat_map(|service| &service.method) {
        let own = |suffix| format!(".runtime.admin.v1.{}{suffix}", method.name());
        assert_eq!((method.input_type(), method.output_type()), (&*own("Request"), &*own("Response")));
        assert!(seen.insert(method.name().to_owned()), "{} is unique", method.name());
    }
    assert!(seen.contains("GetTree"));
}

#[test]
fn zero_of_every_enum_is_unspecified() {
    for file in files() {
        for one in &file.enum_type {
            let zero = one.value.first().expect("a value");
            assert!(zero.number() == 0 && zero.name().ends_with("_UNSPECIFIED"), "{}", one.name());
        }
    }
}

#[test]
fn lists_come_in_pages() {
    for file in files() {
        for message in &file.message_type {
            let has = |field: &str| message.field.iter().any(|known| known.name() == field);
            if message.name().starts_with("List") && message.name().ends_with("Request") {
                assert!(has("page_size") && has("page_token"), "{}", message.name());
            }
            if message.name().starts_with("List") && message.name().ends_with("Response") {
                assert!(has("next_page_token"), "{}", message.name());
            }
        }
    }
}

#[test]
fn everything_has_a_comment() {
    for file in files() {
        let commented: BTreeSet<Vec<i32>> = file
            .source_code_info
            .iter()
            .flat_map(|info| &info.location)
            .filter(|place| place.leading_comments.as_deref().is_some_and(|text| !text.trim().is_empty()))
            .map(|place| place.path.clone())
            .collect();
        let missing: Vec<Vec<i32>> =
            declarations(&file).into_iter().filter(|path| !commented.contains(path)).collect();
        assert!(missing.is_empty(), "{}: no comment at {missing:?}", file.name());
    }
}

/// Paths of everything declared in a file, as `descriptor.proto` numbers them.
fn declarations(file: &FileDescriptorProto) -> Vec<Vec<i32>> {
    const MESSAGES: i32 = 4;
    const ENUMS: i32 = 5;
    const SERVICES: i32 = 6;
    const METHODS: i32 = 2;
    let mut paths = Vec::new();
    for (index, message) in numbered(&file.message_type) {
        message_declarations(&[MESSAGES, index], message, &mut paths);
    }
    for (index, one) in numbered(&file.enum_type) {
        enum_declarations(&[ENUMS, index], one, &mut paths);
    }
    for (index, service) in numbered(&file.service) {
        paths.push(vec![SERVICES, index]);
        paths.extend(numbered(&service.method).map(|(method, _)| vec![SERVICES, index, METHODS, method]));
    }
    paths
}

fn message_declarations(path: &[i32], message: &DescriptorProto, paths: &mut Vec<Vec<i32>>) {
    const FIELDS: i32 = 2;
    const ONEOFS: i32 = 8;
    paths.push(path.to_vec());
    paths.extend(numbered(&message.field).map(|(field, _)| [path, &[FIELDS, field]].concat()));
    // A field that may be absent is a oneof of its own, which nobody declared.
    let declared = |oneof: i32| {
        !message.field.iter().any(|field| field.proto3_optional() && field.oneof_index == Some(oneof))
    };
    let oneofs = numbered(&message.oneof_decl).filter(|(oneof, _)| declared(*oneof));
    paths.extend(oneofs.map(|(oneof, _)| [path, &[ONEOFS, oneof]].concat()));
}

fn enum_declarations(path: &[i32], one: &EnumDescriptorProto, paths: &mut Vec<Vec<i32>>) {
    const VALUES: i32 = 2;
    paths.push(path.to_vec());
    paths.extend(numbered(&one.value).map(|(value, _)| [path, &[VALUES, value]].concat()));
}

fn numbered<T>(items: &[T]) -> impl Iterator<Item = (i32, &T)> {
    (0..).zip(items)
}
