#!/usr/bin/env bash
# Installs the Debian packages that are missing for the groups named: build, run, test, bench.
# A tool that is there already counts, whichever way it came.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# bindgen loads libclang, and needs clang's own headers beside it.
libclang_ok() {
    [[ -n ${LIBCLANG_PATH:-} ]] && return
    compgen -G '/usr/lib*/llvm*/lib/clang/*/include/stddef.h' >/dev/null ||
        compgen -G '/usr/lib*/clang/*/include/stddef.h' >/dev/null
}

# An engine elsewhere (DOCKER_HOST) or one that already listens needs no dockerd here.
docker_ok() { have docker && { have dockerd || [[ -n ${DOCKER_HOST:-} || -S /var/run/docker.sock ]]; }; }

# Where the kernel enforces AppArmor, Docker starts no container without the parser.
apparmor_ok() {
    local enabled=/sys/module/apparmor/parameters/enabled
    have apparmor_parser || [[ ! -r $enabled || $(<"$enabled") != Y ]]
}

# The image made from it holds nothing else, so it must not need shared libraries.
busybox_ok() { have busybox && ! ldd "$(command -v busybox)" >/dev/null 2>&1; }

python_ok() { compgen -G "$CACHE/python-*/ready" >/dev/null || python3 -c 'import ensurepip, venv' 2>/dev/null; }

# Prints "package<TAB>what it is for" for each one that is missing.
missing() {
    local group
    for group in "$@"; do
        case $group in
        build)
            have c++ || printf 'g++\ta C++ compiler, for RocksDB\n'
            libclang_ok || printf 'libclang-dev\tlibclang and its headers, for bindgen\n'
            ;;
        run)
            docker_ok || printf 'docker.io\tDocker Engine and its client\n'
            have iptables || [[ -n ${DOCKER_HOST:-} ]] || printf 'iptables\tfor the ports that Docker publishes\n'
            apparmor_ok || printf 'apparmor\tfor the profile that Docker loads\n'
            busybox_ok || printf 'busybox-static\ta statically linked busybox, for the local images\n'
            ;;
        test)
            python_ok || printf 'python3-venv\tPython 3 with venv and pip, for the AWS clients\n'
            have docker-registry || printf 'docker-registry\ta registry of images, on loopback\n'
            ;;
        bench) have etcd || printf 'etcd-server\tetcd, to compare with\n' ;;
        *) die "no such group of packages: $group" ;;
        esac
    done
}

list="$(missing "$@")"
[[ -n $list ]] || exit 0
if ! can_apt; then
    say 'these are missing; please install them (named as in Debian 12), then run make again:'
    printf '%s\n' "$list" | sed 's/^\([^\t]*\)\t/    \1 - /' >&2
    say 'as root on Debian, make installs them by itself'
    exit 1
fi

lock packages
mapfile -t names < <(cut -f1 <<<"$list")
say "installing ${names[*]}"
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -q --no-install-recommends "${names[@]}" </dev/null >&2; }
# A machine's package lists may be absent or too old; fetch them only then, for it is slow.
install || { apt-get update -q </dev/null >&2 && install; } || die "apt-get could not install ${names[*]}"
list="$(missing "$@")"
[[ -z $list ]] || die "installed, and still not found: $list"
