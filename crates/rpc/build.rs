//! Generates the gRPC code from `proto/` with protox, so that no `protoc` has to be installed.

use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    // Asked when it runs: checkouts that share a target folder share the compiled script.
    let folder = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "proto"))
        .collect();
    files.sort();
    let descriptors = protox::compile(&files, [&folder])?;
    // Payloads are passed on as they came: `Bytes` saves the copies.
    tonic_prost_build::configure().bytes(".").include_file("generated.rs").compile_fds(descriptors)?;
    Ok(())
}
