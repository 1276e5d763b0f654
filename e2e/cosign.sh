#!/usr/bin/env bash
# cosign: signs and attests images with a key of its own, offline; signatures are referrers of the image. crane pushes it.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/lib.sh"
need cosign crane curl openssl python3

image=$(mkimage image "$DIR/image" --seed cosign)
multi=$(mkimage multi "$DIR/multi" --seed cosign)
echo '{"found": "nothing"}' >"$DIR/predicate.json"
cd "$DIR"
export COSIGN_PASSWORD=secret
cosign generate-key-pair

# No transparency log, no time stamps: a signing configuration without any service keeps cosign offline.
cosign signing-config create --out "$DIR/signing.json"
sign() { cosign sign --yes --key cosign.key --signing-config signing.json "${at[@]}" "$@"; }
verify() { cosign verify --key cosign.pub --insecure-ignore-tlog "${at[@]}" "$@"; }

round_trip() {
    say "push; sign by digest; verify by tag and by digest"
    crane push "$DIR/image" "$REG/e2e/image:v1"
    if verify "$REG/e2e/image:v1" >/dev/null 2>&1; then fail "verified, and nobody had signed"; fi
    sign "$REG/e2e/image@$image"
    verify "$REG/e2e/image:v1"
    verify "$REG/e2e/image@$image"
    expect "referrers" "$(count_referrers e2e/image "$image")" 1

    say "attest; verify the attestation"
    cosign attest --yes --key cosign.key --signing-config signing.json "${at[@]}" \
        --type custom --predicate predicate.json "$REG/e2e/image@$image"
    cosign verify-attestation --key cosign.pub --insecure-ignore-tlog "${at[@]}" --type custom "$REG/e2e/image:v1" >/dev/null
    expect "referrers" "$(count_referrers e2e/image "$image")" 2
    cosign tree "${at[@]}" "$REG/e2e/image@$image"

    say "an index and, with --recursive, its images"
    crane push "$DIR/multi" "$REG/e2e/multi:v1"
    sign --recursive "$REG/e2e/multi@$multi"
    verify "$REG/e2e/multi:v1"
    for digest in $(crane manifest "$REG/e2e/multi:v1" | python3 -c 'import json, sys; print(*(m["digest"] for m in json.load(sys.stdin)["manifests"]))'); do
        verify "$REG/e2e/multi@$digest"
    done

    say "eight signatures of one image at once, none lost"
    crane push "$DIR/image" "$REG/e2e/together:v1"
    together 8 sign_as
    expect "referrers" "$(count_referrers e2e/together "$image")" 8
    for number in {1..8}; do verify --annotations "number=$number" "$REG/e2e/together:v1" >/dev/null; done
}
sign_as() { sign --annotations "number=$1" "$REG/e2e/together@$image"; }

say "plain HTTP"
serve
at=(--allow-http-registry)
round_trip
stop

say "TLS and an account"
serve_tls
export SSL_CERT_FILE=$CA
at=(--registry-cacert "$CA")
crane auth login "$REG" --username "$USERNAME" --password "$PASSWORD"
crane push "$DIR/image" "$REG/e2e/image:v1"
crane auth logout "$REG"
refused sign "$REG/e2e/image@$image"
cosign login "$REG" --username "$USERNAME" --password wrong
refused sign "$REG/e2e/image@$image"
cosign login "$REG" --username "$USERNAME" --password "$PASSWORD"
round_trip
crane auth logout "$REG"
refused verify "$REG/e2e/image:v1"
stop
