#!/usr/bin/env bash
# Makes the Python environment with the AWS clients of requirements.txt, and Ansible's modules for AWS beside them, once for each
# content of that file and of this one. With --dir it only prints the folder.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

requirements="$ROOT/deploy/setup/requirements.txt"
dest="$CACHE/python-$(cat "$requirements" "${BASH_SOURCE[0]}" | sha256sum | cut -c1-8)"
# The package with the collections that Ansible's project publishes together.
COLLECTIONS='ansible==12.3.0'
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

say "fetching Ansible's modules for AWS"
"$dest/bin/python" -m pip download --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: \
    --dest "$dest/download" "$COLLECTIONS" </dev/null >&2 || die "pip could not fetch $COLLECTIONS"
"$dest/bin/python" - "$dest" <<'END'
import pathlib, sys, zipfile

dest = pathlib.Path(sys.argv[1])
wanted = tuple(f"ansible_collections/{name}/" for name in ("amazon/aws", "ansible/posix", "community/aws"))
(wheel,) = (dest / "download").iterdir()
with zipfile.ZipFile(wheel) as archive:
    archive.extractall(dest / "ansible", [name for name in archive.namelist() if name.startswith(wanted)])
END
rm -r "$dest/download"
touch "$dest/ready"
