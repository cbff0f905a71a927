//! The `.proto` files as buf judges them: its STANDARD and COMMENTS rules, and nothing in them that breaks a client of the last release.
//!
//! `proto/released.binpb` is that release: an image of the files as they were. Whoever releases writes it anew, see CONTRIBUTING.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn protos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto")
}

/// Runs buf in a folder with `.proto` files.
fn buf(folder: &Path, args: &[&str]) -> Output {
    let program = env::var_os("RUNTIME_BUF").expect("`cargo xtask servers` says where buf is");
    Command::new(program).args(args).current_dir(folder).output().expect("buf runs")
}

fn lint(folder: &Path) -> Output {
    buf(folder, &["lint"])
}

fn breaking(folder: &Path) -> Output {
    let released = protos().join("released.binpb");
    buf(folder, &["breaking", "--against", released.to_str().expect("a path of text")])
}

#[track_caller]
fn passes(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

#[track_caller]
fn finds(output: &Output, what: &str) {
    let said = said(output);
    assert!(!output.status.success() && said.contains(what), "{said}");
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// The files with one of them changed.
fn changed(file: &str, from: &str, to: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    let package = copy.path().join("runtime/admin/v1");
    fs::create_dir_all(&package).expect("a folder");
    fs::copy(protos().join("buf.yaml"), copy.path().join("buf.yaml")).expect("a copy");
    for entry in fs::read_dir(protos().join("runtime/admin/v1")).expect("the package") {
        let path = entry.expect("a file").path();
        fs::copy(&path, package.join(path.file_name().expect("a name"))).expect("a copy");
    }
    let path = package.join(file);
    let text = fs::read_to_string(&path).expect("a file");
    assert_eq!(text.matches(from).count(), 1, "{from:?} stands once in {file}");
    fs::write(&path, text.replace(from, to)).expect("the change");
    copy
}

#[test]
fn the_api_is_clean_and_breaks_no_client_of_the_last_release() {
    passes(&lint(&protos()));
    passes(&breaking(&protos()));
}

#[test]
fn a_method_without_its_own_response_and_a_missing_comment_are_found() {
    let shared = changed("tree_service.proto", "returns (GetNodeResponse)", "returns (GetTreeResponse)");
    finds(&lint(shared.path()), "should be named \"GetNodeResponse\"");
    let bare = changed("health.proto", "enum Health", "\nmessage Bare {}\n\n// Health.\nenum Health");
    finds(&lint(bare.path()), "Message \"Bare\"");
}

#[test]
fn a_method_that_went_and_a_field_of_another_type_are_found() {
    let gone =
        changed("tree_service.proto", "  rpc GetNode(GetNodeRequest) returns (GetNodeResponse);\n", "");
    finds(&breaking(gone.path()), "GetNode");
    let other = changed("health.proto", "string reason = 2", "uint64 reason = 2");
    finds(&breaking(other.path()), "\"reason\"");
}
