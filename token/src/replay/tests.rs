use super::*;

fn id(n: u64) -> [u8; 32] {
    crate::access_token::sha256(&n.to_be_bytes())
}

fn cache(entries: usize, entries_per_quota: usize) -> ReplayCache {
    ReplayCache::new(ReplayLimits {
        entries,
        entries_per_quota,
    })
}

#[test]
fn a_key_passes_once_until_it_has_expired() {
    let cache = cache(1000, 10);
    assert_eq!(cache.insert(id(1), id(0), 60, 0), Ok(()));
    assert_eq!(
        cache.insert(id(1), id(0), 60, 60),
        Err(ReplayError::Replayed)
    );
    assert_eq!(
        cache.insert(id(2), id(0), 60, 61),
        Err(ReplayError::Expired)
    );
    assert_eq!(cache.insert(id(1), id(0), 130, 61), Ok(()));
}

#[test]
fn a_clock_set_back_reopens_nothing() {
    let cache = cache(SHARDS, 10);
    let same_shard = |n| {
        let mut key = id(n);
        key[0] = 0;
        key
    };
    assert_eq!(cache.insert(same_shard(1), id(0), 60, 0), Ok(()));
    assert_eq!(cache.insert(same_shard(2), id(0), 200, 100), Ok(()));
    assert_eq!(
        cache.insert(same_shard(1), id(0), 60, 0),
        Err(ReplayError::Expired)
    );
}

#[test]
fn exactly_one_of_a_hundred_at_once_passes() {
    let cache = cache(100_000, 1000);
    let passed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..100)
            .map(|_| scope.spawn(|| usize::from(cache.insert(id(7), id(0), 60, 0).is_ok())))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(passed, 1);
}

#[test]
fn full_refuses_and_evicts_no_live_entry() {
    let cache = cache(SHARDS * 4, usize::MAX);
    assert_eq!(cache.insert(id(0), id(0), 60, 0), Ok(()));
    let refused = (1..10_000).filter(|n| cache.insert(id(*n), id(*n), 60, 0).is_err());
    assert_eq!(refused.count(), 10_000 - SHARDS * 4);
    assert_eq!(
        cache.insert(id(0), id(0), 60, 0),
        Err(ReplayError::Replayed)
    );
    assert_eq!(
        cache.insert(id(10_001), id(0), 60, 0),
        Err(ReplayError::Full)
    );
    assert_eq!(cache.insert(id(10_001), id(0), 90, 61), Ok(()));
}

#[test]
fn keys_ground_for_one_shard_starve_nobody_else() {
    let cache = cache(SHARDS * 4, usize::MAX);
    for n in 0..SHARDS as u64 {
        let mut ground = id(n);
        ground[0] = 0;
        assert_eq!(cache.insert(ground, id(0), 60, 0), Ok(()));
    }
    let mut same_shard = id(1000);
    same_shard[0] = 0;
    assert_eq!(cache.insert(same_shard, id(1), 60, 0), Ok(()));
}

#[test]
fn the_bound_holds_of_many_threads() {
    let cache = cache(100, usize::MAX);
    let passed: usize = std::thread::scope(|scope| {
        let insert = |thread: u64| {
            let keys = (0..1000).map(move |n| id(thread * 1000 + n));
            keys.filter(|key| cache.insert(*key, id(0), 60, 0).is_ok())
                .count()
        };
        let threads: Vec<_> = (0..8).map(|t| scope.spawn(move || insert(t))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!((passed, cache.len()), (100, 100));
}

#[test]
fn what_a_quota_refuses_takes_no_room() {
    let cache = cache(2, 1);
    assert_eq!(cache.insert(id(1), id(0), 60, 0), Ok(()));
    for n in 2..10 {
        assert_eq!(cache.insert(id(n), id(0), 60, 0), Err(ReplayError::Quota));
    }
    assert_eq!(cache.insert(id(10), id(1), 60, 0), Ok(()));
}

#[test]
fn expired_entries_of_every_shard_make_room() {
    let cache = cache(256, usize::MAX);
    for n in 0..256 {
        assert_eq!(cache.insert(id(n), id(n), 60, 0), Ok(()));
    }
    assert_eq!(
        cache.insert(id(300), id(0), 160, 60),
        Err(ReplayError::Full)
    );
    assert_eq!(cache.insert(id(300), id(0), 160, 61), Ok(()));
    assert_eq!(cache.len(), 1);
    let quotas: usize = cache.quotas.iter().map(|q| lock(q).live.len()).sum();
    assert_eq!(quotas, 1);
}

#[test]
fn a_quota_starves_nobody_else() {
    let cache = cache(100_000, 5);
    let flood = (0..100).filter(|n| cache.insert(id(*n), id(1), 60, 0).is_ok());
    assert_eq!(flood.count(), 5);
    assert_eq!(cache.insert(id(200), id(1), 60, 0), Err(ReplayError::Quota));
    assert_eq!(cache.insert(id(200), id(2), 60, 0), Ok(()));
    assert_eq!(
        cache.insert(id(201), id(1), 120, 61),
        Ok(()),
        "expired ones do not count"
    );
}

#[test]
fn forgets_all_in_the_end() {
    let cache = cache(100_000, 1000);
    for n in 0..1000 {
        cache.insert(id(n), id(n), 60, 0).unwrap();
    }
    for n in 1000..3000 {
        cache.insert(id(n), id(n), 160, 100).unwrap();
    }
    assert_eq!(cache.len(), 2000);
    let quotas: usize = cache.quotas.iter().map(|q| lock(q).live.len()).sum();
    assert_eq!(quotas, 2000);
}
