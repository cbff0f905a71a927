//! `docs/promises.md` links what is promised to what proves it. A link that leads nowhere is worse than none, so each named
//! test must exist in the named file and be run.

use std::fs;
use std::path::{Path, PathBuf};

/// One row of the first table: a file and the tests in it.
#[derive(Debug, PartialEq, Eq)]
struct Proof {
    file: String,
    tests: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rows with a file, of all tables: `| promise | file | test, test |`. Rows without code spans are headings.
fn proofs(document: &str) -> Vec<Proof> {
    document
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
            let [_promise, file, tests] = cells[..] else { return None };
            let file = code_spans(file).next()?.to_owned();
            Some(Proof { file, tests: code_spans(tests).map(str::to_owned).collect() })
        })
        .collect()
}

fn code_spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// A file with what lies in the folder beside it: `nodes.rs` and `nodes/` are one module.
fn read(file: &str) -> Option<String> {
    let path = root().join(file);
    let mut text = fs::read_to_string(&path).ok()?;
    let parts = fs::read_dir(path.with_extension("")).into_iter().flatten();
    for part in parts.map(|part| part.expect("an entry of the folder").path()).filter(|part| part.is_file()) {
        text.push('\n');
        text.push_str(&fs::read_to_string(part).expect("a file of the module"));
    }
    Some(text)
}

/// What is wrong with a proof, in words.
fn wrong(proof: &Proof, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let Some(text) = read(&proof.file) else { return vec![format!("there is no file {}", proof.file)] };
    if proof.tests.is_empty() {
        return vec![format!("no test of {} is named", proof.file)];
    }
    let fault = |test: &String| match declaration(&text, test) {
        None => Some(format!("{} has no test {test}", proof.file)),
        Some(attributes)
            if attributes
                .iter()
                .any(|line| line.trim_start().starts_with("#[") && line.contains("ignore")) =>
        {
            Some(format!("{test} in {} is not run", proof.file))
        }
        Some(_) => None,
    };
    proof.tests.iter().filter_map(fault).collect()
}

/// The attributes above `fn test(`; or above `test: …`, the row of a macro that makes tests.
fn declaration<'t>(text: &'t str, test: &str) -> Option<Vec<&'t str>> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let (function, row) = (format!("fn {test}("), format!("{test}: "));
    let declares =
        |line: &&str| (line.contains(&function) && !line.starts_with("//")) || line.starts_with(&row);
    let at = lines.iter().position(declares)?;
    let above = lines[..at].iter().rev();
    Some(above.take_while(|line| line.starts_with("#[") || line.starts_with("//")).copied().collect())
}

#[test]
fn every_test_that_proves_a_promise_exists_and_is_run() {
    let document = fs::read_to_string(root().join("docs/promises.md")).expect("the table of promises");
    let proofs = proofs(&document);
    assert!(proofs.len() > 20, "the table was not understood: {} rows", proofs.len());
    let wrong: Vec<String> = proofs.iter().flat_map(|proof| wrong(proof, read)).collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_row_that_leads_nowhere_is_found() {
    let document = "\
| promise | file | tests |
| --- | --- | --- |
| kept | `a.rs` | `holds`, `holds_too`, `a_node` |
| broken | `a.rs` | `held_once` |
| asleep | `a.rs` | `sleeps` |
| bare | `a.rs` | see there |
| lost | `b.rs` | `holds` |";
    let file = "#[test]\nfn holds() {}\n#[tokio::test]\nasync fn holds_too() {}\n// fn held_once()\n\
                #[test]\n#[ignore = \"slow\"]\nfn sleeps() {}\nmatrix! {\n    a_node: \"/a\",\n}\n";
    let read = |name: &str| (name == "a.rs").then(|| file.to_owned());
    let wrong: Vec<String> = proofs(document).iter().flat_map(|proof| wrong(proof, read)).collect();
    assert_eq!(
        wrong,
        [
            "a.rs has no test held_once",
            "sleeps in a.rs is not run",
            "no test of a.rs is named",
            "there is no file b.rs"
        ]
    );
}
