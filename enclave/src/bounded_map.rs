//! A map that cannot grow without end.
use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// Beyond its bound it forgets what was put in first.
pub(crate) struct BoundedMap<K, V> {
    max: usize,
    entries: HashMap<K, Entry<V>>,
    by_age: BTreeMap<u64, K>,
    next_age: u64,
}

struct Entry<V> {
    age: u64,
    value: V,
}

impl<K: Copy + Eq + Hash, V> BoundedMap<K, V> {
    /// An empty map for `max` entries.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            entries: HashMap::new(),
            by_age: BTreeMap::new(),
            next_age: 0,
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Puts in what is from now on the youngest entry.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        if self.entries.len() >= self.max
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
        let age = self.next_age;
        self.next_age += 1;
        self.entries.insert(key, Entry { age, value });
        self.by_age.insert(age, key);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let Entry { age, value } = self.entries.remove(key)?;
        self.by_age.remove(&age);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_first_goes_first() {
        let mut map = BoundedMap::new(2);
        map.insert(1, 'a');
        map.insert(2, 'b');
        map.insert(1, 'c');
        map.insert(3, 'd');
        assert_eq!(map.get(&2), None);
        assert_eq!((map.get(&1), map.get(&3)), (Some(&'c'), Some(&'d')));
        assert_eq!(map.remove(&1), Some('c'));
        map.insert(4, 'e');
        assert_eq!((map.get(&3), map.get(&4)), (Some(&'d'), Some(&'e')));
    }

    #[test]
    fn what_comes_and_goes_leaves_nothing() {
        let mut map = BoundedMap::new(2);
        for key in 0..100 {
            map.insert(key % 3, key);
            map.remove(&(key % 3));
        }
        assert!(map.entries.is_empty() && map.by_age.is_empty());
    }
}
