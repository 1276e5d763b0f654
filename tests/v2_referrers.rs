//! end-12: what is attached to a manifest.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::repo::descriptors;
use crate::harness::{Alg, Blob, Gantry, Image, Repo, image, index, repo, types};

const SBOM: &str = "application/vnd.example.sbom+json";
const SIGNATURE: &str = "application/vnd.example.signature";

fn artifact(kind: &str, subject: &Image) -> Image {
    image().artifact(kind).subject(&subject.descriptor()).build()
}

fn digests(descriptors: &[Value]) -> Vec<&str> {
    let mut digests: Vec<_> =
        descriptors.iter().map(|descriptor| descriptor["digest"].as_str().expect("a digest")).collect();
    digests.sort_unstable();
    digests
}

fn sorted<'a>(images: &[&'a Image]) -> Vec<&'a str> {
    let mut digests: Vec<_> = images.iter().map(|image| image.digest()).collect();
    digests.sort_unstable();
    digests
}

/// Follows the pages; each is an index of its own.
async fn pages(repo: &Repo, digest: &str, query: &str, filtered: bool) -> Vec<Vec<Value>> {
    let (mut all, mut target) = (Vec::new(), repo.path(&format!("referrers/{digest}{query}")));
    for _ in 0..1000 {
        let page = repo.client.get(&target).await.status(200).header("content-type", types::OCI_INDEX);
        assert_eq!(page.get("oci-filters-applied").is_some(), filtered, "T2: on every page");
        all.push(descriptors(&page));
        let Some(next) = page.next() else { return all };
        target = next;
    }
    panic!("the pages do not end");
}

/// E-12.1, E-12.2, T1: never 404.
#[tokio::test]
async fn t1_no_referrers_is_an_empty_index() {
    let repo = repo().await;
    for alg in Alg::ALL {
        assert_eq!(repo.referrers(&alg.unknown()).await, [json!(null); 0]);
    }
    let subject = image().build();
    repo.push("v1", &subject).await;
    assert_eq!(repo.referrers(subject.digest()).await, [json!(null); 0]);
    let head = repo.client.head(&repo.path(&format!("referrers/{}", subject.digest()))).await.status(200);
    head.header("content-type", types::OCI_INDEX);
}

/// E-12.3, T6
#[tokio::test]
async fn t6_an_invalid_digest_is_400() {
    let repo = repo().await;
    let hex = "a".repeat(64);
    for invalid in [
        "sha256:baddigeststring",
        "latest",
        "sha256:",
        &format!("sha256:{}", "A".repeat(64)),
        &format!("blake3:{hex}"),
    ] {
        repo.client.get(&repo.path(&format!("referrers/{invalid}"))).await.bad("DIGEST_INVALID");
    }
    repo.client.get(&repo.path("referrers/")).await.status_in(&[400, 404]);
}

/// E-12.4, T5: what a descriptor says.
#[tokio::test]
async fn t5_artifact_type_and_annotations() {
    let repo = repo().await;
    let subject = image().build();
    let typed = image()
        .artifact(SBOM)
        .subject(&subject.descriptor())
        .annotation("k", "v \u{1F980}")
        .annotation("", "")
        .build();
    let by_config = image().config(SIGNATURE, &Blob::new(10)).subject(&subject.descriptor()).build();
    let typed_index =
        index(Alg::Sha256, &[], &json!({ "artifactType": SBOM, "subject": subject.descriptor() }));
    let plain_index =
        index(Alg::Sha256, &[], &json!({ "subject": subject.descriptor(), "annotations": { "a": "b" } }));
    let docker = image()
        .field("mediaType", types::DOCKER_MANIFEST.into())
        .config(types::DOCKER_CONFIG, &Blob::new(20));
    let docker = docker.subject(&subject.descriptor()).build();
    for image in [&typed, &by_config, &typed_index, &plain_index, &docker] {
        repo.push_by_digest(image).await.header("oci-subject", subject.digest());
    }
    let found = repo.referrers(subject.digest()).await;
    assert_eq!(found.len(), 5);
    let of = |image: &Image| {
        found.iter().find(|found| found["digest"] == image.digest()).expect("a descriptor").clone()
    };
    let expected = |image: &Image, kind: Option<&str>, annotations: Option<Value>| {
        let mut descriptor = image.descriptor();
        if let Some(kind) = kind {
            descriptor["artifactType"] = kind.into();
        }
        if let Some(annotations) = annotations {
            descriptor["annotations"] = annotations;
        }
        descriptor
    };
    assert_eq!(of(&typed), expected(&typed, Some(SBOM), Some(json!({ "k": "v \u{1F980}", "": "" }))));
    assert_eq!(of(&by_config), expected(&by_config, Some(SIGNATURE), None));
    assert_eq!(of(&typed_index), expected(&typed_index, Some(SBOM), None));
    assert_eq!(of(&plain_index), expected(&plain_index, None, Some(json!({ "a": "b" }))));
    assert_eq!(of(&docker), expected(&docker, Some(types::DOCKER_CONFIG), None));
}

/// E-10.10, T8: `OCI-Subject` by tag, by digest, with `?tag=`, and again.
#[tokio::test]
async fn t8_oci_subject_on_every_way_of_pushing() {
    let repo = repo().await;
    let subject = image().build();
    let of_image = artifact(SBOM, &subject);
    let of_index = index(Alg::Sha256, &[], &json!({ "subject": subject.descriptor() }));
    for image in [&of_image, &of_index] {
        repo.push_parts(image).await;
        let with_tag = format!("{}?tag=many", image.digest());
        for target in [image.digest(), "tag", &with_tag, image.digest(), "tag"] {
            let put = repo.put_manifest(target, &image.manifest).await.status(201);
            put.header("oci-subject", subject.digest()).digest(image.digest());
        }
    }
    repo.push("plain", &subject).await.no_header("oci-subject");
}

/// E-12.5, T2, T3: filters.
#[tokio::test]
async fn t2_filters_and_their_header() {
    let repo = repo().await;
    let subject = image().build();
    let (one, two, other) =
        (artifact(SBOM, &subject), artifact(SBOM, &subject), artifact(SIGNATURE, &subject));
    for image in [&one, &two, &other] {
        repo.push_by_digest(image).await;
    }
    let encoded = SBOM.replace('/', "%2F").replace('+', "%2B");
    for (query, expected, filtered) in [
        (String::new(), sorted(&[&one, &two, &other]), false),
        ("?artifactType=".to_owned(), sorted(&[&one, &two, &other]), false),
        (format!("?artifactType={encoded}"), sorted(&[&one, &two]), true),
        // T69: the plus sign as it is.
        (format!("?artifactType={SBOM}"), sorted(&[&one, &two]), true),
        (format!("?artifactType={SIGNATURE}"), sorted(&[&other]), true),
        ("?artifactType=application%2Fvnd.unknown".to_owned(), vec![], true),
        (format!("?artifactType={SIGNATURE}&artifactType={encoded}"), sorted(&[&one, &two, &other]), true),
        (format!("?artifactType={SIGNATURE}&artifactType=a/b"), sorted(&[&other]), true),
        (format!("?ns=docker.io&artifactType={SIGNATURE}&unknown=1"), sorted(&[&other]), true),
        ("?artifactType=application%2Fvnd.example.sbom".to_owned(), vec![], true),
    ] {
        // Twice: an answer that comes from a cache is the same answer.
        for _ in 0..2 {
            let answer = repo.referrers_with(subject.digest(), &query).await;
            let header = answer.get("oci-filters-applied");
            assert_eq!(header, filtered.then_some("artifactType"), "T2: {query}");
            assert_eq!(digests(&descriptors(&answer)), expected, "{query}");
        }
    }
}

/// E-12.6, T2, T31: pages, filtered and not.
#[tokio::test]
async fn e_12_6_pages_of_referrers() {
    let gantry = Gantry::options().set("limits.referrers_page", "4").start().await;
    let repo = gantry.repo();
    let subject = image().build();
    let mut all = Vec::new();
    for n in 0..18 {
        let artifact = artifact(if n % 3 == 0 { SIGNATURE } else { SBOM }, &subject);
        repo.push_by_digest(&artifact).await;
        all.push(artifact);
    }
    let found = pages(&repo, subject.digest(), "", false).await;
    assert!(
        found.iter().all(|page| !page.is_empty() && page.len() <= 4),
        "E-12.6: every page holds something"
    );
    assert_eq!(digests(&found.concat()), sorted(&all.iter().collect::<Vec<_>>()));
    let sboms: Vec<_> = all.iter().enumerate().filter(|(n, _)| n % 3 != 0).map(|(_, image)| image).collect();
    let filtered = pages(&repo, subject.digest(), &format!("?artifactType={SBOM}"), true).await;
    assert_eq!((filtered.len(), digests(&filtered.concat())), (3, sorted(&sboms)));
    let both = format!("?artifactType={SBOM}&artifactType={SIGNATURE}");
    let both = pages(&repo, subject.digest(), &both, true).await;
    assert_eq!(both.concat().len(), 18);
    // `n` is a wish (E-12.10).
    let small = pages(&repo, subject.digest(), "?n=2", false).await;
    assert_eq!(digests(&small.concat()), sorted(&all.iter().collect::<Vec<_>>()));
}

/// E-12.6: clients that read one page only still see several hundred.
#[tokio::test]
async fn e_12_6_several_hundred_in_one_page() {
    let repo = repo().await;
    let subject = image().build();
    for n in 0..500 {
        let fields = json!({ "subject": subject.descriptor(), "artifactType": SBOM, "annotations": { "n": n.to_string() } });
        repo.push_by_digest(&index(Alg::Sha256, &[], &fields)).await;
    }
    let answer = repo.referrers_with(subject.digest(), "").await;
    assert_eq!(descriptors(&answer).len(), 500);
    assert_eq!(answer.next(), None);
    assert!(answer.body.len() <= 4 << 20);
}

/// E-12.6: annotations are copied, but an answer stays below what clients read.
#[tokio::test]
async fn e_12_6_an_answer_stays_below_4_mib() {
    let repo = repo().await;
    let subject = image().build();
    for n in 0..6 {
        let fields = json!({ "subject": subject.descriptor(), "annotations": { n.to_string(): "x".repeat(1_500_000) } });
        repo.push_by_digest(&index(Alg::Sha256, &[], &fields)).await;
    }
    let (mut target, mut found) = (repo.path(&format!("referrers/{}", subject.digest())), 0);
    for _ in 0..10 {
        let page = repo.client.get(&target).await.status(200);
        assert!(page.body.len() <= 4 << 20, "{} bytes", page.body.len());
        found += descriptors(&page).len();
        let Some(next) = page.next() else { break };
        target = next;
    }
    assert_eq!(found, 6);
}

/// E-12.6: so does one of artifact types that are long.
#[tokio::test]
async fn e_12_6_long_artifact_types_make_several_pages() {
    let repo = repo().await;
    let subject = image().build();
    let kind = format!("a/{}", "x".repeat(1_500_000));
    for n in 0..5 {
        let fields = json!({ "subject": subject.descriptor(), "artifactType": kind, "annotations": { "n": n.to_string() } });
        repo.push_by_digest(&index(Alg::Sha256, &[], &fields)).await;
    }
    // Twice: from the database and from memory.
    for _ in 0..2 {
        let found = pages(&repo, subject.digest(), "", false).await;
        assert!(found.iter().all(|page| !page.is_empty() && page.len() <= 2), "at most 3 MiB each");
        assert_eq!(found.concat().len(), 5);
    }
}

/// E-12.6: the same answer whether a page was read or remembered, and the same length for HEAD.
#[tokio::test]
async fn e_12_6_a_page_from_memory_is_the_same_page() {
    let gantry = Gantry::options().set("limits.referrers_page", "3").start().await;
    let repo = gantry.repo();
    let subject = image().build();
    for n in 0..5 {
        repo.push_by_digest(&artifact(if n == 0 { SIGNATURE } else { SBOM }, &subject)).await;
        for query in ["", "?n=2", "?n=1", "", &format!("?artifactType={SBOM}"), "?n=3"] {
            let path = repo.path(&format!("referrers/{}{query}", subject.digest()));
            let answers = [repo.client.get(&path).await, repo.client.get(&path).await];
            for answer in &answers {
                assert_eq!((&answer.body, answer.next()), (&answers[0].body, answers[0].next()), "{query}");
                let length = answer.body.len().to_string();
                let head = repo.client.head(&path).await.status(200).header("content-length", &length);
                assert_eq!(head.next(), answer.next(), "{query}");
            }
        }
        for query in ["", "?n=1", "?n=2"] {
            assert_eq!(pages(&repo, subject.digest(), query, false).await.concat().len(), n + 1, "{query}");
        }
        let sboms = pages(&repo, subject.digest(), &format!("?artifactType={SBOM}"), true).await;
        assert_eq!(sboms.concat().len(), n);
    }
}

/// E-12.8, T38: many attach and delete at once; each sees its own change in the next answer, and a list is never another one's.
#[tokio::test]
async fn t38_a_list_follows_every_attach_and_delete() {
    let repo = repo().await;
    let subject = image().build();
    assert_eq!(repo.referrers(subject.digest()).await.len(), 0);
    let work = (0..8).map(|worker| {
        let (repo, subject) = (repo.clone(), &subject);
        async move {
            let listed = async |image: &Image| {
                let all = repo.referrers(subject.digest()).await;
                let of_type = repo.referrers_with(subject.digest(), &format!("?artifactType={SBOM}")).await;
                let holds = |list: &[Value]| list.iter().any(|found| found["digest"] == image.digest());
                assert_eq!(holds(&all), holds(&descriptors(&of_type)));
                holds(&all)
            };
            for turn in 0..6 {
                let fields = json!({ "subject": subject.descriptor(), "artifactType": SBOM, "annotations": { "w": format!("{worker} {turn}") } });
                let attached = index(Alg::Sha256, &[], &fields);
                repo.push_by_digest(&attached).await;
                assert!(listed(&attached).await, "attached and not listed");
                if turn % 3 != 0 {
                    repo.client.delete(&repo.manifest(attached.digest())).await.status(202);
                    assert!(!listed(&attached).await, "deleted and listed");
                }
            }
        }
    });
    join_all(work).await;
    assert_eq!(repo.referrers(subject.digest()).await.len(), 16);
}

/// E-12.7, G-7, T7: a client's own fallback tag is a tag like any other.
#[tokio::test]
async fn t7_a_fallback_tag_is_a_tag() {
    let repo = repo().await;
    let subject = image().build();
    let attached = artifact(SBOM, &subject);
    repo.push_by_digest(&attached).await;
    let fallback = index(Alg::Sha256, std::slice::from_ref(&attached), &json!({}));
    let tag = subject.digest().replace(':', "-");
    repo.push_manifest(&tag, &fallback.manifest).await.no_header("oci-subject");
    repo.has_manifest(&tag, &fallback.manifest).await;
    assert_eq!(repo.tags().await, [tag.as_str()]);
    // The one that it lists has a subject and is found, once; the fallback index has none and is not.
    assert_eq!(digests(&repo.referrers(subject.digest()).await), [attached.digest()]);
    let sha512 = Alg::Sha512.unknown().replace(':', "-")[..7 + 64].to_owned();
    repo.push_manifest(&sha512, &fallback.manifest).await;
}

/// E-12.8: deleting a referrer, and deleting what it refers to.
#[tokio::test]
async fn e_12_8_deletes() {
    let repo = repo().await;
    let subject = image().build();
    let (one, two) = (artifact(SBOM, &subject), artifact(SIGNATURE, &subject));
    for image in [&subject, &one, &two] {
        repo.push_by_digest(image).await;
    }
    repo.client.delete(&repo.manifest(one.digest())).await.status(202);
    assert_eq!(digests(&repo.referrers(subject.digest()).await), [two.digest()]);
    repo.client.delete(&repo.manifest(subject.digest())).await.status(202);
    assert_eq!(digests(&repo.referrers(subject.digest()).await), [two.digest()]);
    repo.has_manifest(two.digest(), &two.manifest).await;
    // Pushed again, it is listed again.
    repo.push_by_digest(&one).await;
    assert_eq!(digests(&repo.referrers(subject.digest()).await), sorted(&[&one, &two]));
}

/// E-12.9, T4: once, however often and under however many tags it was pushed.
#[tokio::test]
async fn t4_a_referrer_is_listed_once() {
    let repo = repo().await;
    let subject = image().build();
    let attached = artifact(SBOM, &subject);
    repo.push_by_digest(&attached).await;
    for tag in ["a", "b", "a"] {
        repo.push_manifest(tag, &attached.manifest).await;
    }
    repo.push_by_digest(&attached).await;
    assert_eq!(digests(&repo.referrers(subject.digest()).await), [attached.digest()]);
    repo.client.delete(&repo.manifest("a")).await.status(202);
    assert_eq!(digests(&repo.referrers(subject.digest()).await), [attached.digest()]);
}

/// E-12.10: `n` that is none does no harm here.
#[tokio::test]
async fn e_12_10_parameters_that_mean_nothing() {
    let repo = repo().await;
    let subject = image().build();
    repo.push_by_digest(&artifact(SBOM, &subject)).await;
    for query in ["?n=10", "?n=1000000", "?n=0", "?n=-1", "?n=x", "?ns=docker.io", "?foo=bar&foo", "?last=x"]
    {
        assert_eq!(descriptors(&repo.referrers_with(subject.digest(), query).await).len(), 1, "{query}");
    }
}

/// T6, T17: a subject of either algorithm; referrers live in their repository.
#[tokio::test]
async fn t6_sha512_subjects_and_other_repositories() {
    let repo = repo().await;
    let subject = image().alg(Alg::Sha512).build();
    let attached = artifact(SBOM, &subject);
    repo.push_by_digest(&attached).await.header("oci-subject", subject.digest());
    assert_eq!(digests(&repo.referrers(subject.digest()).await), [attached.digest()]);
    assert_eq!(repo.referrers(&subject.manifest.by(Alg::Sha256).digest).await.len(), 0);
    let other = repo.other();
    assert_eq!(other.referrers(subject.digest()).await.len(), 0);
}

/// E-12.4: referrers of referrers.
#[tokio::test]
async fn e_12_4_a_chain_of_referrers() {
    let repo = repo().await;
    let subject = image().build();
    let sbom = artifact(SBOM, &subject);
    let signature = artifact(SIGNATURE, &sbom);
    for image in [&signature, &sbom, &subject] {
        repo.push_by_digest(image).await;
    }
    assert_eq!(digests(&repo.referrers(subject.digest()).await), [sbom.digest()]);
    assert_eq!(digests(&repo.referrers(sbom.digest()).await), [signature.digest()]);
}

#[tokio::test]
async fn g_10_other_methods_on_referrers_are_405() {
    let repo = repo().await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let answer =
            repo.client.call(method, &repo.path(&format!("referrers/{}", Alg::Sha256.unknown()))).await;
        answer.status(405).error("UNSUPPORTED").header("allow", "GET, HEAD");
    }
}
