#!/usr/bin/env bash
# Makes sure of the programs that tests use beside packages: cargo-nextest, and promtool in $CACHE/bin.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

NEXTEST_VERSION=0.9.143
PATH="$PATH:$CACHE/bin"

ensure_nextest() {
    have cargo-nextest && return
    lock nextest
    have cargo-nextest && return
    say "building cargo-nextest $NEXTEST_VERSION, once on this machine; it takes some minutes"
    env -u RUSTFLAGS -u CARGO_TARGET_DIR -u MAKEFLAGS \
        cargo install --quiet --locked --root "$CACHE" "cargo-nextest@$NEXTEST_VERSION" </dev/null >&2 9>&- ||
        die 'cargo-nextest did not build; it is what keeps tests that need Docker from running at once'
}

# Debian has promtool only beside a Prometheus service that installing would start, so it is taken out of the package.
ensure_promtool() {
    have promtool && return
    if ! have apt-get; then
        say 'promtool is missing (it comes with Prometheus); the metrics are not checked with it'
        return
    fi
    lock promtool
    have promtool && return
    say 'fetching promtool'
    local work
    work="$(mktemp -d)"
    (
        cd "$work"
        # A machine's package lists may be absent or too old.
        apt-get download -q prometheus </dev/null >&2 ||
            { is_root && apt-get update -q </dev/null >&2 && apt-get download -q prometheus </dev/null >&2; }
        dpkg-deb -x prometheus_*.deb tree
    ) || die "apt-get could not fetch 'prometheus'"
    mkdir -p "$CACHE/bin"
    mv "$work/tree/usr/bin/promtool" "$CACHE/bin/promtool"
    rm -rf "$work"
}

ensure_nextest
ensure_promtool
