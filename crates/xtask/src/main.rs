//! The project's own tasks: `cargo xtask tidy`, `cargo xtask codegen`.
fn main() {}
