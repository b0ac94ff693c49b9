//! Owners that would have all places.
use std::{collections::HashSet, time::Duration};

use dauth_protocol::Fingerprint;
use proptest::prelude::*;

use super::*;

const CAPACITY: Capacity = Capacity {
    all: 16,
    per_owner: 4,
    per_key: 2,
};

fn owner(number: u8) -> PoolOwner {
    PoolOwner {
        issuer: "https://issuer.example".to_owned(),
        subject: number.to_string(),
    }
}

fn key(of: u8, caller: u8) -> PoolKey {
    PoolKey {
        owner: owner(of),
        fingerprint: Fingerprint::of(&[of]),
        caller: caller.to_string(),
        authority: "api.example".to_owned(),
    }
}

/// Places, and a clock that goes on by a second with each connection put in.
struct Scene {
    places: Places<u32>,
    start: Instant,
    put: u32,
}

impl Scene {
    fn new() -> Self {
        Self {
            places: Places::new(CAPACITY),
            start: Instant::now(),
            put: 0,
        }
    }

    /// Puts the next connection in; returns what gave way.
    fn put(&mut self, of: u8, caller: u8) -> Option<u32> {
        let now = self.start + Duration::from_secs(self.put.into());
        let gave_way = self.places.put(key(of, caller), self.put, now);
        self.put += 1;
        gave_way
    }

    fn take(&mut self, of: u8, caller: u8) -> Option<u32> {
        Some(self.places.take(&key(of, caller))?.0)
    }

    fn share(&self, of: u8) -> usize {
        self.places.of(&owner(of)).len()
    }
}

#[test]
fn the_last_used_of_a_key_is_taken_first() {
    let mut scene = Scene::new();
    scene.put(1, 1);
    scene.put(1, 2);
    scene.put(1, 1);
    assert_eq!(scene.take(1, 1), Some(2));
    assert_eq!(scene.take(1, 1), Some(0));
    assert_eq!(scene.take(1, 1), None);
    assert_eq!(scene.take(2, 2), None, "another owner");
    assert_eq!(scene.take(1, 2), Some(1));
    assert!(scene.places.owners.is_empty());
}

#[test]
fn the_longest_idle_of_a_key_gives_way_to_a_third() {
    let mut scene = Scene::new();
    scene.put(1, 2);
    assert_eq!(scene.put(1, 1), None);
    assert_eq!(scene.put(1, 1), None);
    assert_eq!(scene.put(1, 1), Some(1));
}

#[test]
fn an_owner_with_many_callers_has_its_share_and_no_more() {
    let mut scene = Scene::new();
    scene.put(9, 0);
    for caller in 0..100 {
        scene.put(1, caller);
    }
    assert_eq!(scene.share(1), CAPACITY.per_owner);
    assert_eq!(scene.take(1, 99), Some(100), "its latest are kept");
    assert_eq!(scene.take(1, 0), None);
    assert_eq!(scene.take(9, 0), Some(0), "another's is untouched");
}

#[test]
fn owners_who_fill_every_place_make_room_for_one_with_fewer() {
    let mut scene = Scene::new();
    for of in 0..4 {
        for caller in 0..4 {
            assert_eq!(scene.put(of, caller), None);
        }
    }
    assert_eq!(scene.put(9, 0), Some(0), "the longest idle of all four");
    assert_eq!(scene.put(9, 1), Some(4), "the first has three by now");
    assert_eq!(scene.put(9, 2), Some(8));
    // Nobody but the fourth has more than three: after that it is the newcomer's own.
    assert_eq!(scene.put(9, 3), Some(12));
    assert_eq!(scene.put(9, 4), Some(16));
    for of in [0, 1, 2, 3] {
        assert_eq!(scene.share(of), 3);
    }
    assert_eq!((scene.share(9), scene.places.taken), (4, 16));
}

#[test]
fn many_owners_with_one_each_do_not_keep_another_out() {
    let mut scene = Scene::new();
    for of in 0..16 {
        scene.put(of, 0);
    }
    assert_eq!(scene.put(100, 0), Some(0));
    assert_eq!(scene.put(100, 1), Some(16), "its own, where all have one");
    assert_eq!(scene.share(100), 1);
}

#[test]
fn what_is_swept_frees_its_place() {
    let mut scene = Scene::new();
    for caller in 0..4 {
        scene.put(1, caller);
    }
    let edge = scene.start + Duration::from_secs(2);
    let swept = scene
        .places
        .sweep(|number, since| since >= edge && *number != 3);
    assert_eq!(swept, [0, 1, 3]);
    assert_eq!((scene.places.taken, scene.share(1)), (1, 1));
    scene.places.sweep(|_, _| false);
    assert!(scene.places.owners.is_empty());
}

proptest! {
    #[test]
    fn every_connection_is_somewhere_and_no_bound_is_passed(
        steps in prop::collection::vec((0..3_u8, 0..8_u8, 0..5_u8), 0..200),
    ) {
        let mut scene = Scene::new();
        let mut inside = HashSet::new();
        for (step, of, caller) in steps {
            if step == 0 {
                let taken = scene.take(of, caller);
                prop_assert!(taken.is_none_or(|number| inside.remove(&number)));
                continue;
            }
            inside.insert(scene.put);
            let before = scene.share(of);
            if let Some(gave_way) = scene.put(of, caller) {
                prop_assert!(inside.remove(&gave_way));
                prop_assert!(gave_way != scene.put - 1);
            }
            prop_assert!(scene.share(of) >= before.max(1));
            prop_assert!(scene.share(of) <= CAPACITY.per_owner);
            let of_key = scene.places.of(&owner(of)).iter().filter(|i| i.key == key(of, caller));
            prop_assert!(of_key.count() <= CAPACITY.per_key);
            prop_assert_eq!(scene.places.taken, inside.len());
            prop_assert!(inside.len() <= CAPACITY.all);
        }
        let left: HashSet<u32> = scene.places.sweep(|_, _| false).into_iter().collect();
        prop_assert_eq!(left, inside);
    }
}
