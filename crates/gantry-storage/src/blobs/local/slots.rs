//! Who may write to an upload's file.
//!
//! A request that is dropped in the middle leaves a batch of pieces on a blocking thread. Until it is written, the next request of
//! the same session must not touch the file, and after that the old request must never write again. So each upload in use
//! has a slot: whoever works on the file holds its lock, and each new handle gets a number that makes the earlier ones void.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use gantry_oci::UploadId;

/// Slots of the uploads in use.
#[derive(Default)]
pub(super) struct Slots(Mutex<HashMap<UploadId, Weak<Slot>>>);

/// One upload's slot.
#[derive(Default)]
pub(super) struct Slot(Mutex<Owner>);

/// The number of the handle that may write.
#[derive(Default)]
pub(super) struct Owner {
    number: u64,
}

/// A handle's number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(u64);

impl Slots {
    pub(super) fn get(&self, upload: UploadId) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&upload).and_then(Weak::upgrade) {
            return slot;
        }
        // Amortised: the map at most doubles between two clearings.
        if slots.len() == slots.capacity() {
            slots.retain(|_, slot| slot.strong_count() > 0);
        }
        let slot = Arc::new(Slot::default());
        slots.insert(upload, Arc::downgrade(&slot));
        slot
    }
}

impl Slot {
    /// Waits for the batch in flight, if any.
    pub(super) fn lock(&self) -> MutexGuard<'_, Owner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owner {
    /// The earlier handle may not write any more; the caller's may.
    pub(super) fn take_over(&mut self) -> Turn {
        self.number += 1;
        Turn(self.number)
    }

    /// No handle may write any more.
    pub(super) fn retire(&mut self) {
        self.number += 1;
    }

    pub(super) fn is(&self, turn: Turn) -> bool {
        self.number == turn.0
    }
}
