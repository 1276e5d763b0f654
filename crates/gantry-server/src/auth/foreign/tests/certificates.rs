//! Token servers that are trusted by certificate: keys by name, and chains in tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer as Authority, KeyPair,
    KeyUsagePurpose,
};

use super::*;

pub(super) fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

fn key(signer: &Signer) -> KeyPair {
    KeyPair::try_from(signer.private.as_slice()).unwrap()
}

/// Sets the time of a certificate, in seconds since 1970.
fn lasts(params: &mut CertificateParams, begins: i64, ends: i64) {
    let at = |seconds: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds as u64);
    (params.not_before, params.not_after) = (at(begins), at(ends));
}

/// Valid for an hour around the moment of the tests.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    lasts(&mut params, NOW - 3600, NOW + 3600);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

struct Bundled {
    foreign: Foreign,
    _directory: tempfile::TempDir,
}

fn bundled(certificates: &[&[u8]]) -> Bundled {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bundle.pem");
    std::fs::write(&path, certificates.iter().map(|der| pem(der)).collect::<String>()).unwrap();
    let settings = IssuerSettings { jwks: None, certificates: Some(path), ..issuer("auth.example", "") };
    Bundled { foreign: foreign(&[settings], &[]), _directory: directory }
}

/// A token with certificates in its header and no name of a key.
fn chained(signer: &Signer, chain: &[&[u8]]) -> String {
    let mut header = signer.header();
    header.as_object_mut().unwrap().remove("kid");
    header["x5c"] = chain.iter().map(|der| STANDARD.encode(der)).collect::<Vec<_>>().into();
    signer.sign_with(&header, &claims("auth.example"))
}

#[tokio::test]
async fn a_certificates_key_is_known_by_both_of_its_names() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        let signer = Signer::new(algorithm);
        let certificate = params("token server").self_signed(&key(&signer)).unwrap();
        let bundled = bundled(&[certificate.der()]);
        let mut header = signer.header();
        for kid in [signer.kid(), signer.public().libtrust_id().to_owned()] {
            header["kid"] = kid.into();
            bundled
                .foreign
                .identify(&signer.sign_with(&header, &claims("auth.example")), now())
                .await
                .unwrap();
        }
        header["kid"] = "token server".into();
        let told = refusal(&bundled.foreign, &signer.sign_with(&header, &claims("auth.example"))).await;
        assert_eq!(told, ForeignError::BadToken(TokenError::Key));
        // Its own certificate in the token, as some servers send it.
        bundled.foreign.identify(&chained(&signer, &[certificate.der()]), now()).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_is_over_counts_for_nothing() {
    let signer = Signer::new(Algorithm::Es256);
    for (begins, ends) in [(NOW - 7200, NOW - 3600), (NOW + 3600, NOW + 7200)] {
        let mut params = params("token server");
        lasts(&mut params, begins, ends);
        let certificate = params.self_signed(&key(&signer)).unwrap();
        let bundled = bundled(&[certificate.der()]);
        for token in [signer.sign(&claims("auth.example")), chained(&signer, &[certificate.der()])] {
            assert_eq!(
                refusal(&bundled.foreign, &token).await,
                ForeignError::BadToken(TokenError::Certificate)
            );
        }
    }
}

#[tokio::test]
async fn chains_lead_to_the_bundle_or_count_for_nothing() {
    let [root, middle, leaf, stranger] = [(); 4].map(|()| Signer::new(Algorithm::Es256));
    let root_certificate = authority("root").self_signed(&key(&root)).unwrap();
    let root_authority = Authority::new(authority("root"), key(&root));
    let middle_certificate = authority("middle").signed_by(&key(&middle), &root_authority).unwrap();
    let middle_authority = Authority::new(authority("middle"), key(&middle));
    let leaf_certificate = params("token server").signed_by(&key(&leaf), &middle_authority).unwrap();
    let [root_der, middle_der, leaf_der] =
        [&root_certificate, &middle_certificate, &leaf_certificate].map(|one| one.der().as_ref());
    let Bundled { foreign, _directory } = bundled(&[root_der]);

    foreign.identify(&chained(&leaf, &[leaf_der, middle_der]), now()).await.unwrap();
    foreign.identify(&chained(&leaf, &[leaf_der, middle_der, root_der]), now()).await.unwrap();
    foreign.identify(&chained(&root, &[root_der]), now()).await.unwrap();

    // Whatever else it says it is for: trusted is what the bundle trusts.
    let mut usage = params("token server");
    usage.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    let usage = usage.signed_by(&key(&leaf), &root_authority).unwrap();
    foreign.identify(&chained(&leaf, &[usage.der()]), now()).await.unwrap();

    let false_root = authority("root").self_signed(&key(&stranger)).unwrap();
    let false_authority = Authority::new(authority("root"), key(&stranger));
    let false_leaf = params("token server").signed_by(&key(&leaf), &false_authority).unwrap();
    let leaf_as_authority = Authority::new(params("token server"), key(&leaf));
    let below_leaf = params("below").signed_by(&key(&stranger), &leaf_as_authority).unwrap();
    let mut late = params("token server");
    lasts(&mut late, NOW - 3600, NOW - 1);
    let late = late.signed_by(&key(&leaf), &root_authority).unwrap();
    let mut late_middle = authority("middle");
    lasts(&mut late_middle, NOW - 3600, NOW - 1);
    let late_middle = late_middle.signed_by(&key(&middle), &root_authority).unwrap();
    for (name, token) in [
        ("nothing between", chained(&leaf, &[leaf_der])),
        ("another root of that name", chained(&leaf, &[false_leaf.der(), false_root.der()])),
        ("another root of that name, with the real one", chained(&leaf, &[false_leaf.der(), root_der])),
        ("made by one that may make none", chained(&stranger, &[below_leaf.der(), leaf_der, middle_der])),
        ("over", chained(&leaf, &[late.der()])),
        ("over in between", chained(&leaf, &[leaf_der, late_middle.der()])),
        ("the stranger's own", chained(&stranger, &[false_root.der()])),
    ] {
        assert_eq!(
            refusal(&foreign, &token).await,
            ForeignError::BadToken(TokenError::Certificate),
            "{name}"
        );
    }
    let told = refusal(&foreign, &chained(&stranger, &[leaf_der, middle_der])).await;
    assert_eq!(told, ForeignError::BadToken(TokenError::Signature), "a good chain, and another key");
    for odd in [vec![], vec![&b"nonsense"[..]], vec![leaf_der; 9]] {
        assert_eq!(
            refusal(&foreign, &chained(&leaf, &odd)).await,
            ForeignError::BadToken(TokenError::Header)
        );
    }

    // The certificate of a token server in the bundle vouches for itself and for nobody else.
    let Bundled { foreign, _directory } = bundled(&[leaf_der]);
    foreign.identify(&chained(&leaf, &[leaf_der]), now()).await.unwrap();
    let told = refusal(&foreign, &chained(&stranger, &[below_leaf.der(), leaf_der])).await;
    assert_eq!(told, ForeignError::BadToken(TokenError::Certificate));
    // And a root that is over vouches for nobody.
    let mut late_root = authority("root");
    lasts(&mut late_root, NOW - 3600, NOW - 1);
    let late_root = late_root.self_signed(&key(&root)).unwrap();
    let Bundled { foreign, _directory } = bundled(&[late_root.der()]);
    let told = refusal(&foreign, &chained(&leaf, &[leaf_der, middle_der])).await;
    assert_eq!(told, ForeignError::BadToken(TokenError::Certificate));
}

#[tokio::test]
async fn certificates_in_a_token_say_nothing_where_none_are_trusted() {
    let web = Web::start().await;
    let signer = Signer::new(Algorithm::Es256);
    web.has_keys("/keys", &[&signer]);
    let foreign = foreign(
        &[issuer("auth.example", &web.url("/keys"))],
        &[OidcSettings { jwks: Some(web.url("/keys")), ..oidc("https://ci.example") }],
    );
    let certificate = params("token server").self_signed(&key(&signer)).unwrap();
    let told = refusal(&foreign, &chained(&signer, &[certificate.der()])).await;
    assert_eq!(told, ForeignError::BadToken(TokenError::Certificate));
}

#[test]
fn bundles_that_are_none_are_told_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bundle.pem");
    let open = || {
        let settings =
            IssuerSettings { jwks: None, certificates: Some(path.clone()), ..issuer("auth.example", "") };
        Foreign::open(&[settings], &[]).err().map(|error| error.to_string())
    };
    assert!(open().unwrap().contains("bundle.pem"));
    let key = KeyPair::generate().unwrap();
    for bad in ["", "nonsense", &key.serialize_pem(), &pem(b"nonsense"), "-----BEGIN CERTIFICATE-----\n"] {
        std::fs::write(&path, bad).unwrap();
        let error = open().unwrap();
        assert!(error.contains("auth.issuer.certificates") && error.contains("bundle.pem"), "{error}");
    }
}
