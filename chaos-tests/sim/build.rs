//! Shows the binary's own `getrandom` to those who look it up by name at run time, as the crate of that name does.

fn main() {
    println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol=getrandom");
    println!("cargo:rerun-if-changed=build.rs");
}
