//! Lists of the files of a layer, and of how they differ from the layers below, in the form of the first registry.
//!
//! Nobody's push or pull needs them, so they are bounded more tightly than layers are, and made anew each time.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use gantry_oci::RepoName;
use gantry_oci::v1::ImageId;
use gantry_storage::{ImageState, StoredImage};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::super::{Registry, Result};
use super::ImageError;
use super::layer::{Kind, Member, Members, unpack};

/// Members of a layer.
const MEMBERS_MAX: usize = 1 << 17;
/// Bytes of their names.
const NAMES_MAX: usize = 8 << 20;
/// Bytes of the plain tars that are read for one answer.
const PLAIN_MAX: u64 = 8 << 30;

/// KiB of lists that are not sent yet; each has at most half of it.
pub(super) const LISTS_KIB: usize = 128 << 10;

/// A list, and its part of all of them.
struct Held(Vec<u8>, #[expect(dead_code, reason = "it is given back with the list")] OwnedSemaphorePermit);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A file, as it is written: type, whether it is deleted, size, time, mode, owner, group. A list has the name before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Info(char, bool, u64, i64, i64, i64, i64);

impl Info {
    fn is_deleted(&self) -> bool {
        self.1
    }
}

/// Files by their names, as they come; a later one of the same name counts.
type Files = Vec<(String, Info)>;

impl Registry {
    /// GET files: the JSON array.
    ///
    /// # Errors
    /// There is no such image, it is in progress, its layer is no tar or too large to be listed; the store failed.
    pub async fn image_files(&self, repo: &RepoName, id: &ImageId) -> Result<Bytes> {
        let image = self.listed(repo, id).await?;
        let _alone = self.images.listing.acquire().await;
        let mut left = PLAIN_MAX;
        let files = self.files_of(repo, &image, &mut left).await?;
        let line = |(name, info): &(String, Info)| {
            let Info(kind, deleted, size, time, mode, owner, group) = *info;
            to_json(&(name, kind, deleted, size, time, mode, owner, group))
        };
        let mut lines = Vec::with_capacity(files.len() * 64);
        for file in &files {
            lines.push(if lines.is_empty() { b'[' } else { b',' });
            lines.extend_from_slice(&line(file));
        }
        if lines.is_empty() {
            lines.push(b'[');
        }
        lines.push(b']');
        Ok(self.held(lines).await)
    }

    /// GET diff: the JSON object.
    ///
    /// # Errors
    /// As for [`Self::image_files`], of any layer of the chain.
    pub async fn image_diff(&self, repo: &RepoName, id: &ImageId) -> Result<Bytes> {
        let image = self.listed(repo, id).await?;
        let _alone = self.images.listing.acquire().await;
        let mut left = PLAIN_MAX;
        let mut diff = Diff::default();
        let mut open: BTreeMap<String, Info> = BTreeMap::new();
        for (name, info) in self.files_of(repo, &image, &mut left).await? {
            open.insert(name, info);
        }
        let deleted;
        (deleted, open) = open.into_iter().partition(|(_, info)| info.is_deleted());
        diff.deleted = deleted;
        // From the image downwards, until each file was met.
        for below in image.ancestry.iter().skip(1) {
            if open.is_empty() {
                break;
            }
            let below = self.listed(repo, below).await?;
            let below: HashMap<_, _> = self.files_of(repo, &below, &mut left).await?.into_iter().collect();
            let met;
            (met, open) = open.into_iter().partition(|(name, _)| below.contains_key(name));
            for (name, info) in met {
                let is_new = below.get(&name).is_some_and(Info::is_deleted);
                if is_new { &mut diff.created } else { &mut diff.changed }.insert(name, info);
            }
        }
        diff.created.append(&mut open);
        Ok(self.held(to_json(&diff)).await)
    }

    /// Waits until there is room: whoever reads slowly keeps what is read.
    async fn held(&self, list: Vec<u8>) -> Bytes {
        let size = u32::try_from((list.len() >> 10).min(LISTS_KIB)).unwrap_or(u32::MAX);
        match Arc::clone(&self.images.lists).acquire_many_owned(size).await {
            Ok(permit) => Bytes::from_owner(Held(list, permit)),
            Err(_) => list.into(),
        }
    }

    async fn listed(&self, repo: &RepoName, id: &ImageId) -> Result<Arc<StoredImage>> {
        let image = self.image(repo, id).await?;
        if image.state == ImageState::Complete { Ok(image) } else { Err(ImageError::InProgress.into()) }
    }

    async fn files_of(&self, repo: &RepoName, image: &StoredImage, left: &mut u64) -> Result<Files> {
        let layer = image.layer.as_ref().ok_or(ImageError::NoLayer)?;
        let max = *left;
        let read = self
            .read_layer(repo, &layer.digest, &self.images.looking, move |reader| list(reader, max))
            .await?;
        let (files, plain) = read.map_err(|_| ImageError::LayerFormat)?;
        *left = left.saturating_sub(plain);
        Ok(files)
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// By names.
#[derive(Default, Serialize)]
struct Diff {
    deleted: BTreeMap<String, Info>,
    changed: BTreeMap<String, Info>,
    created: BTreeMap<String, Info>,
}

/// The files, and how many plain bytes were read for them.
fn list(layer: impl Read, plain_max: u64) -> io::Result<(Files, u64)> {
    let (_, plain) = unpack(layer)?;
    let mut plain = plain.take(plain_max);
    let mut first = [0];
    if plain.read(&mut first)? == 0 {
        return Err(io::Error::other("there is nothing"));
    }
    let mut members = Members::new(io::Cursor::new(first).chain(plain.by_ref()));
    let (mut files, mut met, mut names) = (Vec::new(), false, 0);
    loop {
        let member = match members.next() {
            Ok(Some(member)) => member,
            Ok(None) => break,
            // What ends in the middle is listed as far as it goes.
            Err(_) if met => break,
            Err(error) => return Err(error),
        };
        met = true;
        let Some((name, info)) = file(&member) else { continue };
        names += name.len();
        if files.len() == MEMBERS_MAX || names > NAMES_MAX {
            return Err(io::Error::other("it has too many members"));
        }
        files.push((name, info));
    }
    if plain.limit() == 0 {
        return Err(io::Error::other("it is too large"));
    }
    Ok((files, plain_max - plain.limit()))
}

/// `None`: it is none of the image's own.
fn file(member: &Member) -> Option<(String, Info)> {
    let mut name = String::from_utf8_lossy(&member.name).into_owned();
    // Directories of the first tars are files whose names end so.
    let is_directory = member.kind.is_directory() || member.kind.0 == 0 && name.ends_with('/');
    if is_directory {
        name.truncate(name.trim_end_matches('/').len());
    }
    if name == "." {
        "/".clone_into(&mut name);
    }
    if let Some(rest) = name.strip_prefix("./") {
        name = format!("/{rest}");
    }
    let mut deleted = false;
    if let Some(rest) = name.strip_prefix("/.wh.") {
        name = format!("/{rest}");
        deleted = true;
    }
    if name.starts_with("/.wh.") || member.kind == Kind(b'g') {
        return None;
    }
    let kind = if is_directory { 'd' } else { letter(member.kind) };
    Some((name, Info(kind, deleted, member.size, member.mtime, member.mode, member.uid, member.gid)))
}

fn letter(kind: Kind) -> char {
    match kind.0 {
        0 | b'0' => 'f',
        b'1' => 'l',
        b'2' => 's',
        b'3' => 'c',
        b'4' => 'b',
        b'5' => 'd',
        b'6' => 'i',
        b'7' => 't',
        b'S' => 'S',
        _ => 'u',
    }
}

#[cfg(test)]
mod tests {
    use super::super::layer::testing::{END, file, ustar};
    use super::*;

    fn lines(tar: &[u8]) -> io::Result<Vec<(String, char, bool)>> {
        let (files, _) = list(tar, PLAIN_MAX)?;
        Ok(files.into_iter().map(|(name, info)| (name, info.0, info.1)).collect())
    }

    #[test]
    fn files_are_listed_as_the_first_registry_listed_them() {
        let tar = [
            ustar("./", b"", b'5', 0o755, ""),
            ustar("./etc/", b"", b'5', 0o755, ""),
            file("./etc/hello", b"hello\n"),
            file("./.wh.gone", b""),
            file("./.wh..wh.aufs", b""),
            file("./etc/.wh.inside", b""),
            file("a.txt", b"a"),
            ustar("./link", b"", b'2', 0o777, "a"),
            ustar("./what", b"", b'Z', 0o777, ""),
            END.to_vec(),
        ]
        .concat();
        let line = |name: &str, kind, deleted| (name.to_owned(), kind, deleted);
        assert_eq!(
            lines(&tar).unwrap(),
            [
                line("/", 'd', false),
                line("/etc", 'd', false),
                line("/etc/hello", 'f', false),
                line("/gone", 'f', true),
                line("/etc/.wh.inside", 'f', false),
                line("a.txt", 'f', false),
                line("/link", 's', false),
                line("/what", 'u', false),
            ]
        );
    }

    #[test]
    fn what_is_no_tar_is_not_listed() {
        assert_eq!(lines(&END).unwrap(), []);
        lines(b"").unwrap_err();
        lines(b"some text").unwrap_err();
        let whole = file("a", b"1");
        // The second header is cut off.
        assert_eq!(lines(&[&whole[..], &whole[..100]].concat()).unwrap().len(), 1);
        let (_, plain) = list(&whole[..], PLAIN_MAX).unwrap();
        assert_eq!(plain, 1024);
        list(&whole[..], 512).unwrap_err();
    }
}
