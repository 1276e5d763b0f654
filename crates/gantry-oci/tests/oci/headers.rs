//! Challenges, `Accept`, media types and the error document.

use gantry_oci::media_type::{self, essence, is_non_distributable};
use gantry_oci::{Accept, Challenge, ErrorCode, ErrorDocument, ErrorEntry};

fn bearer(realm: &str, service: &str, scope: Option<&str>, error: Option<&str>) -> Challenge {
    Challenge::Bearer {
        realm: realm.to_owned(),
        service: service.to_owned(),
        scope: scope.map(str::to_owned),
        error: error.map(str::to_owned),
    }
}

#[test]
fn a1_challenges_are_written_quoted_and_in_order() {
    let challenge = bearer(
        "https://host/auth/token",
        "host",
        Some("repository:a/b:pull,push"),
        Some("insufficient_scope"),
    );
    assert_eq!(
        challenge.to_string(),
        r#"Bearer realm="https://host/auth/token",service="host",scope="repository:a/b:pull,push",error="insufficient_scope""#
    );
    // A-3, A-5: what is not said is not there.
    assert_eq!(bearer("r", "s", None, None).to_string(), r#"Bearer realm="r",service="s""#);
    assert_eq!(Challenge::Basic { realm: "Gantry".to_owned() }.to_string(), r#"Basic realm="Gantry""#);
}

#[test]
fn a_challenge_is_one_header_whatever_is_in_it() {
    let challenge = Challenge::Basic { realm: "a\"b\\c\r\nX-Evil: 1\0".to_owned() };
    assert_eq!(challenge.to_string(), r#"Basic realm="a\"b\\cX-Evil: 1""#);
    assert_eq!(
        Challenge::parse(&challenge.to_string()),
        [Challenge::Basic { realm: "a\"b\\cX-Evil: 1".to_owned() }]
    );
}

#[test]
fn challenges_are_read_as_registries_write_them() {
    let one = bearer("https://h/t", "h", Some("repository:a/b:pull,push"), None);
    for header in [
        r#"Bearer realm="https://h/t",service="h",scope="repository:a/b:pull,push""#,
        r#"bearer realm="https://h/t", service="h" , scope="repository:a/b:pull,push""#,
        r#"BEARER Service="h",SCOPE="repository:a/b:pull,push",Realm = "https://h/t",unknown=1"#,
        r#"Bearer realm=https://h/t,service=h,scope="repository:a/b:pull,push""#,
        r#"Negotiate YIIabc==, Bearer realm="https://h/t",service="h",scope="repository:a/b:pull,push""#,
    ] {
        assert_eq!(Challenge::parse(header), std::slice::from_ref(&one), "{header}");
    }
    assert_eq!(
        Challenge::parse(r#"Basic realm="x", Bearer realm="y",error="invalid_token", Basic"#),
        [
            Challenge::Basic { realm: "x".to_owned() },
            bearer("y", "", None, Some("invalid_token")),
            Challenge::Basic { realm: String::new() },
        ]
    );
    for nothing in
        ["", ",", " , ", "=", "==\"", "Digest realm=\"x\"", "Bearer", "Bearer service=\"x\"", "realm=\"x\""]
    {
        assert_eq!(Challenge::parse(nothing), [], "{nothing:?}");
    }
    assert_eq!(Challenge::parse(r#"Basic realm="open\"#), [Challenge::Basic { realm: "open".to_owned() }]);
}

#[test]
fn x5_3_accept_in_one_line_or_many() {
    let one =
        Accept::from_lines(["application/vnd.oci.image.index.v1+json, application/json;q=0.5 ,, text/*"]);
    let many =
        Accept::from_lines(["application/vnd.oci.image.index.v1+json", "application/json; a=b", "text/*"]);
    assert_eq!(one, many);
    assert_eq!(one.to_string(), "application/vnd.oci.image.index.v1+json, application/json, text/*");
    assert!(one.accepts(media_type::OCI_INDEX));
    assert!(one.accepts("text/plain"));
    assert!(!one.accepts("text"));
    assert!(!one.accepts("textual/plain"));
    assert!(!one.accepts(media_type::OCI_MANIFEST));
    for all in [
        Accept::default(),
        Accept::from_lines([]),
        Accept::from_lines([""]),
        Accept::from_lines(["a/b, */*"]),
    ] {
        assert!(all.accepts(media_type::OCI_MANIFEST), "{all:?}");
    }
}

#[test]
fn g9_media_types() {
    let long = format!("a/{}", "b".repeat(127));
    for (value, expected) in [
        (media_type::OCI_MANIFEST, media_type::OCI_MANIFEST),
        ("application/json; charset=utf-8", "application/json"),
        ("\tapplication/json ;charset=utf-8", "application/json"),
        // Compared exactly, so kept exactly.
        ("Application/JSON", "Application/JSON"),
        ("a/b+c.d-e_f!g#h$i&j^k", "a/b+c.d-e_f!g#h$i&j^k"),
        (&long, &long),
    ] {
        assert_eq!(essence(value), Some(expected), "{value:?}");
    }
    for bad in [
        "",
        ";",
        "json",
        "a/",
        "/b",
        "a/b/c",
        "a b/c",
        "a/b c",
        "a/+b",
        "*/*",
        "a/é",
        "a,b/c",
        &format!("{long}b"),
    ] {
        assert_eq!(essence(bad), None, "{bad:?}");
    }
}

#[test]
fn e10_6_layers_that_are_never_pushed() {
    for layer in [
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ] {
        assert!(is_non_distributable(layer), "{layer}");
    }
    assert!(!is_non_distributable("application/vnd.oci.image.layer.v1.tar+gzip"));
}

#[test]
fn e14_1_the_error_document() {
    let document = ErrorDocument::one(ErrorCode::BlobUnknown, "no \"such\" blob");
    let json = br#"{"errors":[{"code":"BLOB_UNKNOWN","message":"no \"such\" blob"}]}"#;
    assert_eq!(document.to_json(), json);
    assert_eq!(ErrorDocument::parse(json), Some(document));
    let detail = serde_json::json!({ "digest": ["x", 1] });
    let entry = ErrorEntry { code: ErrorCode::Denied, message: String::new(), detail: Some(detail) };
    let document = ErrorDocument { errors: vec![entry.clone(), entry] };
    assert_eq!(ErrorDocument::parse(&document.to_json()), Some(document));
}

#[test]
fn error_documents_are_read_as_registries_write_them() {
    let unknown = |message: &str| Some(ErrorDocument::one(ErrorCode::Unknown, message));
    assert_eq!(ErrorDocument::parse(br#"{"errors":[{"code":"TAG_INVALID","message":"m"}]}"#), unknown("m"));
    assert_eq!(ErrorDocument::parse(br#"{"errors":[{"message":"m","detail":null}],"x":1}"#), unknown("m"));
    assert_eq!(ErrorDocument::parse(br#"{"errors":[{"code":null,"message":null}]}"#), unknown(""));
    assert_eq!(ErrorDocument::parse(br#"{"errors":[]}"#), Some(ErrorDocument::default()));
    let deep = format!("{{\"errors\":[{{\"detail\":{}", "[".repeat(200_000));
    for bad in
        ["", "null", "[]", "{}", "<html>", r#"{"errors":null}"#, r#"{"errors":["x"]}"#, "\u{feff}{}", &deep]
    {
        assert_eq!(ErrorDocument::parse(bad.as_bytes()), None, "{}", bad.get(..20).unwrap_or(bad));
    }
    assert_eq!(ErrorDocument::parse(b"{\"errors\":[{\"message\":\"\xff\"}]}"), None);
}

#[test]
fn g11_error_codes() {
    for code in ErrorCode::ALL {
        assert!(code.as_str().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{code}");
        assert_eq!(code.as_str().parse(), Ok(*code));
        assert!((400..=599).contains(&code.default_status()), "{code}");
    }
    assert!("blob_unknown".parse::<ErrorCode>().is_err());
}
