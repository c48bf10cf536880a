//! A table of values by index, whose indexes carry a generation.

/// The index of a value and the generation of its slot. It refers to no other value, even after the slot was reused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) index: u32,
    generation: u32,
}

/// A table of values. Inserting, removing and accessing a value take constant time.
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    /// The index of the first free slot, or the number of slots.
    free: u32,
}

struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

enum Content<T> {
    Used(T),
    /// The index of the next free slot.
    Free(u32),
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: 0 }
    }

    /// Stores a value. Returns its place, or `None` if there are 2³⁰ values already.
    pub(super) fn insert(&mut self, value: T) -> Option<Place> {
        let index = self.free;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            let Content::Free(next) = slot.content else { return None };
            self.free = next;
            slot.content = Content::Used(value);
        } else {
            let next = index.checked_add(1).filter(|next| *next < 1 << 30)?;
            self.slots.push(Slot { generation: 0, content: Content::Used(value) });
            self.free = next;
        }
        self.place(index)
    }

    /// Removes the value at `index`.
    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        if matches!(slot.content, Content::Free(_)) {
            return None;
        }
        slot.generation = slot.generation.wrapping_add(1);
        let content = std::mem::replace(&mut slot.content, Content::Free(self.free));
        self.free = index;
        match content {
            Content::Used(value) => Some(value),
            Content::Free(_) => None,
        }
    }

    /// Returns the value at `index`.
    #[inline]
    pub(super) fn at(&self, index: u32) -> Option<&T> {
        match &self.slots.get(index as usize)?.content {
            Content::Used(value) => Some(value),
            Content::Free(_) => None,
        }
    }

    /// Returns the value at `index`.
    #[inline]
    pub(super) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        match &mut self.slots.get_mut(index as usize)?.content {
            Content::Used(value) => Some(value),
            Content::Free(_) => None,
        }
    }

    /// Returns the value at a place, unless it was removed.
    #[inline]
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        let slot = self.slots.get_mut(place.index as usize)?;
        match &mut slot.content {
            Content::Used(value) if slot.generation == place.generation => Some(value),
            _ => None,
        }
    }

    /// Returns the place of the value at `index`.
    pub(super) fn place(&self, index: u32) -> Option<Place> {
        let slot = self.slots.get(index as usize)?;
        matches!(slot.content, Content::Used(_)).then_some(Place { index, generation: slot.generation })
    }

    /// Iterates over all values.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..).zip(&mut self.slots).filter_map(|(index, slot)| match &mut slot.content {
            Content::Used(value) => Some((index, value)),
            Content::Free(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;

    #[test]
    fn a_place_never_refers_to_the_next_value_of_its_slot() {
        let mut slots = Slots::new();
        let first = slots.insert('a').unwrap();
        let other = slots.insert('b').unwrap();
        assert_eq!((slots.get_mut(first).copied(), slots.at(other.index)), (Some('a'), Some(&'b')));
        assert_eq!(slots.remove(first.index), Some('a'));
        assert_eq!((slots.remove(first.index), slots.at(first.index)), (None, None));
        assert_eq!(slots.get_mut(first), None);
        let next = slots.insert('c').unwrap();
        assert_eq!(next.index, first.index);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.get_mut(next), Some(&mut 'c'));
        assert_eq!(slots.iter_mut().map(|(_, value)| *value).collect::<String>(), "cb");
    }

    #[test]
    fn free_slots_are_used_again() {
        let mut slots = Slots::new();
        for _ in 0..3 {
            let places: Vec<_> = (0..100).map(|number| slots.insert(number).unwrap()).collect();
            assert!(places.iter().all(|place| place.index < 100));
            for place in places {
                assert!(slots.remove(place.index).is_some());
            }
        }
        assert_eq!(slots.iter_mut().count(), 0);
        assert!(slots.at(u32::MAX).is_none() && slots.remove(u32::MAX).is_none());
    }
}
