#!/usr/bin/env bash
# regctl (regclient): layouts up and down, artifacts and referrers, chunked uploads, sha512, deletes of tags alone.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/lib.sh"
need regctl curl openssl python3

declare -A digest=(
    [image]=$(mkimage image "$DIR/image" --seed regctl)
    [multi]=$(mkimage multi "$DIR/multi" --seed regctl)
    [artifact]=$(mkimage artifact "$DIR/artifact" --seed regctl)
)
push() { regctl image copy "ocidir://$DIR/$1:latest" "$REG/e2e/$1:v1"; }
pull() {                                                    # pull KIND REFERENCE: it is what was pushed
    rm -rf "$DIR/back"
    regctl image copy "$REG/e2e/$1$2" "ocidir://$DIR/back:back"
    same_blobs "$DIR/$1" "$DIR/back"
}

round_trip() {
    local kind
    for kind in image multi artifact; do
        say "push $kind; pull it by tag and by digest"
        push "$kind"
        expect_served "e2e/$kind" v1 "${digest[$kind]}"
        expect_blobs "e2e/$kind" "$DIR/$kind"
        expect "digest" "$(regctl image digest "$REG/e2e/$kind:v1")" "${digest[$kind]}"
        pull "$kind" :v1
        pull "$kind" "@${digest[$kind]}"
    done

    say "copy to another repository (mounts), tags"
    regctl image copy "$REG/e2e/multi:v1" "$REG/another/multi:v1"
    expect_served another/multi v1 "${digest[multi]}"
    expect_blobs another/multi "$DIR/multi"
    regctl image copy "$REG/e2e/multi:v1" "$REG/e2e/multi:v2"
    expect "tags" "$(regctl tag ls "$REG/e2e/multi" | xargs)" "v1 v2"
    regctl tag delete "$REG/e2e/multi:v1"
    expect "tags" "$(regctl tag ls "$REG/e2e/multi" | xargs)" "v2"
    expect_served e2e/multi "${digest[multi]}" "${digest[multi]}"

    say "eight artifacts attached to one subject at once, none lost"
    together 8 attach
    expect "referrers" "$(count_referrers e2e/image "${digest[image]}")" 8
    expect "referrers of one type" "$(regctl artifact list "$REG/e2e/image:v1" \
        --filter-artifact-type application/vnd.example.test3 --format '{{len .Descriptors}}')" 1
    expect "content" "$(regctl artifact get --subject "$REG/e2e/image:v1" \
        --filter-artifact-type application/vnd.example.test3)" "artifact 3"
    regctl image copy --referrers "$REG/e2e/image:v1" "$REG/another/image:v1"
    expect "referrers after a copy" "$(count_referrers another/image "${digest[image]}")" 8
}
attach() { echo "artifact $1" | regctl artifact put --artifact-type "application/vnd.example.test$1" --subject "$REG/e2e/image:v1"; }

say "plain HTTP"
serve
regctl registry set --tls disabled "$REG"
round_trip

say "an artifact, one blob, in chunks of 1 MiB"
regctl registry set --blob-chunk 1048576 --blob-max 1048576 "$REG"
head -c 5000001 /dev/urandom >"$DIR/blob"
regctl artifact put --artifact-type application/vnd.example.test --file "$DIR/blob" "$REG/e2e/chunked:v1"
regctl artifact get "$REG/e2e/chunked:v1" | cmp - "$DIR/blob"
grep -q 'method=PATCH.*e2e/chunked' "$DIR/gantry$SERVERS.log"
regctl registry set --blob-chunk 0 --blob-max 0 "$REG"

say "an image whose digests are sha512"
regctl image mod "$REG/e2e/image:v1" --digest-algo sha512 --create "$REG/e2e/image:sha512"
sha512=$(regctl image digest "$REG/e2e/image:sha512")
expect "algorithm" "${sha512%:*}" sha512
rm -rf "$DIR/back"
regctl image copy "$REG/e2e/image@$sha512" "ocidir://$DIR/back:back"
expect "manifest" "sha512:$(sha512sum <"$DIR/back/blobs/sha512/${sha512#*:}" | cut -d ' ' -f 1)" "$sha512"

push_copy() { regctl image copy "ocidir://$DIR/multi:latest" "$1"; }
push_at_once "$DIR/multi" "${digest[multi]}" push_copy

say "delete a manifest"
regctl manifest delete "$REG/e2e/image@${digest[image]}"
if regctl image digest "$REG/e2e/image:v1" 2>/dev/null; then fail "deleted, and still there"; fi
stop

say "TLS and an account"
serve_tls
regctl registry set --tls enabled --cacert "$(<"$CA")" --skip-check "$REG"
refused push image
refused regctl registry login "$REG" --user "$USERNAME" --pass wrong
regctl registry login "$REG" --user "$USERNAME" --pass-stdin <<<"$PASSWORD"
round_trip
regctl registry logout "$REG"
refused regctl image digest "$REG/e2e/image:v1"
stop
