//! Compiles every `.proto` file under `runtime/` in pure Rust: no protoc is needed.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let package = Path::new("runtime/admin/v1");
    println!("cargo::rerun-if-changed={}", package.display());
    let mut files: Vec<PathBuf> =
        fs::read_dir(package)?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    let descriptors = protox::compile(&files, ["."])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("file_descriptor_set.bin"), descriptors.encode_to_vec())?;

    let mut config = prost_build::Config::new();
    config.enable_type_names();
    // It holds a secret that must not be printed by mistake: its Debug is written by hand.
    config.skip_debug([".runtime.admin.v1.CreateTokenResponse"]);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
