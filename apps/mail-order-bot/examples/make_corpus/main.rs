//! Writes the bundled mails to `corpus/mails` and the hostile documents of the tests to `corpus/hostile`.
//!
//! Run it after changing a mail: `cargo run -p mail-order-bot --example make_corpus`. It writes the same bytes every time.
//! The files are kept in the repository, so that tests read what was sent and not what a writer of today would send.

mod documents;
mod hostile;
mod letter;
mod mails;

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mails = mails::all();
    rewrite(&corpus.join("mails"), mails.iter().map(|(name, raw)| (format!("{name}.eml"), raw.as_slice())))?;
    let hostile = hostile::all();
    rewrite(
        &corpus.join("hostile"),
        hostile.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.as_slice())),
    )?;
    println!("{} mails, {} hostile documents", mails.len(), hostile.len());
    Ok(())
}

/// Replaces everything in a folder.
fn rewrite<'a>(folder: &Path, files: impl Iterator<Item = (String, &'a [u8])>) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
