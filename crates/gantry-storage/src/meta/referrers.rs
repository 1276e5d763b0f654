//! A page of the list of those who refer to a manifest.
//!
//! What a page may hold is decided here and not by its reader: an engine may keep a page in memory, and answers from it only what
//! it would have answered from its rows. The document that is sent is not made here; a page has a place to keep it.

use std::sync::OnceLock;

use bytes::Bytes;
use gantry_oci::Digest;
use serde_json::value::RawValue;

/// The largest sum of descriptors in one page, in bytes of JSON. Clients stop reading at 4 MiB.
pub const REFERRERS_PAGE_BYTES: usize = 3 << 20;

/// What a descriptor takes beside the texts that clients chose: names of fields, digest, size.
const DESCRIPTOR_BYTES: usize = 256;

/// One line of a referrers list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Its place in the list; pass it as `after` to go on behind it.
    pub cursor: u64,
    /// Of the manifest.
    pub digest: Digest,
    /// Of the manifest in bytes.
    pub size: u64,
    /// Of the manifest.
    pub media_type: String,
    /// Of the manifest.
    pub artifact_type: Option<String>,
    /// Of the manifest; `None`: it has none.
    pub annotations: Option<Annotations>,
}

impl Referrer {
    /// No less than what its descriptor takes in JSON.
    fn json_bytes(&self) -> usize {
        let artifact_type = self.artifact_type.as_deref().map_or(0, escaped);
        let annotations = self.annotations.as_ref().map_or(0, |annotations| annotations.json().get().len());
        DESCRIPTOR_BYTES + escaped(&self.media_type) + artifact_type + annotations
    }
}

/// Bytes of a text between the quotes of a JSON string.
fn escaped(text: &str) -> usize {
    let spelt = |byte| match byte {
        b'"' | b'\\' => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    text.bytes().map(spelt).sum()
}

/// Annotations as they go out: a JSON object. Nobody here looks into it.
#[derive(Clone, Debug)]
pub struct Annotations(Box<RawValue>);

impl Annotations {
    /// From what was stored.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// To be put into a document as it is.
    #[must_use]
    pub fn json(&self) -> &RawValue {
        &self.0
    }
}

impl PartialEq for Annotations {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Annotations {}

/// One page of a referrers list.
#[derive(Debug, Default)]
pub struct ReferrersPage {
    /// The entries, by rising cursor.
    pub referrers: Vec<Referrer>,
    /// Whether something comes after the last entry.
    pub more: bool,
    /// For who answers with this page: the document made of it, which must depend on nothing but the entries. A page that is kept in
    /// memory keeps it too, so that it is made once.
    pub rendered: OnceLock<Bytes>,
}

impl ReferrersPage {
    /// The page that begins with the first entry: at most `limit` of them, and no more than [`REFERRERS_PAGE_BYTES`] but for the
    /// first one. Takes one entry more than the page has, if there is one.
    ///
    /// # Errors
    /// As an entry.
    pub fn cut<E>(
        entries: impl IntoIterator<Item = Result<Referrer, E>>,
        limit: usize,
    ) -> Result<ReferrersPage, E> {
        let (mut page, mut bytes) = (ReferrersPage::default(), 0);
        for referrer in entries {
            let referrer = referrer?;
            bytes += referrer.json_bytes();
            let fits = page.referrers.is_empty() || bytes <= REFERRERS_PAGE_BYTES;
            if page.referrers.len() >= limit || !fits {
                page.more = true;
                break;
            }
            page.referrers.push(referrer);
        }
        page.referrers.shrink_to_fit();
        Ok(page)
    }

    /// The page that another question gets, out of this one, which must be the whole list or, without filter and cursor, the
    /// beginning of it that reaches far enough.
    pub(super) fn narrowed(&self, artifact_types: &[String], after: u64, limit: usize) -> ReferrersPage {
        let wanted = |referrer: &&Referrer| {
            referrer.cursor > after
                && (artifact_types.is_empty()
                    || referrer.artifact_type.as_ref().is_some_and(|own| artifact_types.contains(own)))
        };
        let mut wanted = self.referrers.iter().filter(wanted);
        let referrers = wanted.by_ref().take(limit).cloned().collect();
        ReferrersPage { referrers, more: wanted.next().is_some(), rendered: OnceLock::new() }
    }

    /// What it holds in memory, with the document that will be made of it.
    pub(super) fn weight(&self) -> usize {
        let texts = |referrer: &Referrer| {
            referrer.media_type.len()
                + referrer.artifact_type.as_ref().map_or(0, String::len)
                + referrer.annotations.as_ref().map_or(0, |annotations| annotations.json().get().len())
        };
        let of = |referrer| size_of::<Referrer>() + texts(referrer) + referrer.json_bytes();
        size_of::<ReferrersPage>() + self.referrers.iter().map(of).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Pages are cut, and memory is accounted for, by a length that is found without writing the document.
    #[test]
    fn a_descriptor_is_no_longer_than_reckoned() {
        let odd: String = (0..0x300).filter_map(char::from_u32).chain(['\u{1F980}']).collect();
        let annotations = json!({ odd.as_str(): odd, "": "" });
        let digest = Digest::of(gantry_oci::Algorithm::Sha512, b"x");
        let referrer = Referrer {
            cursor: 1,
            digest,
            size: i64::MAX.unsigned_abs(),
            media_type: odd.clone(),
            artifact_type: Some(odd.clone()),
            annotations: Some(Annotations::parse(&annotations.to_string()).expect("JSON")),
        };
        let document = json!({
            "mediaType": odd, "digest": digest.to_string(), "size": i64::MAX, "artifactType": odd, "annotations": annotations,
        });
        let length = document.to_string().len();
        let reckoned = referrer.json_bytes();
        assert!(
            length <= reckoned && reckoned < length + DESCRIPTOR_BYTES,
            "{length} bytes, {reckoned} reckoned"
        );
        let page = ReferrersPage { referrers: vec![referrer; 3], ..ReferrersPage::default() };
        let texts = 2 * odd.len() + annotations.to_string().len();
        assert!(page.weight() >= 3 * (texts + length), "the rows and the document");
    }
}
