#!/usr/bin/env bash
# oras for Python: artifacts with files up and down, an index, attached artifacts, tags; oras_client.py is its driver.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/lib.sh"
need curl openssl python3
python=$ROOT/.tools/venv/bin/python
"$python" -c 'import oras' 2>/dev/null || skip "the Python package oras is not installed (scripts/tools.sh installs it)"
oras() { "$python" "$E2E/oras_client.py" "$@"; }

declare -A digest=(
    [image]=$(mkimage image "$DIR/image" --seed oras)
    [multi]=$(mkimage multi "$DIR/multi" --seed oras)
    [artifact]=$(mkimage artifact "$DIR/artifact" --seed oras)
)
mkdir "$DIR/files"
echo "a text" >"$DIR/files/text.txt"
head -c 5000001 /dev/urandom >"$DIR/files/noise.bin"
for number in {1..8}; do echo "attachment $number" >"$DIR/attachment$number.txt"; done

pull() {                                                    # pull REFERENCE: the files that were pushed
    rm -rf "$DIR/back"
    oras pull "$1" "$DIR/back"
    diff -r "$DIR/files" "$DIR/back" || fail "the files of $1 differ"
    echo "ok: the files of $1 came back bit for bit"
}

round_trip() {
    say "push files; pull them by tag and by digest; in one piece and in chunks"
    oras push "$REG/e2e/files:v1" "$DIR/files/text.txt" "$DIR/files/noise.bin"
    pull "$REG/e2e/files:v1"
    pull "$REG/e2e/files@$(served e2e/files v1)"
    oras chunked "$REG/e2e/chunked:v1" "$DIR/files/text.txt" "$DIR/files/noise.bin"
    pull "$REG/e2e/chunked:v1"

    local kind
    for kind in image multi artifact; do
        say "push $kind from a layout"
        oras layout "$REG/e2e/$kind:v1" "$DIR/$kind"
        expect_served "e2e/$kind" v1 "${digest[$kind]}"
        expect_blobs "e2e/$kind" "$DIR/$kind"
    done

    say "eight artifacts attached to one subject at once, none lost"
    together 8 attach
    expect "referrers" "$(count_referrers e2e/image "${digest[image]}")" 8
    expect "tags" "$(oras tags "$REG/e2e/image")" "a1 a2 a3 a4 a5 a6 a7 a8 v1"
    rm -rf "$DIR/back"
    oras pull "$REG/e2e/image:a5" "$DIR/back"
    expect "attachment" "$(<"$DIR/back/attachment5.txt")" "attachment 5"
    oras delete "$REG/e2e/image:a5"
    expect "referrers after a delete" "$(count_referrers e2e/image "${digest[image]}")" 7
}
attach() { oras attach "$REG/e2e/image:a$1" v1 "$DIR/attachment$1.txt"; }

say "plain HTTP"
serve
round_trip
stop

say "TLS and an account"
serve_tls
export ORAS_CA=$CA
refused oras push "$REG/e2e/files:v1" "$DIR/files/text.txt"
oras login "$REG" "$USERNAME" wrong                         # it only keeps what it is told; the registry judges
refused oras push "$REG/e2e/files:v1" "$DIR/files/text.txt"
oras login "$REG" "$USERNAME" "$PASSWORD"
round_trip
rm "$HOME/.docker/config.json"                              # its logout is for a running program only
refused oras pull "$REG/e2e/files:v1" "$DIR/never"
stop
