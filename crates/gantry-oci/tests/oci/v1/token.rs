//! `Authorization` and the text of tokens.

use gantry_oci::v1::{Authorization, TokenAccess, TokenFields};

fn parse(header: &str) -> Authorization {
    Authorization::parse(Some(header.as_bytes()))
}

fn token(signature: &str, repository: &str, access: TokenAccess) -> Authorization {
    let repository = repository.parse().unwrap();
    Authorization::Token(TokenFields { signature: signature.to_owned(), repository, access })
}

#[test]
fn v_9_1_tokens_are_read_as_clients_of_every_age_send_them() {
    let read = token("123abc", "foo/bar", TokenAccess::Read);
    for header in [
        "Token signature=123abc,repository=\"foo/bar\",access=read",
        "token signature=123abc,repository=\"foo/bar\",access=read",
        "TOKEN  signature=123abc,repository=foo/bar,access=read ",
        // The value of a registry that begins it with the word, after the word of the client.
        "Token Token signature=123abc,repository=\"foo/bar\",access=read",
        "Token signature=\"123abc\",repository=\"foo/bar\",access=\"read\"",
        "Token signature:123abc,repository:\"foo/bar\",access:read",
        "Token repository=\"foo/bar\", access=read, signature=123abc",
        "Token signature= 123abc,repository= \"foo/bar\",access=read,more=1,less",
        // Several responses gave one.
        "Token signature=123abc,repository=\"foo/bar\",access=read,signature=9,repository=\"a/b\",access=write",
        "Token Token signature=123abc,repository=\"foo/bar\",access=read,Token signature=9,repository=\"a/b\",access=write",
    ] {
        assert_eq!(parse(header), read, "{header}");
    }
    assert_eq!(
        parse("Token signature=e30.e30.-_x,repository=\"foo\",access=delete"),
        token("e30.e30.-_x", "foo", TokenAccess::Delete)
    );
}

#[test]
fn v_9_4_nobody_s_credentials_are_none() {
    assert_eq!(Authorization::parse(None), Authorization::Nothing);
    for header in
        ["", " ", "Token", "Token ", "token", "Token Token", "Token Token ", "Basic Og==", "basic  Og== "]
    {
        assert_eq!(parse(header), Authorization::Nothing, "`{header}`");
    }
}

#[test]
fn v_9_4_other_schemes_are_for_others() {
    for header in [
        "Basic b2c6b2c=",
        "Basic",
        "Basic Og",
        "Bearer abc",
        "Tokens signature=a",
        "Tokensignature=a",
        "Tok",
        "é",
    ] {
        assert_eq!(parse(header), Authorization::Other, "`{header}`");
    }
    assert_eq!(Authorization::parse(Some(b"Basic \xff")), Authorization::Other);
}

#[test]
fn v_9_1_a_token_without_what_makes_it_one_is_malformed() {
    for header in [
        "Token x",
        "Token signature=a",
        "Token signature=a,repository=\"b\"",
        "Token signature=a,access=read",
        "Token repository=\"b\",access=read",
        "Token signature=,repository=\"b\",access=read",
        "Token signature=\"\",repository=\"b\",access=read",
        "Token signature=a b,repository=\"b\",access=read",
        "Token signature=\u{e9},repository=\"b\",access=read",
        "Token signature=a,repository=\"B\",access=read",
        "Token signature=a,repository=\"\",access=read",
        "Token signature=a,repository=\"~v1/b\",access=read",
        "Token signature=a,repository=\"b\",access=admin",
        "Token signature=a,repository=\"b\",access=READ",
        // Not one of the first and the rest of the second.
        "Token signature=a,access=read,signature=b,repository=\"c\",access=read",
        "Token ,,,",
        "Token =",
    ] {
        assert_eq!(parse(header), Authorization::Malformed, "{header}");
    }
    assert_eq!(Authorization::parse(Some(b"Token signature=\xff")), Authorization::Malformed);
}

#[test]
fn v_9_1_a_token_is_written_with_the_whole_name() {
    let fields = TokenFields {
        signature: "e30.x".to_owned(),
        repository: "foo".parse().unwrap(),
        access: TokenAccess::Write,
    };
    assert_eq!(fields.to_string(), "signature=e30.x,repository=\"library/foo\",access=write");
    assert_eq!(parse(&format!("Token {fields}")), token("e30.x", "library/foo", TokenAccess::Write));
}
