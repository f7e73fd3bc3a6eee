# shellcheck shell=bash disable=SC2034  # some of these names are for the scripts that source this one
# What the set-up scripts share. Source it; it prints nothing and changes nothing.

# Debian keeps iptables and dockerd in sbin, which an ordinary user's PATH lacks.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
: "${HOME:=$(getent passwd "$(id -u)" | cut -d: -f6)}"
CACHE="${TRIREME_CACHE:-$HOME/.cache/trireme}"

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

is_root() { [[ $EUID -eq 0 ]]; }

# True where packages can be installed without asking anybody.
can_apt() { is_root && have apt-get && have dpkg-query; }

# Holds $CACHE/NAME.lock until the script ends, so that two set-ups at once do the work once.
lock() {
    mkdir -p "$CACHE"
    exec 9>"$CACHE/$1.lock"
    flock -n 9 || { say "another set-up works on $1; waiting for it" && flock 9; }
}
