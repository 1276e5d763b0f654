#!/usr/bin/env bash
# helm: charts as OCI artifacts: packaged, pushed, pulled back bit for bit by version and by digest, and rendered.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/lib.sh"
need helm curl openssl

chart() {                                                   # chart VERSION: packs $DIR/e2e-VERSION.tgz
    mkdir -p "$DIR/chart/templates"
    printf 'apiVersion: v2\nname: e2e\nversion: %s\n' "$1" >"$DIR/chart/Chart.yaml"
    printf 'kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: "{{ .Release.Name }}-{{ .Chart.Version }}"\n' \
        >"$DIR/chart/templates/map.yaml"
    helm package "$DIR/chart" --destination "$DIR"
}

pull() {                                                    # pull VERSION HELM-ARGUMENT...: the chart that was pushed
    rm -rf "$DIR/back" && mkdir "$DIR/back"
    helm pull "${at[@]}" --destination "$DIR/back" "${@:2}"
    cmp "$DIR"/back/*.tgz "$DIR/e2e-$1.tgz" || fail "the chart differs"
    echo "ok: $* came back bit for bit"
}

round_trip() {
    say "push charts; pull them by version and by digest; render one out of the registry"
    for version in 1.0.0 1.1.0 2.0.0+build.5; do            # helm writes + as _ in the tag
        helm push "${at[@]}" "$DIR/e2e-$version.tgz" "oci://$REG/charts" 2>&1 | tee "$DIR/push.out"
        expect_served charts/e2e "${version/+/_}" "$(sed -n 's/^Digest: //p' "$DIR/push.out")"
        pull "$version" "oci://$REG/charts/e2e" --version "$version"
    done
    pull 1.0.0 "oci://$REG/charts/e2e@$(served charts/e2e 1.0.0)"
    pull 1.1.0 "oci://$REG/charts/e2e" --version '^1.0.0'   # from the list of tags, the newest that fits
    expect "rendered" "$(helm template "${at[@]}" test "oci://$REG/charts/e2e" --version 1.0.0 | sed -n 's/^  name: //p')" '"test-1.0.0"'
    expect "shown" "$(helm show chart "${at[@]}" "oci://$REG/charts/e2e" --version 1.1.0 2>/dev/null | sed -n 's/^version: //p')" 1.1.0
}

for version in 1.0.0 1.1.0 2.0.0+build.5; do chart "$version"; done

say "plain HTTP"
serve
at=(--plain-http)
round_trip
stop

say "TLS and an account"
serve_tls
at=(--ca-file "$CA")
refused helm push "${at[@]}" "$DIR/e2e-1.0.0.tgz" "oci://$REG/charts"
refused helm registry login "${at[@]}" --username "$USERNAME" --password wrong "$REG"
helm registry login "${at[@]}" --username "$USERNAME" --password-stdin "$REG" <<<"$PASSWORD"
round_trip
helm registry logout "$REG"
refused helm pull "${at[@]}" --destination "$DIR" "oci://$REG/charts/e2e" --version 1.0.0
stop
