//! `cargo xtask bench scale` says how long the looks of operators take. A call that it leaves out could grow slow unseen, so every one that
//! lists or counts must be among its looks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Calls that sum up, and so look at much, although their names do not say so.
const SUMS: [&str; 3] = ["GetOverview", "GetQueueStats", "GetTree"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Methods of the admin API that list, count or sum.
fn looks() -> BTreeSet<String> {
    let protos = fs::read_dir(root().join("proto/runtime/admin/v1")).expect("the protos");
    let texts = protos.map(|file| fs::read_to_string(file.expect("an entry").path()).expect("a proto"));
    let methods = |text: String| {
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let is_look = |name: &String| {
        name.starts_with("List") || name.starts_with("Count") || SUMS.contains(&name.as_str())
    };
    texts.flat_map(methods).filter(is_look).collect()
}

/// Of these, what the bench does not take.
fn left_out<'a>(looks: &'a BTreeSet<String>, bench: &str) -> Vec<&'a str> {
    let taken = |look: &&str| [",", "("].iter().any(|end| bench.contains(&format!("    Look::{look}{end}")));
    looks.iter().map(String::as_str).filter(|look| !taken(look)).collect()
}

#[test]
fn every_call_that_lists_or_counts_is_measured() {
    let bench = fs::read_to_string(root().join("runtime/benches/scale/looks.rs")).expect("the bench");
    let list = bench.split("const LOOKS").nth(1).and_then(|rest| rest.split("];").next()).expect("its looks");
    let looks = looks();
    assert!(looks.len() > 12 && SUMS.iter().all(|name| looks.contains(*name)), "{looks:?}");
    assert_eq!(left_out(&looks, list), Vec::<&str>::new());
}

#[test]
fn a_call_that_the_bench_leaves_out_is_found() {
    let bench = "const LOOKS: &[Look] = &[\n    Look::CountTasks(\"\"),\n    Look::GetTree,\n";
    let looks = ["CountTasks", "GetTree", "ListTasks"].map(str::to_owned).into();
    assert_eq!(left_out(&looks, bench), ["ListTasks"]);
}
