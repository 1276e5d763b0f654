//! Tokens made by hand: good ones, and every kind of forged one, for the tests of whatever takes tokens.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaKeyPair,
};
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::key::Kind;
use super::*;

/// A moment to be now.
pub(in crate::auth) const NOW: i64 = 1_800_000_000;

/// Somebody with a private key.
pub(in crate::auth) struct Signer {
    algorithm: Algorithm,
    /// PKCS #8.
    pub(in crate::auth) private: Vec<u8>,
    /// As X.509 has it.
    pub(in crate::auth) spki: Vec<u8>,
}

impl Signer {
    pub(in crate::auth) fn new(algorithm: Algorithm) -> Self {
        let ec = |curve| EcdsaKeyPair::generate(curve).unwrap().to_pkcs8v1().unwrap().as_ref().to_vec();
        let private = match algorithm.kind() {
            Kind::Rsa => RsaKeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap().as_ref().to_vec(),
            Kind::P256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Kind::P384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Kind::P521 => ec(&ECDSA_P521_SHA512_FIXED_SIGNING),
            Kind::Ed25519 => Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref().to_vec(),
        };
        Self::of(algorithm, private)
    }

    pub(in crate::auth) fn of(algorithm: Algorithm, private: Vec<u8>) -> Self {
        let spki = match algorithm.kind() {
            Kind::Rsa => {
                RsaKeyPair::from_pkcs8(&private).unwrap().public_key().as_der().unwrap().as_ref().to_vec()
            }
            Kind::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&private).unwrap();
                pair.public_key().as_der().unwrap().as_ref().to_vec()
            }
            _ => {
                let pair = EcdsaKeyPair::from_pkcs8(curve(algorithm), &private).unwrap();
                pair.public_key().as_der().unwrap().as_ref().to_vec()
            }
        };
        Self { algorithm, private, spki }
    }

    /// With another algorithm for the same key.
    pub(in crate::auth) fn with(&self, algorithm: Algorithm) -> Self {
        Self { algorithm, private: self.private.clone(), spki: self.spki.clone() }
    }

    pub(in crate::auth) fn public(&self) -> PublicKey {
        PublicKey::from_spki(&SubjectPublicKeyInfo::from_der(&self.spki).unwrap().1).unwrap()
    }

    pub(in crate::auth) fn kid(&self) -> String {
        self.public().thumbprint().to_owned()
    }

    pub(in crate::auth) fn jwk(&self) -> Value {
        let mut jwk: Value = serde_json::from_str(self.public().jwk()).unwrap();
        jwk["kid"] = self.kid().into();
        jwk
    }

    pub(in crate::auth) fn header(&self) -> Value {
        json!({ "typ": "JWT", "alg": self.algorithm.name(), "kid": self.kid() })
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        let rsa = |padding: &'static dyn aws_lc_rs::signature::RsaEncoding| {
            let pair = RsaKeyPair::from_pkcs8(&self.private).unwrap();
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &rng, message, &mut signature).unwrap();
            signature
        };
        match self.algorithm {
            Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
            Algorithm::Rs384 => rsa(&RSA_PKCS1_SHA384),
            Algorithm::Rs512 => rsa(&RSA_PKCS1_SHA512),
            Algorithm::Ps256 => rsa(&RSA_PSS_SHA256),
            Algorithm::Ps384 => rsa(&RSA_PSS_SHA384),
            Algorithm::Ps512 => rsa(&RSA_PSS_SHA512),
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.private)
                .unwrap()
                .sign(message)
                .as_ref()
                .to_vec(),
            _ => {
                let pair = EcdsaKeyPair::from_pkcs8(curve(self.algorithm), &self.private).unwrap();
                pair.sign(&rng, message).unwrap().as_ref().to_vec()
            }
        }
    }

    /// A token with this header.
    pub(in crate::auth) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        compact(header, claims, |message| self.signature(message))
    }

    /// A token.
    pub(in crate::auth) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }
}

fn curve(algorithm: Algorithm) -> &'static EcdsaSigningAlgorithm {
    match algorithm.kind() {
        Kind::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        Kind::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
    }
}

fn compact(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = base64url(&sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn with(value: &Value, key: &str, new: impl Into<Value>) -> Value {
    let mut value = value.clone();
    value[key] = new.into();
    value
}

fn without(value: &Value, key: &str) -> Value {
    let mut value = value.clone();
    value.as_object_mut().unwrap().remove(key);
    value
}

/// Every kind of forged token, made from a good one by `signer` (ES256). None of them may ever count.
pub(in crate::auth) fn forgeries(signer: &Signer, claims: &Value) -> Vec<(&'static str, String)> {
    let header = signer.header();
    let good = signer.sign(claims);
    let stranger = Signer::new(Algorithm::Es256);
    let mut all: Vec<(&'static str, String)> = Vec::new();

    for none in ["none", "None", "NONE", "nOnE"] {
        let header = with(&header, "alg", none);
        all.push(("alg none, unsigned", compact(&header, claims, |_| Vec::new())));
        all.push(("alg none, with a signature", signer.sign_with(&header, claims)));
    }
    all.push(("no signature at all", good.rsplit_once('.').unwrap().0.to_owned()));
    all.push(("an empty signature", format!("{}.", good.rsplit_once('.').unwrap().0)));

    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&signer.spki));
    let secrets = [
        pem.as_bytes(),
        &signer.spki,
        signer.public().jwk().as_bytes(),
        signer.public().thumbprint().as_bytes(),
        b"",
    ]
    .map(<[u8]>::to_vec);
    for (name, hash) in [("HS256", aws_lc_rs::hmac::HMAC_SHA256), ("HS512", aws_lc_rs::hmac::HMAC_SHA512)] {
        for secret in &secrets {
            let mac = |message: &[u8]| {
                aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(hash, secret), message).as_ref().to_vec()
            };
            all.push((
                "the public key as a shared secret",
                compact(&with(&header, "alg", name), claims, mac),
            ));
            all.push((
                "the public key as a shared secret, under the old name",
                compact(&header, claims, mac),
            ));
        }
    }

    let own_key = with(&stranger.header(), "jwk", stranger.jwk());
    all.push(("a key in the header", stranger.sign_with(&own_key, claims)));
    all.push((
        "a key in the header under a known name",
        stranger.sign_with(&with(&own_key, "kid", signer.kid()), claims),
    ));
    all.push(("a key in the header without a name", stranger.sign_with(&without(&own_key, "kid"), claims)));
    all.push(("the right key in the header", signer.sign_with(&with(&header, "jwk", signer.jwk()), claims)));
    let x5c = json!([STANDARD.encode(self_signed(&stranger))]);
    for header in [with(&stranger.header(), "x5c", x5c.clone()), with(&header, "x5c", x5c)] {
        all.push(("a stranger's certificate", stranger.sign_with(&header, claims)));
        all.push((
            "a stranger's certificate without a name",
            stranger.sign_with(&without(&header, "kid"), claims),
        ));
    }
    for place in ["jku", "x5u"] {
        let url = "http://127.0.0.1:1/stranger.jwks.json";
        all.push(("a place of keys", stranger.sign_with(&with(&stranger.header(), place, url), claims)));
        all.push((
            "a place of keys under a known name",
            stranger.sign_with(&with(&header, place, url), claims),
        ));
    }
    for kid in [
        "../../../../../../dev/null",
        "/etc/passwd",
        "' OR 1=1 --",
        "x' UNION VALUES ('key') --",
        "a\0b",
        "",
        "*",
        "0",
    ] {
        let header = with(&header, "kid", kid);
        all.push(("a name that is a path or a statement", stranger.sign_with(&header, claims)));
        all.push((
            "a name that is a path or a statement, signed with nothing",
            compact(&header, claims, |_| vec![0; 64]),
        ));
    }
    all.push(("an unknown key", stranger.sign(claims)));
    all.push(("another key of the same kind under a known name", stranger.sign_with(&header, claims)));
    let other = Signer::new(Algorithm::EdDsa);
    all.push((
        "a key of another kind under a known name",
        other.sign_with(&with(&header, "alg", "EdDSA"), claims),
    ));
    all.push(("another algorithm's name", signer.sign_with(&with(&header, "alg", "ES384"), claims)));

    let parts: Vec<&str> = good.split('.').collect();
    let changed = with(claims, "sub", "admin");
    let payload = base64url(changed.to_string().as_bytes());
    all.push(("changed claims", format!("{}.{payload}.{}", parts[0], parts[2])));
    let mut signature = from_base64url(parts[2]).unwrap();
    signature[7] ^= 1;
    all.push(("a changed signature", format!("{}.{}.{}", parts[0], parts[1], base64url(&signature))));
    all.push(("a signature of zeros", format!("{}.{}.{}", parts[0], parts[1], base64url(&[0; 64]))));
    let der = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &signer.private).unwrap();
    let der = |message: &[u8]| der.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
    all.push(("a signature in DER", compact(&header, claims, der)));

    for (name, claims) in [
        ("no exp", without(claims, "exp")),
        ("exp that is null", with(claims, "exp", Value::Null)),
        ("exp that is text", with(claims, "exp", (NOW + 300).to_string())),
        ("exp beyond all times", with(claims, "exp", 1e300)),
        ("exp long past", with(claims, "exp", NOW - 600)),
        ("nbf ahead", with(claims, "nbf", NOW + 600)),
        ("iat ahead", with(claims, "iat", NOW + 600)),
        ("another iss", with(claims, "iss", "https://elsewhere.example")),
        ("no iss", without(claims, "iss")),
        ("iss as a list", with(claims, "iss", json!([claims["iss"]]))),
        ("another aud", with(claims, "aud", "elsewhere.example")),
        ("no aud", without(claims, "aud")),
        ("no aud in the list", with(claims, "aud", json!([]))),
        ("aud with something before", with(claims, "aud", format!("x{}", claims["aud"].as_str().unwrap()))),
    ] {
        all.push((name, signer.sign(&claims)));
    }
    for typ in ["JOSE", "at+jwt2", "refresh", "logout+jwt", "secevent+jwt"] {
        all.push(("another typ", signer.sign_with(&with(&header, "typ", typ), claims)));
    }
    for (name, value) in
        [("crit", json!(["exp"])), ("b64", json!(false)), ("zip", json!("DEF")), ("enc", json!("A256GCM"))]
    {
        all.push(("a header that asks for more", signer.sign_with(&with(&header, name, value), claims)));
    }

    for tail in [".", "=", " ", "\n", "A", ".AAAA", "\0", "é"] {
        all.push(("something behind it", format!("{good}{tail}")));
        all.push(("something before it", format!("{tail}{good}")));
    }
    let list = signer.sign_with(&json!(["ES256", "JWT", signer.kid()]), claims);
    all.push(("a header that is a list", list));
    all.push(("claims that are a list", signer.sign(&json!([claims]))));
    all.push(("a part more", format!("{good}.{}", parts[2])));
    let twice = |name: &str, value: Value| {
        let text = claims.to_string();
        let text = format!("{{\"{name}\":{value},{}", &text[1..]);
        let message = format!("{}.{}", parts[0], base64url(text.as_bytes()));
        format!("{message}.{}", base64url(&signer.signature(message.as_bytes())))
    };
    all.push(("a claim twice", twice("sub", json!("admin"))));
    all.push(("a time twice", twice("exp", json!(NOW + 1))));
    all.push(("a megabyte", signer.sign(&with(claims, "padding", "x".repeat(1 << 20)))));
    all.push(("a megabyte of nothing", ".".repeat(1 << 20)));
    all.push((
        "a deep one",
        format!("{}.{}.{}", parts[0], base64url("[".repeat(10_000).as_bytes()), parts[2]),
    ));
    all.push(("nothing", String::new()));
    all
}

pub(in crate::auth) fn self_signed(signer: &Signer) -> Vec<u8> {
    let key = rcgen::KeyPair::try_from(signer.private.as_slice()).unwrap();
    let params = rcgen::CertificateParams::new(vec!["stranger.example".to_owned()]).unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

#[test]
fn each_algorithm_verifies_what_its_key_signed_and_nothing_else() {
    let signers = Algorithm::ALL.map(Signer::new);
    for signer in &signers {
        let text = signer.sign(&json!({ "sub": "alice" }));
        for other in &signers {
            let token = Token::parse(&text).unwrap();
            let same = std::ptr::eq(signer, other);
            assert_eq!(
                token.verify(&other.public()).is_ok(),
                same,
                "{:?} {:?}",
                signer.algorithm,
                other.algorithm
            );
        }
        let jwk: Jwk = serde_json::from_value(signer.jwk()).unwrap();
        let public = PublicKey::from_jwk(&jwk).unwrap();
        assert_eq!(public.thumbprint(), signer.kid(), "a key is the same key in either form");
        assert!(Token::parse(&text).unwrap().verify(&public).is_ok());
    }
    let rsa = &signers[0];
    for algorithm in Algorithm::ALL.iter().filter(|algorithm| algorithm.kind() == Kind::Rsa) {
        let text = rsa.with(*algorithm).sign(&json!({}));
        assert!(Token::parse(&text).unwrap().verify(&rsa.public()).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn another_implementation_reads_and_writes_the_same() {
    for (algorithm, theirs) in [
        (Algorithm::Es256, jsonwebtoken::Algorithm::ES256),
        (Algorithm::Es384, jsonwebtoken::Algorithm::ES384),
        (Algorithm::EdDsa, jsonwebtoken::Algorithm::EdDSA),
    ] {
        let signer = Signer::new(algorithm);
        let claims = json!({ "sub": "alice", "aud": "x" });
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(signer.jwk()).unwrap();
        let mut validation = jsonwebtoken::Validation::new(theirs);
        validation.set_required_spec_claims(&["sub"]);
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let read = jsonwebtoken::decode::<Value>(signer.sign(&claims), &key, &validation).unwrap();
        assert_eq!(read.claims, claims);

        let key = match algorithm {
            Algorithm::EdDsa => jsonwebtoken::EncodingKey::from_ed_der(&signer.private),
            _ => jsonwebtoken::EncodingKey::from_ec_der(&signer.private),
        };
        let text = jsonwebtoken::encode(&jsonwebtoken::Header::new(theirs), &claims, &key).unwrap();
        assert_eq!(Token::parse(&text).unwrap().verify(&signer.public()).unwrap().text("sub"), Some("alice"));
    }
}

/// The example of RFC 7638, 3.1, and what libtrust makes of the key of RFC 7515, A.3.
#[test]
fn keys_have_the_names_that_others_give_them() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W\
             -5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let jwk = json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" });
    let key = PublicKey::from_jwk(&serde_json::from_value(jwk).unwrap()).unwrap();
    assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert!(key.is_called("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));

    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let key = PublicKey::from_jwk(&serde_json::from_value(jwk).unwrap()).unwrap();
    assert_eq!(key.libtrust_id(), "FPI3:WDCE:VCL4:GCT2:UCMR:ZXRY:3ADC:7ZCB:3ZIN:UD2G:QJJU:J5QC");
    assert!(key.is_called(key.libtrust_id()) && !key.is_called(""));
}

#[test]
fn keys_that_are_not_for_this_are_none() {
    let good = Signer::new(Algorithm::Es256).jwk();
    let read = |jwk: Value| {
        PublicKey::from_jwk(&serde_json::from_value(jwk).unwrap()).map_err(|error| error.to_string())
    };
    assert!(read(good.clone()).is_ok());
    assert!(read(with(&good, "use", "sig")).is_ok());
    assert!(read(with(&good, "key_ops", json!(["verify"]))).is_ok());
    let x = good["x"].as_str().unwrap();
    for (name, bad) in [
        ("for encryption", with(&good, "use", "enc")),
        ("not for verifying", with(&good, "key_ops", json!(["encrypt"]))),
        ("an unknown curve", with(&good, "crv", "secp256k1")),
        ("another curve", with(&good, "crv", "P-384")),
        ("no curve", without(&good, "crv")),
        ("a short coordinate", with(&good, "x", &x[2..])),
        ("padding", with(&good, "x", format!("{x}="))),
        ("not on the curve", with(&good, "x", base64url(&[7; 32]))),
        ("a shared secret", json!({ "kty": "oct", "k": "c2VjcmV0" })),
        ("another kind", json!({ "kty": "OKP", "crv": "X25519", "x": base64url(&[9; 32]) })),
        ("short RSA", json!({ "kty": "RSA", "e": "AQAB", "n": base64url(&[0xff; 128]) })),
        (
            "zeros that make it long",
            json!({ "kty": "RSA", "e": "AQAB", "n": base64url(&[vec![0; 128], vec![0xff; 128]].concat()) }),
        ),
        ("long RSA", json!({ "kty": "RSA", "e": "AQAB", "n": base64url(&[0xff; 1025]) })),
        ("an exponent of 1", json!({ "kty": "RSA", "e": "AQ", "n": base64url(&[0xff; 256]) })),
        ("an even exponent", json!({ "kty": "RSA", "e": "Ag", "n": base64url(&[0xff; 256]) })),
        ("no exponent", json!({ "kty": "RSA", "n": base64url(&[0xff; 256]) })),
    ] {
        assert!(read(bad).is_err(), "{name}");
    }
}

#[test]
fn times_may_be_off_by_a_minute() {
    let claims = |text: &str| Claims::parse(text.as_bytes()).unwrap();
    let check = |text: String| claims(&text).check_times(NOW);
    assert_eq!(check(format!(r#"{{"exp":{}}}"#, NOW - 60)), Ok(()));
    assert_eq!(check(format!(r#"{{"exp":{}}}"#, NOW - 61)), Err(TokenError::Expired));
    assert_eq!(check(format!(r#"{{"exp":{}.5}}"#, NOW + 1)), Ok(()));
    for name in ["nbf", "iat"] {
        assert_eq!(check(format!(r#"{{"exp":{},"{name}":{}}}"#, NOW + 300, NOW + 60)), Ok(()));
        assert_eq!(
            check(format!(r#"{{"exp":{},"{name}":{}}}"#, NOW + 300, NOW + 61)),
            Err(TokenError::Early)
        );
    }
    for bad in [
        "{}",
        r#"{"exp":null}"#,
        r#"{"exp":"1"}"#,
        r#"{"exp":-1}"#,
        r#"{"exp":1e99}"#,
        r#"{"exp":true}"#,
        r#"{"exp":[1]}"#,
    ] {
        assert_eq!(check(bad.to_owned()), Err(TokenError::Claims), "{bad}");
    }
    assert_eq!(check(format!(r#"{{"exp":{},"nbf":"soon"}}"#, NOW + 1)), Err(TokenError::Claims));
}

#[test]
fn claims_inside_others_are_found_by_pointer() {
    let claims =
        Claims::parse(br#"{"kubernetes.io":{"namespace":"ci","list":["a"]},"a/b":{"c":1},"no":null}"#)
            .unwrap();
    for (place, found) in [
        ("kubernetes.io", true),
        ("/kubernetes.io/namespace", true),
        ("/kubernetes.io/list/0", true),
        ("/a~1b/c", true),
        ("a/b", true),
        ("/a/b/c", false),
        ("kubernetes.io/namespace", false),
        ("/kubernetes.io/none", false),
        ("no", false),
        ("/no", false),
        ("/", false),
    ] {
        assert_eq!(claims.at(place).is_some(), found, "{place}");
    }
}

#[test]
fn audiences_are_text_or_lists() {
    let check = |aud: Value| {
        Claims::parse(json!({ "aud": aud }).to_string().as_bytes()).unwrap().check_audience(["a", "b"])
    };
    for good in [json!("a"), json!("b"), json!(["x", "a"]), json!(["b", 1])] {
        assert_eq!(check(good.clone()), Ok(()), "{good}");
    }
    for bad in
        [json!("A"), json!("ab"), json!([]), json!([["a"]]), json!({ "a": "a" }), json!(null), json!(1)]
    {
        assert_eq!(check(bad.clone()), Err(TokenError::Audience), "{bad}");
    }
}

#[test]
fn every_reason_has_a_word_of_its_own() {
    let all = [
        TokenError::Malformed,
        TokenError::Header,
        TokenError::Algorithm,
        TokenError::Key,
        TokenError::Certificate,
        TokenError::Signature,
        TokenError::Issuer,
        TokenError::Audience,
        TokenError::Expired,
        TokenError::Early,
        TokenError::Claims,
    ];
    let words: std::collections::BTreeSet<_> = all.iter().map(|error| error.reason()).collect();
    assert_eq!(words.len(), all.len());
}
