//! What a chain of v1 images looks like as a manifest: a pure function of the chain.
//!
//! Layers stay one to one, empty ones too. Values of the top's JSON go into the config as they were written.

use serde_json::value::RawValue;

use super::created::is_time;
use super::object::{Object, push_string, string};
use crate::Digest;
use crate::manifest::{is_read_as, is_too_deep};
use crate::media_type::{
    DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP, OCI_LAYER_TAR,
    OCI_MANIFEST,
};

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
    /// The image's entries of `history`, as [`history_of`] gives them, where they are known better than from `json` (chains that stand
    /// on derived images).
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

/// Keys of image JSON that configs do not have, and the last two, which are set anew: also as clients in Go would read them.
const DROPPED: [&str; 8] =
    ["id", "parent", "parent_id", "layer_id", "throwaway", "Size", "rootfs", "history"];

/// Makes them, of a chain with its base first, which is not empty. `None`: the top's JSON is none.
#[must_use]
pub fn make(chain: &[ChainLink<'_>]) -> Option<Made> {
    let config = config(chain)?;
    let (manifest, media_type) = manifest(chain, &config);
    Some(Made { config, manifest: manifest.into_bytes(), media_type })
}

fn config(chain: &[ChainLink<'_>]) -> Option<Vec<u8>> {
    let mut config = Object::read(chain.last()?.json)?;
    let raw = |text: String| RawValue::from_string(text).ok();
    let (rootfs, history) = (raw(rootfs(chain))?, raw(history(chain))?);
    let (architecture, os) = (raw("\"amd64\"".to_owned())?, raw("\"linux\"".to_owned())?);
    // What is no time would be refused by V2 clients, too.
    config.retain(|key, value| {
        !DROPPED.iter().any(|known| is_read_as(key, known)) && (!is_read_as(key, "created") || is_time(value))
    });
    // JSON of the first versions has neither, and OCI wants both.
    for (key, default) in [("architecture", &architecture), ("os", &os)] {
        if config.get(key).is_none_or(|value| value.get() == "\"\"") {
            config.set(key, default);
        }
    }
    config.set("rootfs", &rootfs);
    config.set("history", &history);
    Some(config.write())
}

fn rootfs(chain: &[ChainLink<'_>]) -> String {
    let ids: Vec<_> = chain.iter().map(|link| format!("\"{}\"", link.diff_id)).collect();
    format!("{{\"diff_ids\":[{}],\"type\":\"layers\"}}", ids.join(","))
}

fn history(chain: &[ChainLink<'_>]) -> String {
    let known = |link: &ChainLink<'_>| link.history.and_then(entries);
    let entries: Vec<_> = chain.iter().map(|link| known(link).unwrap_or_else(|| entry(link.json))).collect();
    format!("[{}]", entries.join(","))
}

/// What [`history_of`] gives for one layer, without white space between; `None`: this is something else.
fn entries(text: &str) -> Option<String> {
    let json = format!("[{text}]");
    // In the config it lies one level deeper, and what is made is to be read again.
    if is_too_deep(format!("[{json}]").as_bytes()) {
        return None;
    }
    let entries: Vec<&RawValue> = serde_json::from_str(&json).ok()?;
    let layers = entries.iter().filter(|entry| !is_empty_layer(entry)).count();
    let entries: Vec<_> = entries.iter().map(|entry| entry.get()).collect();
    (layers == 1).then(|| entries.join(","))
}

fn is_empty_layer(entry: &RawValue) -> bool {
    Object::of(entry).and_then(|entry| entry.get("empty_layer")).is_some_and(|empty| empty.get() == "true")
}

/// The entry of an image as Docker makes it of the image's JSON.
fn entry(json: &[u8]) -> String {
    let image = Object::read(json);
    let image = image.as_ref();
    let get = |key: &str| image.and_then(|image| image.get(key));
    let text = |key: &str| get(key).and_then(string).filter(|text| !text.is_empty());
    let fields = [
        ("author", text("author")),
        ("comment", text("comment")),
        ("created", get("created").filter(|time| is_time(time)).and_then(string)),
        ("created_by", get("container_config").and_then(command).filter(|command| !command.is_empty())),
    ];
    let mut out = "{".to_owned();
    for (key, value) in fields {
        let Some(value) = value else { continue };
        if out.len() > 1 {
            out.push(',');
        }
        push_string(&mut out, key);
        out.push(':');
        push_string(&mut out, &value);
    }
    out.push('}');
    out
}

/// `Cmd`: a list of words, in some old JSON a single one.
fn command(container_config: &RawValue) -> Option<String> {
    let command = Object::of(container_config)?.get("Cmd")?;
    string(command).or_else(|| {
        let words: Vec<String> = serde_json::from_str(command.get()).ok()?;
        Some(words.join(" "))
    })
}

fn manifest(chain: &[ChainLink<'_>], config: &[u8]) -> (String, &'static str) {
    let docker = chain.iter().all(|link| link.gzip);
    let (media_type, config_type) =
        if docker { (DOCKER_MANIFEST, DOCKER_CONFIG) } else { (OCI_MANIFEST, OCI_CONFIG) };
    let layer_type = |link: &ChainLink<'_>| match (docker, link.gzip) {
        (true, _) => DOCKER_LAYER_GZIP,
        (false, true) => OCI_LAYER_GZIP,
        // Docker's own format has no name for it that was ever in use.
        (false, false) => OCI_LAYER_TAR,
    };
    let descriptor = |digest: &Digest, media_type: &str, size: u64| {
        format!("{{\"digest\":\"{digest}\",\"mediaType\":\"{media_type}\",\"size\":{size}}}")
    };
    let layers: Vec<_> =
        chain.iter().map(|link| descriptor(&link.layer, layer_type(link), link.size)).collect();
    let config = descriptor(&Digest::sha256(config), config_type, config.len() as u64);
    let layers = layers.join(",");
    let text = format!(
        "{{\"config\":{config},\"layers\":[{layers}],\"mediaType\":\"{media_type}\",\"schemaVersion\":2}}"
    );
    (text, media_type)
}

/// The `history` of a config by its layers, base first: for each the raw JSON of its entry, and before it, joined by commas, those of
/// empty layers that come before. Empty layers at the end are with the last. `None`: its entries are not as many as `layers`.
#[must_use]
pub fn history_of(config: &[u8], layers: usize) -> Option<Vec<String>> {
    let history = Object::read(config)?.get("history")?;
    let entries: Vec<&RawValue> = serde_json::from_str(history.get()).ok()?;
    let mut found: Vec<String> = Vec::new();
    let mut before = String::new();
    for entry in entries {
        if !before.is_empty() {
            before.push(',');
        }
        before.push_str(entry.get());
        if !is_empty_layer(entry) {
            found.push(std::mem::take(&mut before));
        }
    }
    match found.last_mut() {
        Some(last) if !before.is_empty() => {
            last.push(',');
            last.push_str(&before);
        }
        _ => {}
    }
    (found.len() == layers && layers > 0).then_some(found)
}
