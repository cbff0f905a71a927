//! The schema and the commented example of each app's configuration, as they are kept in the repository: they are what the app prints,
//! the example is a sound configuration, and it has every key that the schema has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mail_order_bot::config::BotConfig;
use mail_order_bot::module::MailOrders;
use runtime::config::{RuntimeConfig, config_example, config_schema};
use runtime::{App, AppConfig, ConfigArgs, Module};
use serde_json::Value;
use storefront::config::StorefrontConfig;
use storefront::module::Storefront;

/// Stands in the example for a name that whoever writes the file chooses.
const ANY_NAME: &str = "name";

fn folder(app: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../apps").join(app).join("config")
}

fn kept(app: &str, file: &str) -> String {
    let path = folder(app).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The line where two texts part, and what each of them says there.
fn parting(kept: &str, printed: &str) -> Option<String> {
    let (mut kept, mut printed) = (kept.lines(), printed.lines());
    (1..).find_map(|number| match (kept.next(), printed.next()) {
        (None, None) => Some(None),
        (one, other) if one == other => None,
        (one, other) => Some(Some(format!(
            "line {number}: {:?} is kept, {:?} is right",
            one.unwrap_or(""),
            other.unwrap_or("")
        ))),
    })?
}

/// Every key of a schema, with the sections above it.
fn keys_of_schema(schema: &Value, at: &Value, path: &str, keys: &mut BTreeSet<String>) {
    if let Some(target) = at["$ref"].as_str().and_then(|target| schema.pointer(target.strip_prefix('#')?)) {
        keys_of_schema(schema, target, path, keys);
    }
    for alternatives in ["allOf", "anyOf", "oneOf"] {
        for branch in at[alternatives].as_array().into_iter().flatten() {
            keys_of_schema(schema, branch, path, keys);
        }
    }
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for (name, below) in at["properties"].as_object().into_iter().flatten() {
        keys.insert(join(name));
        keys_of_schema(schema, below, &join(name), keys);
    }
    if at["additionalProperties"].is_object() {
        keys.insert(join(ANY_NAME));
        keys_of_schema(schema, &at["additionalProperties"], &join(ANY_NAME), keys);
    }
}

/// Every key of an example, switched on or off, with the sections above it.
fn keys_of_example(example: &str) -> BTreeSet<String> {
    let (mut keys, mut section) = (BTreeSet::new(), String::new());
    let prose = |line: &&str| line.is_empty() || line.starts_with(' ');
    for line in example.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).filter(|line| !prose(line))
    {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            let ends = section.match_indices('.').map(|(at, _)| at).chain([section.len()]);
            keys.extend(ends.map(|end| section[..end].to_owned()));
        } else {
            let (key, _) =
                line.split_once(" = ").unwrap_or_else(|| panic!("neither key nor section: {line}"));
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

fn missing_in_the_example(schema: &str, example: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(schema).expect("the schema is JSON");
    let mut keys = BTreeSet::new();
    keys_of_schema(&schema, &schema, "", &mut keys);
    assert!(keys.len() > 60, "the schema was not understood: {keys:?}");
    keys.difference(&keys_of_example(example)).cloned().collect()
}

fn hold_it_to_its_files<A: AppConfig + PartialEq>(app: &App<A>, name: &str) {
    let printed = [
        ("schema.json", config_schema::<RuntimeConfig<A>>()),
        ("example.toml", config_example::<RuntimeConfig<A>>()),
    ];
    for (file, printed) in &printed {
        let parts = parting(&kept(name, file), printed);
        assert_eq!(parts, None, "apps/{name}/config/{file} is stale: `cargo xtask config` writes it anew");
    }
    assert_eq!(missing_in_the_example(&printed[0].1, &printed[1].1), Vec::<String>::new());

    let example = folder(name).join("example.toml");
    let checked = app.load(&ConfigArgs { config: Some(example), set: Vec::new() });
    let loaded = checked.unwrap_or_else(|exit| panic!("the example of {name} has problems: {exit:?}"));
    assert!(loaded.value == RuntimeConfig::default(), "everything in it is switched off");
}

fn app<A: AppConfig>(name: &str, module: impl Module<A>) -> App<A> {
    App::<A>::configured(name).module(module)
}

#[test]
fn the_files_of_the_storefront_are_what_it_prints() {
    hold_it_to_its_files(&app::<StorefrontConfig>("storefront", Storefront), "storefront");
}

#[test]
fn the_files_of_the_mail_order_bot_are_what_it_prints() {
    hold_it_to_its_files(&app::<BotConfig>("mail-order-bot", MailOrders), "mail-order-bot");
}

#[test]
fn a_stale_file_and_a_key_that_is_missing_are_found() {
    let (schema, example) = (kept("storefront", "schema.json"), kept("storefront", "example.toml"));
    assert_eq!(parting(&example, &example), None);
    let stale = parting(&example.replacen("#max_requests = 1024", "#max_requests = 512", 1), &example);
    assert!(stale.expect("they part").contains("512"));
    assert!(parting("one\n", "one\ntwo\n").expect("they part").starts_with("line 2"));

    let line = |text: &str, start: &str| -> String {
        text.lines().filter(|line| !line.starts_with(start)).map(|line| format!("{line}\n")).collect()
    };
    assert_eq!(missing_in_the_example(&schema, &line(&example, "#queue_capacity")), ["store.queue_capacity"]);
    assert_eq!(
        missing_in_the_example(&schema, &line(&example, "#hopeless_ms")),
        ["workers.name.shed.hopeless_ms"]
    );
}
