//! Every method of the API is asked for by the client library, and by a command of `runtimectl`.

use std::collections::BTreeMap;
use std::path::Path;

use prost_reflect::DescriptorPool;

/// The sources below a folder of this crate, tests in them left out.
fn sources(folder: &str) -> String {
    let mut text = String::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|kind| kind == "rs") {
            let source = std::fs::read_to_string(path).expect("a source");
            text.push_str(source.split("\nmod tests {").next().unwrap_or_default());
        }
    }
    text
}

/// The functions of the client library, with what each does.
fn functions(client: &str) -> BTreeMap<&str, &str> {
    let begun = client.split("async fn ").skip(1);
    begun.filter_map(|text| text.split_once(['(', '<']).map(|(name, _)| (name, text))).collect()
}

/// Methods for whose requests no command leads to a function of the client.
fn unreached<'a>(methods: impl IntoIterator<Item = &'a str>, client: &str, cli: &str) -> Vec<&'a str> {
    let functions = functions(client);
    let is_reached = |method: &str| {
        let request = format!("v1::{method}Request");
        let mut leading: Vec<&str> =
            functions.iter().filter(|(_, text)| text.contains(&request)).map(|(name, _)| *name).collect();
        let mut known = 0;
        while known < leading.len() {
            let call = format!(".{}(", leading[known]);
            let more =
                functions.iter().filter(|(name, text)| text.contains(&call) && !leading.contains(name));
            let more: Vec<&str> = more.map(|(name, _)| *name).collect();
            leading.extend(more);
            known += 1;
        }
        // A request may be made by the command and handed on by the client.
        leading.iter().any(|name| cli.contains(&format!("client.{name}("))) || cli.contains(&request)
    };
    methods.into_iter().filter(|method| !is_reached(method)).collect()
}

#[test]
fn every_method_is_reached_by_a_command() {
    let pool = DescriptorPool::decode(runtime_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
    let methods: Vec<_> = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let (client, cli) = (sources("src/client"), sources("src/cli"));
    assert!(methods.len() > 70, "{}", methods.len());
    assert_eq!(unreached(methods.iter().map(|method| method.name()), &client, &cli), [""; 0]);
    // The control: what no command asks for is found, and so is what the commands no longer call.
    assert_eq!(unreached(["GetQueue", "PaintQueue"], &client, &cli), ["PaintQueue"]);
    assert_eq!(
        unreached(["GetQueue"], &client, &cli.replace("client.queue(", "client.paint(")),
        ["GetQueue"]
    );
}
