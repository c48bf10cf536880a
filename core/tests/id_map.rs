//! Compares `IdMap` with a hash map and a record of the id that occupies each index.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::kernel::IdMap;
use sinbin_core::{JobId, SourceId, TaskId};

/// The number of indexes. The ids at each index have several generations.
const PLACES: u64 = 5;

#[derive(Clone, Copy, Debug)]
enum Op {
    Insert(SourceId, u8),
    Change(SourceId, u8),
    Remove(SourceId),
    RemoveIf(SourceId, u8),
    Drain,
}

fn id() -> impl Strategy<Value = SourceId> {
    (0..PLACES, 0..4_u64).prop_map(|(index, generation)| SourceId::from_bits(generation << 32 | index))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (id(), any::<u8>()).prop_map(|(id, value)| Op::Insert(id, value)),
        2 => (id(), any::<u8>()).prop_map(|(id, value)| Op::Change(id, value)),
        2 => id().prop_map(Op::Remove),
        2 => (id(), any::<u8>()).prop_map(|(id, value)| Op::RemoveIf(id, value)),
        1 => Just(Op::Drain),
    ]
}

/// The values by id, and the id that occupies each index.
#[derive(Default)]
struct Model {
    values: HashMap<SourceId, u8>,
    owners: HashMap<usize, SourceId>,
}

impl Model {
    fn insert(&mut self, id: SourceId, value: u8) -> Option<(SourceId, u8)> {
        let before = self.owners.insert(id.index(), id);
        let before = before.and_then(|owner| Some((owner, self.values.remove(&owner)?)));
        self.values.insert(id, value);
        before
    }

    fn remove(&mut self, id: SourceId) -> Option<u8> {
        let value = self.values.remove(&id)?;
        self.owners.remove(&id.index());
        Some(value)
    }

    /// Returns all ids and values, in the order of the indexes.
    fn all(&self) -> Vec<(SourceId, u8)> {
        let mut all: Vec<_> = self.values.iter().map(|(id, value)| (*id, *value)).collect();
        all.sort_by_key(|(id, _)| id.index());
        all
    }
}

fn all(map: &IdMap<SourceId, u8>) -> Vec<(SourceId, u8)> {
    map.iter().map(|(id, value)| (id, *value)).collect()
}

proptest! {
    #[test]
    fn a_table_is_a_map_in_which_an_id_has_its_place_alone(ops in vec(op(), 0..60)) {
        let mut map = IdMap::new();
        let mut model = Model::default();
        for op in ops {
            match op {
                Op::Insert(id, value) => prop_assert_eq!(map.insert(id, value), model.insert(id, value)),
                Op::Change(id, value) => {
                    let change = |place: &mut u8| core::mem::replace(place, value);
                    prop_assert_eq!(map.get_mut(id).map(change), model.values.get_mut(&id).map(change));
                }
                Op::Remove(id) => prop_assert_eq!(map.remove(id), model.remove(id)),
                Op::RemoveIf(id, least) => {
                    let is_one = model.values.get(&id).is_some_and(|value| *value >= least);
                    let removed = if is_one { model.remove(id) } else { None };
                    prop_assert_eq!(map.remove_if(id, |value| *value >= least), removed);
                }
                Op::Drain => {
                    prop_assert_eq!(map.drain().collect::<Vec<_>>(), model.all());
                    model = Model::default();
                }
            }
            prop_assert_eq!(all(&map), model.all());
            prop_assert!(model.owners.keys().all(|index| *index < map.places()));
            for index in 0..=PLACES {
                for generation in 0..4 {
                    let id = SourceId::from_bits(generation << 32 | index);
                    prop_assert_eq!(map.get(id), model.values.get(&id));
                    prop_assert_eq!(map.contains(id), model.values.contains_key(&id));
                }
                let index = usize::try_from(index).expect("a small number");
                let at = model.owners.get(&index).map(|id| (*id, model.values[id]));
                prop_assert_eq!(map.at(index).map(|(id, value)| (id, *value)), at);
                prop_assert_eq!(map.at_mut(index).map(|(id, value)| (id, *value)), at);
            }
        }
    }

    #[test]
    fn a_range_of_places_is_a_part_of_all(
        values in vec((id(), any::<u8>()), 0..10),
        start in 0..8_usize,
        end in 0..8_usize,
    ) {
        let mut map = IdMap::with_capacity(3);
        for (id, value) in values {
            map.insert(id, value);
        }
        let within: Vec<_> = all(&map).into_iter().filter(|(id, _)| (start..end).contains(&id.index())).collect();
        prop_assert_eq!(map.range(start..end).map(|(id, value)| (id, *value)).collect::<Vec<_>>(), within);
    }
}

#[test]
fn ids_of_all_kinds_can_be_keys() {
    let mut tasks = IdMap::default();
    let mut jobs = IdMap::default();
    tasks.insert(TaskId::from_bits(1 << 32), 'a');
    jobs.insert(JobId::from_bits(3), ());
    assert_eq!(
        format!("{tasks:?} {jobs:?}"),
        format!("{{{:?}: 'a'}} {{{:?}: ()}}", TaskId::from_bits(1 << 32), JobId::from_bits(3))
    );
}
