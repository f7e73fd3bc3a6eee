#!/usr/bin/env bash
# Makes the two images that the examples and tests run, from this machine's busybox and without a registry:
# busybox:1, and trireme/web:1, which serves /www on port 8080.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

WEB=trireme/web:1
LABEL=trireme.recipe
# Stopping must not wait for the time limit: busybox's httpd as the first process would ignore SIGTERM.
WEB_COMMAND="trap 'exit 0' TERM INT; httpd -f -p 8080 -h /www & wait"

recipe="$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-12)"
web_ok() { [[ $(docker image inspect --format "{{index .Config.Labels \"$LABEL\"}}" "$WEB" 2>/dev/null) == "$recipe" ]]; }
busybox_ok() { docker image inspect --format ok busybox:1 >/dev/null 2>&1; }

web_ok && busybox_ok && exit 0

lock image
tree="$(mktemp -d)"
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{bin,etc,tmp}
chmod 1777 "$tree/tmp"
cp "$(command -v busybox)" "$tree/bin/busybox"
"$tree/bin/busybox" --list | while read -r applet; do
    [[ $applet == busybox ]] || ln -s busybox "$tree/bin/$applet"
done
echo 'root:x:0:0:root:/:/bin/sh' >"$tree/etc/passwd"
echo 'root:x:0:' >"$tree/etc/group"

import() {
    local image=$1
    shift
    tar -C "$tree" --owner=0 --group=0 --numeric-owner -c . | docker import "$@" - "$image" >/dev/null
    say "made the image $image"
}

# A busybox:1 that came from elsewhere is as good.
busybox_ok || import busybox:1 --change 'ENV PATH=/bin' --change 'CMD ["sh"]'
mkdir "$tree/www"
echo '<!doctype html><title>Trireme</title><p>Three banks of oars; lose one and the ship still rows.' >"$tree/www/index.html"
import "$WEB" --change 'ENV PATH=/bin' --change 'EXPOSE 8080' --change "LABEL $LABEL=$recipe" \
    --change "CMD [\"sh\", \"-c\", \"$WEB_COMMAND\"]"
