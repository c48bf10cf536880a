//! The requests that have failed, and of which the guest does not know yet.

use std::collections::{BTreeMap, HashMap};

use sinbin_core::driven::{ConnectError, ConnectId};

/// Failed requests in the order of their ends. A guest can abandon tens of thousands of them in a turn, so removing one
/// takes little time.
#[derive(Default)]
pub(super) struct Failures {
    in_order: BTreeMap<u64, (ConnectId, ConnectError)>,
    /// The place of each request in the order.
    places: HashMap<ConnectId, u64>,
}

impl Failures {
    pub(super) fn add(&mut self, request: ConnectId, reason: ConnectError) {
        let place = self.in_order.last_key_value().map_or(0, |(last, _)| last + 1);
        self.in_order.insert(place, (request, reason));
        self.places.insert(request, place);
    }

    pub(super) fn remove(&mut self, request: ConnectId) {
        if let Some(place) = self.places.remove(&request) {
            self.in_order.remove(&place);
        }
    }

    pub(super) fn contains(&self, request: ConnectId) -> bool {
        self.places.contains_key(&request)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    /// Removes and returns all failures.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (ConnectId, ConnectError)> + use<> {
        self.places.clear();
        std::mem::take(&mut self.in_order).into_values()
    }
}
