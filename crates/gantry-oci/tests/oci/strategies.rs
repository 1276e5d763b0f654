//! How values are drawn: everything that the types can hold and parsing can yield.

use gantry_oci::{
    Algorithm, ContentRange, Digest, Host, ImageReference, Mount, MountSource, Page, Reference, RepoName,
    Request, Tag, UploadId,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// G-1, as it is written there.
pub(crate) const NAME: &str = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*";
/// G-2, as it is written there.
pub(crate) const TAG: &str = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}";

pub(crate) fn names() -> impl Strategy<Value = RepoName> {
    // Components that are words of paths, too (T61).
    let component = prop_oneof![
        3 => "[a-z0-9]{1,3}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}",
        1 => "blobs|manifests|tags|uploads|list|referrers|v2|ext|discover",
    ];
    vec(component, 1..6).prop_map(|components| components.join("/").parse().unwrap())
}

pub(crate) fn tags() -> impl Strategy<Value = Tag> {
    prop_oneof![TAG, "list|uploads|latest"].prop_map(|text: String| text.parse().unwrap())
}

pub(crate) fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop_oneof![Just(Algorithm::Sha256), Just(Algorithm::Sha512)]
}

pub(crate) fn digests() -> impl Strategy<Value = Digest> {
    (algorithms(), any::<[u8; 8]>()).prop_map(|(algorithm, content)| Digest::of(algorithm, &content))
}

pub(crate) fn references() -> impl Strategy<Value = Reference> {
    prop_oneof![tags().prop_map(Reference::Tag), digests().prop_map(Reference::Digest)]
}

pub(crate) fn uploads() -> impl Strategy<Value = UploadId> {
    any::<u128>().prop_map(|bits| UploadId::from_uuid(uuid::Uuid::from_u128(bits)))
}

pub(crate) fn content_ranges() -> impl Strategy<Value = ContentRange> {
    (any::<u64>(), any::<u64>()).prop_map(|(a, b)| ContentRange { start: a.min(b), end: a.max(b) })
}

pub(crate) fn images() -> impl Strategy<Value = ImageReference> {
    let host = r"localhost|[a-z]{1,5}\.[a-z]{2,3}|[A-Z][a-zA-Z]{0,4}|10\.0\.0\.[1-9]|\[::[1-9]\]";
    let host = (host, option::of(any::<u16>())).prop_map(|(host, port)| -> Host {
        port.map_or(host.clone(), |port| format!("{host}:{port}")).parse().unwrap()
    });
    (option::of(host), names(), option::of(tags()), option::of(digests()))
        .prop_map(|(host, name, tag, digest)| ImageReference { host, name, tag, digest })
        // `v2/a` is a name, `localhost/a` is not: nothing drawn above begins with a host of its own accord.
        .prop_filter("a first component with a dot is a host", |image| {
            image.host.is_some()
                || !image.name.as_str().split_once('/').is_some_and(|(first, _)| first.contains('.'))
        })
}

fn pages() -> impl Strategy<Value = Page> {
    (option::of(any::<usize>()), option::of(any::<String>()))
        .prop_map(|(n, last)| Page { n, last: last.filter(|last| !last.is_empty()) })
}

/// Each once, and none empty.
fn artifact_types() -> impl Strategy<Value = Vec<String>> {
    vec(prop_oneof![any::<String>(), "application/vnd\\.[a-z]{1,5}\\+json"], 0..4).prop_map(|mut types| {
        types.retain(|wanted| !wanted.is_empty());
        types.sort();
        types.dedup();
        types
    })
}

fn starts() -> impl Strategy<Value = (Option<Digest>, Option<Algorithm>, Option<Mount>)> {
    let from = option::of(prop_oneof![names().prop_map(MountSource::Repository), Just(MountSource::Invalid)]);
    let mount = (digests(), from).prop_map(|(digest, from)| (None, None, Some(Mount { digest, from })));
    let plain =
        (option::of(digests()), option::of(algorithms())).prop_map(|(digest, alg)| (digest, alg, None));
    prop_oneof![mount, plain]
}

pub(crate) fn requests() -> impl Strategy<Value = Request> {
    let pushed = prop_oneof![
        tags().prop_map(|tag| (Reference::Tag(tag), Vec::new())),
        (digests(), vec(tags(), 0..12)).prop_map(|(digest, mut tags)| {
            tags.sort();
            tags.dedup();
            (Reference::Digest(digest), tags)
        }),
    ];
    prop_oneof![
        Just(Request::Version),
        pages().prop_map(|page| Request::Catalog { page }),
        (names(), pages()).prop_map(|(name, page)| Request::ListTags { name, page }),
        (names(), references()).prop_map(|(name, reference)| Request::GetManifest { name, reference }),
        (names(), pushed).prop_map(|(name, (reference, tags))| Request::PutManifest {
            name,
            reference,
            tags
        }),
        (names(), references()).prop_map(|(name, reference)| Request::DeleteManifest { name, reference }),
        (names(), digests(), artifact_types(), option::of(any::<u64>()), option::of(any::<usize>()))
            .prop_map(|(name, digest, artifact_types, after, n)| Request::Referrers {
                name,
                digest,
                artifact_types,
                after,
                n
            }),
        (names(), digests()).prop_map(|(name, digest)| Request::GetBlob { name, digest }),
        (names(), digests()).prop_map(|(name, digest)| Request::DeleteBlob { name, digest }),
        (names(), starts()).prop_map(|(name, (digest, algorithm, mount))| Request::StartUpload {
            name,
            digest,
            algorithm,
            mount
        }),
        (names(), uploads()).prop_map(|(name, id)| Request::GetUpload { name, id }),
        (names(), uploads()).prop_map(|(name, id)| Request::PatchUpload { name, id }),
        (names(), uploads(), digests()).prop_map(|(name, id, digest)| Request::PutUpload {
            name,
            id,
            digest
        }),
        (names(), uploads()).prop_map(|(name, id)| Request::DeleteUpload { name, id }),
        option::of(names()).prop_map(|name| Request::Extensions { name }),
    ]
}

/// Text that is nearly right: pieces of what the grammars are made of, in any order.
pub(crate) fn nearly(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => proptest::sample::select(pieces).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => any::<u64>().prop_map(|number| number.to_string()),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}
