#!/usr/bin/env bash
# Builds librocksdb.a once per machine and crate version, for every build to link (ROCKSDB_LIB_DIR, ROCKSDB_STATIC=1).
# With --dir it only prints the folder; without, it makes sure that the folder is there.
# RocksDB is most of a cold build's time, and differs in nothing between debug and release.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The crate's version in our Cargo.lock; what follows a plus is RocksDB's own.
version="$(awk '/^name = "librocksdb-sys"$/ { getline; gsub(/"/, ""); print $3 }' "$ROOT/Cargo.lock")"
[[ -n $version ]] || die 'Cargo.lock names no librocksdb-sys'

# RocksDB's checksums use these instructions when it is compiled for them, and are many times slower without.
flags='' kind="$(uname -m)"
if [[ $kind == x86_64 ]] && grep -qm1 '^flags.* sse4_2' /proc/cpuinfo && grep -qm1 '^flags.* pclmulqdq' /proc/cpuinfo; then
    flags='-C target-feature=+sse4.2,+pclmulqdq' kind=x86_64-sse4.2
fi

# The crate is only compiled here for the archive that its build script leaves. lz4 itself is not in that archive:
# lz4-sys links its own.
manifest() {
    cat <<TOML
[package]
name = "rocksdb-build"
version = "0.0.0"
edition = "2021"
[dependencies]
librocksdb-sys = { version = "=${version%%+*}", default-features = false, features = ["static", "lz4", "bindgen-runtime"] }
[profile.release]
debug = false
opt-level = 2
[workspace]
TOML
}

recipe="$( { manifest && echo "$flags"; } | sha256sum | cut -c1-8)"
dest="$CACHE/rocksdb-$version-$kind-$recipe"
if [[ ${1:-} == --dir ]]; then
    printf '%s\n' "$dest"
    exit 0
fi
[[ -e $dest/ready ]] && exit 0

lock rocksdb
[[ -e $dest/ready ]] && exit 0
say "building RocksDB ($version), once on this machine; about 25 CPU-minutes"
work="$dest.building"
rm -rf "$work"
mkdir -p "$work/src" "$work/out"
manifest >"$work/Cargo.toml"
: >"$work/src/lib.rs"
# The same versions of lz4-sys, cc and bindgen as the workspace's; cargo drops what is not needed.
cp "$ROOT/Cargo.lock" "$work/Cargo.lock"
(
    cd "$work"
    unset ROCKSDB_LIB_DIR ROCKSDB_STATIC ROCKSDB_COMPILE CARGO_ENCODED_RUSTFLAGS MAKEFLAGS MAKELEVEL
    CARGO_TARGET_DIR="$work/target" RUSTFLAGS="$flags" cargo build --release </dev/null >&2 9>&-
) || die 'RocksDB did not build; the compiler says why above'
cp "$work"/target/release/build/librocksdb-sys-*/out/librocksdb.a "$work/out/"
touch "$work/out/ready"
rm -rf "$dest"
mv -T "$work/out" "$dest"
rm -rf "$work"
say "RocksDB is in $dest"
