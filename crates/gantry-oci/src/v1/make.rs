//! What a chain of v1 images looks like as a manifest: a pure function of the chain.

use crate::Digest;

/// One image of a chain.
#[derive(Clone, Debug)]
pub struct ChainLink<'a> {
    /// Its JSON.
    pub json: &'a [u8],
    /// The layer as manifests are to name it: gzip or plain.
    pub layer: Digest,
    /// Of that, in bytes.
    pub size: u64,
    /// Whether it is compressed with gzip.
    pub gzip: bool,
    /// Of the plain tar.
    pub diff_id: Digest,
    /// The image's entry of `history`, as raw JSON, where it is known better than from `json` (chains that stand on derived images).
    pub history: Option<&'a str>,
}

/// A manifest and its config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The config's bytes.
    pub config: Vec<u8>,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// Its media type: Docker schema 2 when all layers are gzip, else OCI.
    pub media_type: &'static str,
}

/// Makes them, of a chain with its base first, which is not empty.
#[must_use]
pub fn make(_chain: &[ChainLink<'_>]) -> Option<Made> {
    todo!()
}
