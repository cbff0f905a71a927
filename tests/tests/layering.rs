//! The arrows between our crates, kept by the build rather than by memory. The picture is in `ARCHITECTURE.md`; an
//! arrow that is not in the table below is a failure, and adding one is a decision that wants an ADR.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use toml_edit::DocumentMut;

/// What a crate of ours may use of ours: in its product, and besides that in its tests.
struct Allowed {
    crate_name: &'static str,
    product: &'static [&'static str],
    tests: &'static [&'static str],
}

const ARROWS: [Allowed; 11] = [
    Allowed { crate_name: "runtime-proto", product: &[], tests: &[] },
    Allowed { crate_name: "runtime-core", product: &[], tests: &[] },
    Allowed { crate_name: "runtime-stores", product: &["runtime-core"], tests: &[] },
    // A tree needs a store to run on; the product gets its store handed in.
    Allowed { crate_name: "runtime-actors", product: &["runtime-core"], tests: &["runtime-stores"] },
    Allowed {
        crate_name: "runtime-admin",
        product: &["runtime-core", "runtime-proto"],
        tests: &["runtime-actors", "runtime-stores"],
    },
    Allowed {
        crate_name: "runtime",
        product: &["runtime-core", "runtime-stores", "runtime-actors", "runtime-admin"],
        tests: &[],
    },
    Allowed { crate_name: "mail-order-domain", product: &[], tests: &[] },
    Allowed {
        crate_name: "mail-order-bot",
        product: &["runtime", "mail-order-domain"],
        tests: &["runtime-core"],
    },
    Allowed { crate_name: "storefront-domain", product: &[], tests: &[] },
    Allowed {
        crate_name: "storefront",
        product: &["runtime", "storefront-domain"],
        tests: &["runtime-core"],
    },
    Allowed { crate_name: "xtask", product: &[], tests: &[] },
];

/// Holds the tests that cross crates, so it may use everything.
const MAY_USE_ALL: &str = "runtime-tests";

/// A framework whose words only these crates use in their product. The first name stands for its family: `tonic` and `tonic-health`.
const CONFINED: [(&str, &[&str]); 5] = [
    ("ractor", &["runtime-actors"]),
    ("tonic", &["runtime-admin", "runtime-proto"]),
    ("opentelemetry", &["runtime", "runtime-actors"]),
    ("opentelemetry_sdk", &["runtime"]),
    ("opentelemetry-otlp", &["runtime"]),
];

/// One dependency as a manifest declares it.
struct Edge {
    from: String,
    to: String,
    only_in_tests: bool,
}

/// Every edge that is not allowed, in words.
fn wrong_edges(ours: &BTreeSet<String>, edges: &[Edge]) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in ours.iter().filter(|name| *name != MAY_USE_ALL) {
        if !ARROWS.iter().any(|allowed| allowed.crate_name == name) {
            wrong.push(format!("{name} is not in the table of arrows"));
        }
    }
    for Edge { from, to, only_in_tests } in edges.iter().filter(|edge| edge.from != MAY_USE_ALL) {
        let allowed = ARROWS.iter().find(|allowed| allowed.crate_name == from);
        let in_product = allowed.is_some_and(|allowed| allowed.product.contains(&to.as_str()));
        // A crate's tests may switch on features of the crate itself.
        let in_tests = from == to || allowed.is_some_and(|allowed| allowed.tests.contains(&to.as_str()));
        if ours.contains(to) && !in_product && !(in_tests && *only_in_tests) {
            wrong.push(format!("{from} must not depend on {to}"));
        }
        for (framework, knowers) in CONFINED {
            let of_family = to == framework || to.starts_with(&format!("{framework}-"));
            if of_family && !only_in_tests && !knowers.contains(&from.as_str()) {
                wrong.push(format!("{from} must not depend on {to}: only {} may", knowers.join(" and ")));
            }
        }
    }
    wrong
}

/// The members of the workspace, with their manifests.
fn members() -> Vec<Value> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn names(members: &[Value]) -> BTreeSet<String> {
    members.iter().map(|member| text(&member["name"])).collect()
}

fn edges(members: &[Value]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for member in members {
        for dependency in member["dependencies"].as_array().expect("dependencies") {
            edges.push(Edge {
                from: text(&member["name"]),
                to: text(&dependency["name"]),
                only_in_tests: dependency["kind"] == "dev",
            });
        }
    }
    edges
}

fn manifest(path: &Path) -> DocumentMut {
    fs::read_to_string(path).expect("a manifest").parse().expect("a manifest is TOML")
}

#[test]
fn every_arrow_between_our_crates_is_in_the_table() {
    let members = members();
    assert_eq!(wrong_edges(&names(&members), &edges(&members)), Vec::<String>::new());
}

#[test]
fn a_wrong_arrow_is_found() {
    let ours = names(&members());
    for (from, to, only_in_tests) in [
        ("runtime-core", "runtime-stores", false),
        ("runtime-core", "runtime-stores", true),
        ("runtime-actors", "runtime-stores", false),
        ("runtime-admin", "runtime-actors", false),
        ("mail-order-domain", "runtime-core", false),
        ("mail-order-domain", "runtime", true),
        ("mail-order-bot", "runtime-actors", false),
        ("runtime", "runtime-tests", true),
        ("runtime-admin", "ractor", false),
        ("runtime-core", "tonic", false),
        ("runtime", "tonic-health", false),
        ("runtime-actors", "opentelemetry_sdk", false),
        ("runtime-actors", "opentelemetry-otlp", false),
        ("runtime-core", "opentelemetry", false),
        ("xtask", "runtime-core", false),
    ] {
        let edge = Edge { from: from.into(), to: to.into(), only_in_tests };
        let wrong = wrong_edges(&ours, &[edge]);
        assert!(
            wrong.len() == 1 && wrong[0].starts_with(&format!("{from} must not depend on {to}")),
            "{wrong:?}"
        );
    }
}

#[test]
fn a_crate_without_a_row_is_found() {
    let ours = BTreeSet::from(["runtime-core".to_owned(), "newcomer".to_owned()]);
    assert_eq!(wrong_edges(&ours, &[]), ["newcomer is not in the table of arrows"]);
}

#[test]
fn every_row_of_the_table_is_a_crate() {
    let ours = names(&members());
    for allowed in ARROWS {
        for name in [allowed.crate_name].iter().chain(allowed.product).chain(allowed.tests) {
            assert!(ours.contains(*name), "there is no crate {name}");
        }
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace_which_forbid_unsafe_code() {
    let root = manifest(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
    let unsafe_code = &root["workspace"]["lints"]["rust"]["unsafe_code"];
    assert_eq!(unsafe_code.as_str(), Some("forbid"));
    for member in members() {
        let path = PathBuf::from(text(&member["manifest_path"]));
        let inherits =
            manifest(&path).get("lints").and_then(|lints| lints.get("workspace")).and_then(|it| it.as_bool());
        assert_eq!(inherits, Some(true), "{} does not take the lints of the workspace", path.display());
    }
}
