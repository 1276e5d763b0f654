//! Buffers for reading, used again and again.
//!
//! A piece of a blob travels to the socket as [`Bytes`] that own one of these; when the last reference goes, the buffer comes
//! back. A fresh buffer costs page faults for every piece, which is most of the price of reading from the page cache.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The first pieces of a blob, and all pieces for a slow reader: hyper holds two of them for a client that does not read.
pub(super) const SMALL: usize = 20 * 1024;

/// Later pieces for a reader that keeps up.
pub(super) const LARGE: usize = 256 * 1024;

/// Spare buffers of each size: 4 MiB in all.
const SPARE_SMALL: usize = 48;
const SPARE_LARGE: usize = 12;

/// The spare buffers.
#[derive(Default)]
pub(super) struct Buffers {
    small: Mutex<Vec<Vec<u8>>>,
    large: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// A buffer of [`SMALL`] or [`LARGE`] bytes, whichever `size` fits. Its contents are whatever they were.
    pub(super) fn take(self: &Arc<Self>, size: usize) -> Buffer {
        let (spare, size) = if size <= SMALL { (&self.small, SMALL) } else { (&self.large, LARGE) };
        let bytes = spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: bytes.unwrap_or_else(|| vec![0; size]), length: 0, home: Arc::clone(self) }
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let (spare, most) =
            if bytes.len() <= SMALL { (&self.small, SPARE_SMALL) } else { (&self.large, SPARE_LARGE) };
        let mut spare = spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < most {
            spare.push(bytes);
        }
    }
}

/// One buffer, on its way home when dropped.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    home: Arc<Buffers>,
}

impl Buffer {
    /// Room for at most `limit` bytes.
    pub(super) fn room(&mut self, limit: usize) -> &mut [u8] {
        let limit = limit.min(self.bytes.len());
        self.bytes.get_mut(..limit).unwrap_or_default()
    }

    /// The first `length` bytes, without copying.
    pub(super) fn into_bytes(mut self, length: usize) -> Bytes {
        self.length = length;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_the_spare_is_bounded() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take(LARGE);
        buffer.room(5).copy_from_slice(b"hello");
        let bytes = buffer.into_bytes(5);
        let clone = bytes.slice(1..3);
        drop(bytes);
        assert_eq!(&clone[..], b"el");
        assert_eq!(buffers.large.lock().expect("not poisoned").len(), 0);
        drop(clone);
        assert_eq!(buffers.large.lock().expect("not poisoned").len(), 1);
        let many: Vec<_> = (0..100).map(|_| buffers.take(1)).collect();
        drop(many);
        assert_eq!(buffers.small.lock().expect("not poisoned").len(), SPARE_SMALL);
    }
}
