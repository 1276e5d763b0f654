# shellcheck shell=bash disable=SC2034,SC2154
# What every client goes through against a Gantry that knows accounts, over TLS: by password, personal token, robot's token and
# certificate, and what it is refused. A script sources it after it has defined
#
#     login USER PASSWORD, logout
#     push REPOSITORY, pull REPOSITORY     one version; a pull takes from Gantry alone, and compares with what was pushed
#     prepare                              what the client has to be told about $REG and $CA, before anything else
#     search TERM                          names and descriptions, where the client can; with SEARCHES_AS=nobody it never says who it is
#     show_certificate                     from now on show $CLIENT_CERT with $CLIENT_KEY; empty CERTIFICATES says why it cannot
#
# There are: alice (may push below `team`), bob (below `other` and `open`), a machine with a certificate (below `team`). `open` is public;
# nobody else may read anything of theirs.

CERTIFICATES=${CERTIFICATES-yes}                            # empty: the client cannot; $WHY says so
LOGIN_CHECKS=${LOGIN_CHECKS-yes}                            # empty: its login only keeps what it is told
NAME=$(basename "$0" .sh)

# A blank, a colon, a quotation mark, and letters of more than one byte.
ALICE='correct: horse "battery" stäple'
BOB='another: password'

admin() { "$GANTRY" "$@" --data "$DIR/gantry$SERVERS"; }    # over the control socket

client_certificate() {                                      # sets CLIENT_CERT and CLIENT_KEY: of CN=machine, by a CA for clients
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes) at=$DIR/tls/client
    openssl req -x509 "${key[@]}" -days 2 -subj "/CN=Clients" -keyout "$at-ca.key" -out "$at-ca.crt" 2>/dev/null
    openssl req -new "${key[@]}" -subj "/CN=machine" -keyout "$at.key" -out "$at.csr" 2>/dev/null
    printf 'extendedKeyUsage=clientAuth\n' >"$at.ext"
    openssl x509 -req -days 2 -in "$at.csr" -CA "$at-ca.crt" -CAkey "$at-ca.key" -CAcreateserial \
        -extfile "$at.ext" -out "$at.cert" 2>/dev/null
    CLIENT_CERT=$at.cert CLIENT_KEY=$at.key
}

serve_accounts() {
    mkdir -p "$DIR/tls"
    CA=$DIR/tls/ca.crt
    make_certificates
    client_certificate
    serve --set "server.tls.certificate=$DIR/tls/leaf.crt" --set "server.tls.key=$DIR/tls/leaf.key" \
        --set "server.tls.client_ca=$DIR/tls/client-ca.crt" --set server.tls.client_certificates=optional \
        --set auth.client_certificates.user=cn --set auth.anonymous=read --set v1.enabled=true
    admin user add root --admin --no-password
    admin user add alice --email alice@example.com --password-stdin <<<"$ALICE"
    admin user add bob --password-stdin <<<"$BOB"
    admin namespace create / --visibility private >/dev/null
    admin namespace create open --visibility public --description "Open to all" >/dev/null
    admin grant add alice push team >/dev/null
    admin grant add cert:machine push team >/dev/null
    admin grant add bob push other >/dev/null
    admin grant add bob push open >/dev/null
    TOKEN=$(admin token create --name personal --owner alice)
    PULL_TOKEN=$(admin token create --name narrow --owner alice --scope 'team/**:pull')
    ROBOT_TOKEN=$(admin token create --name ci --robot ci --scope 'team/**:pull,push' --expires 1h)
    REVOKED=$(admin token create --name gone --owner alice)
    revoke gone
}

revoke() {                                                  # revoke NAME: the token of that name
    local id
    id=$(admin token list --json | python3 -c 'import json, sys
print(*(token["id"] for token in json.load(sys.stdin)["tokens"] if token["name"] == sys.argv[1]))' "$1")
    admin token revoke "$id" >/dev/null
}

# kept_out COMMAND...: it fails for want of access. To who is known, what may not be seen is not there.
kept_out() {
    local answer
    if answer=$("$@" 2>&1 </dev/null); then fail "not kept out: $*"; fi
    grep -qiE '401|403|404|unauthorized|authentication|authorization|no basic auth|credential|denied|forbidden|invalid username|not.?found|name.?unknown|manifest.?unknown|not known|insufficient' \
        <<<"$answer" || fail "failed for another reason: $*: $answer"
    printf 'ok: kept out: %s\n' "$*"
}

finds() {                                                   # finds TERM RESULT: this and no more, if the client searches
    [[ $(type -t search) == function ]] || return 0
    expect "search for $1" "$(search "$1")" "$2"
}

# logged_in_by HOW USER PASSWORD: a login, what it allows, and what it does not.
logged_in_by() {
    say "by $1"
    login "$2" "$3"
    push "team/$1"
    pull "team/$1"
    pull open/image
    [[ -n ${SEARCHES_AS-} ]] || finds "am/$1" "team/$1:"
    finds image "open/image: Open to all"
    finds secret ""
    kept_out pull other/secret
    kept_out push "other/$1"
    kept_out push "open/$1"
    logout
    kept_out pull "team/$1"
    kept_out push "team/$1"
}

story() {
    serve_accounts
    prepare

    say "without a login"
    kept_out push team/nobody
    kept_out pull team/nobody
    if [[ -n $LOGIN_CHECKS ]]; then
        kept_out login alice wrong
        kept_out login gone "$REVOKED"
        kept_out login nobody "$ALICE"
    else
        login alice wrong
        kept_out push team/nobody
        login gone "$REVOKED"
        kept_out push team/nobody
        logout
    fi

    say "somebody else has a public image and a private one"
    login bob "$BOB"
    push open/image
    push other/secret
    logout
    say "nobody in particular pulls the public one, and no more"
    pull open/image
    finds "TO all" "open/image: Open to all"
    finds secret ""
    kept_out push open/another                              # of what is there already, some clients only make sure
    kept_out pull other/secret

    logged_in_by password alice "$ALICE"
    logged_in_by address alice@example.com "$ALICE"
    logged_in_by token alice "$TOKEN"
    logged_in_by robot anything "$ROBOT_TOKEN"

    say "a token for pulling pulls, and cannot push"
    login alice "$PULL_TOKEN"
    pull team/password
    kept_out push team/new
    kept_out pull other/secret
    logout

    say "a login ends with its token"
    login alice "$TOKEN"
    pull team/token
    revoke personal
    kept_out pull team/token
    logout

    if [[ -n $CERTIFICATES ]]; then
        say "by certificate"
        show_certificate
        push team/certificate
        pull team/certificate
        pull open/image
        kept_out pull other/secret
        kept_out push other/certificate
        admin grant remove cert:machine push team >/dev/null
        kept_out push team/more
        kept_out pull team/certificate
    else
        note "no client certificate: $WHY"
    fi

    local secret
    for secret in "$ALICE" "$BOB" "$TOKEN" "$PULL_TOKEN" "$ROBOT_TOKEN" "$REVOKED"; do
        if grep -rqF -- "$secret" "$DIR/gantry$SERVERS.log" "$DIR/gantry$SERVERS.out"; then fail "a secret is in the log"; fi
        if grep -qF -- "$secret" <(admin audit --limit 0); then fail "a secret is in the audit log"; fi
    done
    stop
}

story
