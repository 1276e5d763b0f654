#!/usr/bin/env bash
# Installs the clients that e2e/ drives and what the tests break things with, where it may, and says what it did.
#
#     scripts/tools.sh          what `make test` uses: packages, crane, regctl, Distribution, the Python packages oras and schemathesis
#     scripts/tools.sh --all    helm and cosign too (Go programs that take minutes to build)
#
# Distribution packages need root and apt; Go programs a Go that is new enough (none is downloaded); Python packages need Python's
# venv. What cannot be had is a line `skipped: NAME: reason`, and no failure: its script in e2e/ says SKIP then.
# Programs land in .tools/ of this checkout.

set -uo pipefail
cd "$(dirname "$0")/.." || exit
export PATH=$PWD/.tools/bin:$PATH:/usr/local/go/bin:/usr/sbin:/sbin
export GOTOOLCHAIN=local GOBIN=$PWD/.tools/bin GOFLAGS=-buildvcs=false
mkdir -p .tools/bin || { echo "skipped: everything: .tools cannot be written"; exit 0; }

have() { command -v "$1" >/dev/null 2>&1; }
skipped() { printf 'skipped: %s: %s\n' "$1" "$2"; }

# PROGRAM=PACKAGE of the distribution. The static busybox goes into test images.
programs=(
    dockerd=docker.io docker=docker-cli podman=podman buildah=buildah skopeo=skopeo
    ctr=containerd runc=runc ip=iproute2 curl=curl openssl=openssl busybox=busybox-static
    faketime=faketime strace=strace mkfs.ext4=e2fsprogs      # for the integration tests
    slapd=slapd nginx=nginx caddy=caddy htpasswd=apache2-utils jq=jq
)

packages() {
    local missing=() pair program package
    for pair in "${programs[@]}"; do have "${pair%=*}" || missing+=("$pair"); done
    if ((${#missing[@]} == 0)); then
        echo "packages: all there"
        return
    fi
    if [[ $EUID != 0 ]] || ! have apt-get; then
        for pair in "${missing[@]}"; do skipped "${pair%=*}" "needs root and apt to install ${pair#*=}"; done
        return
    fi
    apt_get update >/dev/null 2>&1 || echo "packages: the lists could not be refreshed"
    local wanted=()
    for pair in "${missing[@]}"; do
        package=${pair#*=}
        # Not through `grep -q`: it hangs up after the first line, and pipefail takes that for a package that is not there.
        if [[ $(apt-cache show "$package" 2>/dev/null) == *Package:* ]]; then wanted+=("$package"); fi
    done
    without_services apt_get install -y --no-install-recommends "${wanted[@]}" >.tools/apt.log 2>&1 ||
        { tail -n 5 .tools/apt.log; echo "packages: apt-get failed, see .tools/apt.log"; }
    for pair in "${missing[@]}"; do
        program=${pair%=*}
        if have "$program"; then
            echo "installed: $program"
        else
            skipped "$program" "the package ${pair#*=} could not be installed"
        fi
    done
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@"; }

without_services() {                                        # packages must not start daemons: policy-rc.d says so
    local policy=/usr/sbin/policy-rc.d made='' status=0
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=yes
    fi
    "$@" || status=$?
    [[ -z $made ]] || rm -f "$policy"
    return "$status"
}

go_program() {                                              # go_program NAME MODULE@VERSION
    if [[ -x .tools/bin/$1 ]]; then
        echo "$1: there"
    elif ! have go; then
        skipped "$1" "needs Go to build"
    elif go install "$2" >".tools/$1.log" 2>&1; then
        echo "installed: $1 (${2##*@})"
    else
        skipped "$1" "$(tail -n 1 ".tools/$1.log")"
    fi
}

python_package() {                                          # python_package NAME==VERSION, into .tools/venv
    local name=${1%%=*}
    if .tools/venv/bin/python -c "import $name" >/dev/null 2>&1; then
        echo "$name: there"
    elif ! have python3; then
        skipped "$name" "needs Python"
    elif ! python3 -m venv .tools/venv >.tools/venv.log 2>&1; then
        skipped "$name" "python3 -m venv does not work (on Debian it needs the package python3-venv)"
    elif .tools/venv/bin/pip install --quiet "$1" >.tools/venv.log 2>&1; then
        echo "installed: $name"
    else
        skipped "$name" "$(tail -n 1 .tools/venv.log)"
    fi
}

packages
go_program crane github.com/google/go-containerregistry/cmd/crane@v0.22.1
go_program regctl github.com/regclient/regclient/cmd/regctl@v0.11.7
go_program registry github.com/distribution/distribution/v3/cmd/registry@v3.1.2
python_package oras==0.2.43
python_package schemathesis==4.32.5                          # for tests/admin
if [[ ${1:-} == --all ]]; then
    go_program helm helm.sh/helm/v3/cmd/helm@v3.22.0
    go_program cosign github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
fi
exit 0
