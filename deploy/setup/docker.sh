#!/usr/bin/env bash
# Makes sure that a Docker Engine answers: the one that does, else one started here, where that may be done.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LIMIT_SECONDS=60
LOG="$CACHE/dockerd.log"
PID_FILE=/var/run/docker.pid

answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Why no engine can be started here, or nothing.
refusal() {
    if [[ -n ${DOCKER_HOST:-} ]]; then
        echo "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST"
    elif [[ -S /var/run/docker.sock && ! -w /var/run/docker.sock ]]; then
        echo "this user may not use /var/run/docker.sock; add it to the group 'docker' and log in again"
    elif ! is_root; then
        echo "no Docker Engine answers; start one (as root: 'systemctl start docker', or 'dockerd &') and try again"
    elif ! have dockerd; then
        echo "no Docker Engine answers, and there is no dockerd here to start"
    fi
}

# True if this variant of iptables can do what dockerd will ask of it; tried in a network namespace of its own.
iptables_works() {
    unshare -n "$1" -t nat -A OUTPUT -m addrtype --dst-type LOCAL -j ACCEPT &&
        unshare -n "$1" -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE &&
        unshare -n "$1" -t filter -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
} >/dev/null 2>&1

# Debian's iptables speaks nftables, which some kernels lack. There dockerd alone gets the older one, by its PATH:
# the machine's own choice is left as it is.
choose_iptables() {
    local legacy shim="$CACHE/iptables-legacy"
    iptables_works iptables && return
    legacy="$(command -v xtables-legacy-multi)" || return 0
    iptables_works iptables-legacy || return 0
    mkdir -p "$shim"
    ln -sfn "$legacy" "$shim/iptables"
    ln -sfn "$legacy" "$shim/ip6tables"
    PATH="$shim:$PATH"
    say 'this kernel lacks nftables; dockerd will use iptables-legacy'
}

# After a crash the old pid may belong to another program, and dockerd would refuse to start.
drop_stale_pid() {
    local pid
    [[ -r $PID_FILE ]] || return 0
    pid="$(<"$PID_FILE")"
    [[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]] || rm -f "$PID_FILE"
}

start() {
    if [[ -d /run/systemd/system ]] && systemctl cat docker.service >/dev/null 2>&1; then
        say 'starting Docker with systemd'
        systemctl start docker.service || die "systemctl could not start docker.service; see 'journalctl -u docker'"
        return
    fi
    say "starting dockerd in the background; its log is $LOG"
    choose_iptables
    drop_stale_pid
    # Each container costs it several descriptors.
    ulimit -n "$(ulimit -Hn)"
    setsid nohup dockerd </dev/null >>"$LOG" 2>&1 9>&- &
    started=$!
}

have docker || die 'there is no docker client; run deploy/setup/packages.sh run'
answers && exit 0
lock docker
answers && exit 0
why="$(refusal)"
[[ -z $why ]] || die "$why"
started=
start
for ((tries = LIMIT_SECONDS * 5; tries > 0; tries--)); do
    answers && exit 0
    if [[ -n $started ]] && ! kill -0 "$started" 2>/dev/null; then
        tail -n 5 "$LOG" >&2
        die "dockerd ended at once; its last words are above, all of them in $LOG"
    fi
    sleep 0.2
done
die "no Docker Engine answered within $LIMIT_SECONDS s; see $LOG"
