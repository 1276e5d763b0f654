#!/usr/bin/env bash
# Puts the servers that Gantry is measured beside into .tools/bench of this checkout, where it may, and says what it did.
#
#     bench/tools.sh
#
# Distribution 3 is built by a Go that is new enough (none is downloaded). Distribution 2.8 and nginx are Debian's
# packages, fetched and unpacked and not installed: nothing outside .tools changes, no service is started, no root is
# needed. What cannot be had is a line `skipped: NAME: reason`, and no failure: `make bench` then goes without it.

set -uo pipefail
cd "$(dirname "$0")/.." || exit
export PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin
there=$PWD/.tools/bench
mkdir -p "$there/bin" || { echo "skipped: everything: .tools cannot be written"; exit 0; }

have() { command -v "$1" >/dev/null 2>&1; }
skipped() { printf 'skipped: %s: %s\n' "$1" "$2"; }

distribution3() {
    local version=v3.1.2 module=github.com/distribution/distribution/v3
    if [[ -x $there/bin/distribution3 ]]; then
        echo "distribution3: there"
    elif ! have go; then
        skipped distribution3 "needs Go to build"
    elif GOTOOLCHAIN=local GOBIN=$there/bin GOFLAGS=-buildvcs=false \
        go install -ldflags "-s -w -X $module/version.version=$version" "$module/cmd/registry@$version" >"$there/distribution3.log" 2>&1; then
        mv "$there/bin/registry" "$there/bin/distribution3"
        echo "installed: distribution3 ($version)"
    else
        skipped distribution3 "$(tail -n 1 "$there/distribution3.log")"
    fi
}

unpacked() {                                                # unpacked NAME PACKAGE PROGRAM-INSIDE
    local name=$1 package=$2 program=$3 root=$there/$2
    if [[ -x $there/bin/$name ]]; then
        echo "$name: there"
        return
    fi
    if ! have apt-get || ! have dpkg-deb; then
        skipped "$name" "needs apt and dpkg to fetch the package $package"
        return
    fi
    mkdir -p "$root/deb"
    if ! (cd "$root/deb" && apt-get -q download "$package") >"$there/$name.log" 2>&1; then
        [[ $EUID == 0 ]] && apt-get -q -o DPkg::Lock::Timeout=120 update >/dev/null 2>&1
        if ! (cd "$root/deb" && apt-get -q download "$package") >"$there/$name.log" 2>&1; then
            skipped "$name" "$(tail -n 1 "$there/$name.log")"
            return
        fi
    fi
    if ! dpkg-deb -x "$root"/deb/"$package"_*.deb "$root"; then
        skipped "$name" "the package $package cannot be unpacked"
    elif ldd "$root/$program" 2>/dev/null | grep -q 'not found'; then
        skipped "$name" "this system lacks $(ldd "$root/$program" | awk '/not found/ {print $1}' | tr '\n' ' ')"
    else
        ln -sf "$root/$program" "$there/bin/$name"
        echo "installed: $name ($(dpkg-deb -f "$root"/deb/"$package"_*.deb Version))"
    fi
}

distribution3
unpacked distribution2 docker-registry usr/bin/docker-registry
unpacked nginx nginx usr/sbin/nginx
for program in strace valgrind; do
    have "$program" || skipped "$program" "not installed; $program-based figures are left out"
done
exit 0
