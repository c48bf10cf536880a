//! The URLs that a crawl knows, as fingerprints.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use siphasher::sip::SipHasher13;

/// A set of URLs, each remembered by 64 bits of a keyed hash: some 9 to 18 bytes. Among a million URLs, two have the same
/// fingerprint with a probability of 3 in 100 million, and the second of them is not fetched.
#[derive(Debug)]
pub(crate) struct Seen {
    key: u128,
    hasher: SipHasher13,
    fingerprints: HashSet<u64, BuildHasherDefault<Identity>>,
}

impl Seen {
    pub fn new(key: u128) -> Self {
        let hasher = SipHasher13::new_with_key(&key.to_le_bytes());
        Self { key, hasher, fingerprints: HashSet::default() }
    }

    pub fn key(&self) -> u128 {
        self.key
    }

    pub fn len(&self) -> usize {
        self.fingerprints.len()
    }

    pub fn fingerprint(&self, url: &str) -> u64 {
        self.hasher.hash(url.as_bytes())
    }

    pub fn contains(&self, fingerprint: u64) -> bool {
        self.fingerprints.contains(&fingerprint)
    }

    pub fn insert(&mut self, fingerprint: u64) {
        self.fingerprints.insert(fingerprint);
    }

    pub fn extend(&mut self, fingerprints: Vec<u64>) {
        self.fingerprints.extend(fingerprints);
    }

    /// Returns the fingerprints in ascending order.
    pub fn sorted(&self) -> Vec<u64> {
        let mut sorted: Vec<_> = self.fingerprints.iter().copied().collect();
        sorted.sort_unstable();
        sorted
    }
}

/// A hasher of fingerprints, which are hashes already.
#[derive(Debug, Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not called for a u64, and correct for others.
        bytes.iter().for_each(|&byte| self.0 = self.0.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}
