//! Puts the pages of the error codes into the crate, for `runtimectl errors`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../docs/errors");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut pages: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    pages.sort();
    let mut list = String::from("&[\n");
    for page in &pages {
        let Some(code) = page.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if code.starts_with("RT") {
            writeln!(list, "    ({code:?}, include_str!({page:?})),")?;
        }
    }
    list.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("error_pages.rs"), list)?;
    Ok(())
}
