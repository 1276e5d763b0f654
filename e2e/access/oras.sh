#!/usr/bin/env bash
# oras for Python with accounts: see story.sh. It pulls with bearer tokens, and pushes with Basic: it asks for one token and no other, so
# that one for pulling, with which it looks whether a blob is there, is what it would then push with.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/../lib.sh"
need curl openssl python3
python=$ROOT/.tools/venv/bin/python
"$python" -c 'import oras' 2>/dev/null || skip "the Python package oras is not installed (scripts/tools.sh installs it)"
oras() { "$python" "$E2E/oras_client.py" "$@"; }
mkdir "$DIR/files"
head -c 100000 /dev/urandom >"$DIR/files/noise.bin"
LOGIN_CHECKS=''

prepare() { export ORAS_CA=$CA; }
login() { oras login "$REG" "$1" "$2"; }
logout() { rm "$HOME/.docker/config.json"; }                # its own is for a running program only
push() { oras push "$REG/$1:v1" "$DIR/files/noise.bin"; }
pull() {
    rm -rf "$DIR/back"
    ORAS_AUTH=token oras pull "$REG/$1:v1" "$DIR/back" && diff -r "$DIR/files" "$DIR/back"
}
show_certificate() { export ORAS_CERT=$CLIENT_CERT ORAS_KEY=$CLIENT_KEY; }

source "$E2E/access/story.sh"
