//! Text where a name, a tag, a digest, a session or a parameter should be, and paths written in other ways.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::raw::exchange;
use crate::harness::{Alg, Blob, Gantry, image};

const CANARY: &str = "the canary is alive";

/// What climbs out of directories, ends strings, or means something to a shell, a database or another system.
const HOSTILE: &[&str] = &[
    "..",
    "../..",
    "../../canary",
    "../../../../../../../../etc/passwd",
    "..%2f..%2fcanary",
    "%2e%2e/%2e%2e/canary",
    "%2e%2e%2f%2e%2e%2fcanary",
    "%252e%252e%252fcanary",
    "....//....//canary",
    "..\\..\\canary",
    "..%5c..%5ccanary",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    ".",
    "./",
    "..;/canary",
    "%00",
    "canary%00.json",
    "a%00/../../canary",
    "%c0%ae%c0%ae/canary",
    "..%c0%afcanary",
    "..%ef%bc%8fcanary",
    "file:///etc/passwd",
    "%5c%5chost%5cshare",
    "C:%5cwindows",
    "~root",
    "$HOME",
    "%60id%60",
    "$(id)",
    "%7cid",
    ";id",
    "a%0d%0aSet-Cookie:x=y",
    "a%0aSet-Cookie:x=y",
    "a%e2%80%aeb",
    "'%20OR%20'1'='1",
    "'%3bDROP%20TABLE%20tags%3b--",
    "%",
    "%zz",
    "%ff%fe",
    "sha256:..%2f..%2fcanary",
    "sha256:../../../../canary",
    "sha256:%00",
    "<script>alert(1)<%2fscript>",
];

/// All files below a directory with their contents, but for one directory.
fn files(dir: &Path, except: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path == except {
            continue;
        }
        if path.is_dir() {
            files(&path, except, found);
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).expect("a file"));
        }
    }
}

/// Percent-encoding of every byte, so that any text gets through the request line.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Traversal: 44 strings, as they are and encoded once more, in every position of every route.
#[tokio::test]
async fn hostile_text_in_every_position_is_4xx_and_touches_nothing_outside() {
    let gantry = Gantry::start().await;
    let repo = gantry.client().at("victim");
    repo.push("v1", &image().build()).await;
    std::fs::write(gantry.dir().join("canary"), CANARY).expect("written");
    let outside = || {
        let mut found = BTreeMap::new();
        files(gantry.dir(), gantry.data(), &mut found);
        found
    };
    let before = outside();
    let digest = Alg::Sha256.of(b"x");
    let session = "7b1f1e2c-66a5-4a4e-9d39-0c1e4b5a6d7e";
    // Lists begin after any text, and a source that cannot be one is a mount that does not succeed.
    let refused: &[&str] = &[
        "GET /v2/{}/tags/list",
        "GET /v2/{}/manifests/v1",
        "PUT /v2/{}/manifests/v1",
        "DELETE /v2/{}/manifests/v1",
        "GET /v2/{}/blobs/DIGEST",
        "DELETE /v2/{}/blobs/DIGEST",
        "POST /v2/{}/blobs/uploads/",
        "GET /v2/{}/blobs/uploads/SESSION",
        "PATCH /v2/{}/blobs/uploads/SESSION",
        "PUT /v2/{}/blobs/uploads/SESSION?digest=DIGEST",
        "DELETE /v2/{}/blobs/uploads/SESSION",
        "GET /v2/{}/referrers/DIGEST",
        "GET /v2/{}/_oci/ext/discover",
        "GET /v2/victim/manifests/{}",
        "PUT /v2/victim/manifests/{}",
        "DELETE /v2/victim/manifests/{}",
        "GET /v2/victim/blobs/{}",
        "DELETE /v2/victim/blobs/{}",
        "GET /v2/victim/blobs/uploads/{}",
        "PATCH /v2/victim/blobs/uploads/{}",
        "PUT /v2/victim/blobs/uploads/{}?digest=DIGEST",
        "DELETE /v2/victim/blobs/uploads/{}",
        "GET /v2/victim/referrers/{}",
        "GET /v2/victim/tags/{}",
        "GET /v2/{}",
        "GET /{}",
        "POST /v2/victim/blobs/uploads/?digest={}",
        "POST /v2/victim/blobs/uploads/?mount={}",
        "PUT /v2/victim/manifests/DIGEST?tag={}",
        "GET /v2/victim/tags/list?n={}",
        "GET /v2/_catalog?n={}",
    ];
    let taken: &[&str] = &[
        "GET /v2/victim/tags/list?last={}",
        "GET /v2/_catalog?last={}",
        "GET /v2/victim/referrers/DIGEST?artifactType={}",
        "POST /v2/victim/blobs/uploads/?mount=DIGEST&from={}",
    ];
    for (routes, good) in [(refused, &[][..]), (taken, &[200, 202])] {
        for text in HOSTILE.iter().flat_map(|text| [(*text).to_owned(), encoded(text)]) {
            let calls = routes.iter().map(|route| {
                let line = route.replace("DIGEST", &digest).replace("SESSION", session).replace("{}", &text);
                let address = gantry.address();
                async move {
                    let request = format!(
                        "{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    );
                    (exchange(address, request).await, line)
                }
            });
            for (answer, line) in futures_util::future::join_all(calls).await {
                let answer = answer.unwrap_or_else(|| panic!("{line}: no answer"));
                // What is left of such a path may be the version check, when all of the text is a way to write nothing.
                let fine = (400..500).contains(&answer.status) || good.contains(&answer.status);
                assert!(fine, "{line}: {answer:?}");
                assert!(answer.get("set-cookie").is_none(), "{line}: {answer:?}");
                let body = String::from_utf8_lossy(&answer.body);
                assert!(!body.contains(CANARY) && !body.contains("root:"), "{line}: {answer:?}");
            }
        }
    }
    assert_eq!(outside(), before, "files outside of the data directory");
    let known = [
        "docker",
        "uploads",
        "gantry.db",
        "gantry.db-sessions",
        "gantry.db-shm",
        "gantry.db-wal",
        "gantry.lock",
        "gantry.sock",
        "gantry.store",
    ];
    for entry in std::fs::read_dir(gantry.data()).expect("the data directory") {
        let name = entry.expect("an entry").file_name();
        assert!(known.iter().any(|known| name == *known), "{name:?} was made in the data directory");
    }
    assert_eq!(repo.tags().await, ["v1"]);
}

/// User listing by catalogue, CVE-2020-29662: no way of writing a path gets around who may ask.
#[tokio::test]
async fn no_way_of_writing_a_path_gets_around_the_login() {
    let gantry = Gantry::options().account("alice", "a").start().await;
    let alice = gantry.client().basic("alice", "a").at("secret/app");
    let blob = Blob::new(100);
    alice.push_blob(&blob).await;
    alice.push("v1", &image().build()).await;
    let mut paths = Vec::new();
    for path in ["/v2/_catalog", "/v2/secret/app/tags/list", "/v2/secret/app/manifests/v1"] {
        let (head, tail) = path.rsplit_once('/').expect("a slash");
        paths.extend([
            path.to_owned(),
            format!("{path}/"),
            format!("{path}//"),
            format!("{path}/."),
            format!("{path}?"),
            format!("{path}?x=/v2/"),
            format!("{path}%20"),
            format!("{path}%00"),
            format!("{path};x"),
            format!("{head}//{tail}"),
            format!("{head}/./{tail}"),
            format!("{head}/x/../{tail}"),
            format!("{head}%2f{tail}"),
            format!("{head}\\{tail}"),
            format!("{head}/{}", encoded(tail)),
            format!("/{path}"),
            format!("/healthz/..{path}"),
            format!("/healthz{path}"),
            path.replace("/v2", "/V2"),
            path.replace("/v2", "/%76%32"),
            path.replace("/v2/", "/v2%2f"),
            path.to_uppercase(),
            format!("http://x{path}"),
            format!("http://alice@x{path}"),
        ]);
    }
    for path in paths {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Original-URL: /healthz\r\nX-HTTP-Method-Override: GET\r\n\r\n"
            );
            let Some(answer) =
                exchange(gantry.address(), request).await.filter(|answer| answer.status != 400)
            else {
                continue;
            };
            assert!([401, 404, 405].contains(&answer.status), "{method} {path}: {answer:?}");
            assert!(
                !String::from_utf8_lossy(&answer.body).contains("secret/app"),
                "{method} {path}: {answer:?}"
            );
        }
    }
}
