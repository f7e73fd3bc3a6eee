#!/usr/bin/env bash
# Makes the Python environment with the AWS clients of requirements.txt, once for each content of that file.
# With --dir it only prints the folder.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

requirements="$ROOT/deploy/setup/requirements.txt"
dest="$CACHE/python-$(sha256sum "$requirements" | cut -c1-8)"
if [[ ${1:-} == --dir ]]; then
    printf '%s\n' "$dest"
    exit 0
fi
# Its python is a link to the machine's, which an upgrade may have taken away.
[[ -e $dest/ready && -x $dest/bin/python ]] && exit 0

lock python
[[ -e $dest/ready && -x $dest/bin/python ]] && exit 0
say 'installing the AWS clients for Python'
rm -rf "$dest"
python3 -m venv "$dest" || die 'python3 could not make a virtual environment'
"$dest/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps -r "$requirements" </dev/null >&2 ||
    die "pip could not install $requirements"
touch "$dest/ready"
