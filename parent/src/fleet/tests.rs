use std::path::Path;

use tokio::net::UnixListener;

use super::*;
use crate::configuration::Endpoint;

fn member(folder: &Path, cid: u32) -> Arc<Member> {
    let endpoint = Endpoint::Unix(folder.join(cid.to_string()));
    Arc::new(Member::new(
        format!("e{cid}"),
        endpoint,
        Reach::Supervised(cid),
        8,
    ))
}

fn listen(folder: &Path, cid: u32) -> UnixListener {
    UnixListener::bind(folder.join(cid.to_string())).unwrap()
}

const PATIENCE: Duration = Duration::from_secs(20);

async fn next(fleet: &Fleet) -> Option<u32> {
    fleet.connect(PATIENCE).await.unwrap().member.cid()
}

#[tokio::test]
async fn those_that_are_ready_get_connections_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::default();
    let members: Vec<_> = (16..19).map(|cid| member(folder.path(), cid)).collect();
    let _listeners: Vec<_> = (16..19).map(|cid| listen(folder.path(), cid)).collect();
    members.iter().for_each(|m| fleet.add(Arc::clone(m)));
    let [first, _second, third] = [0, 1, 2].map(|i: usize| &members[i]);
    let watches = (first.watched(), third.watched());
    let turns = [next(&fleet).await, next(&fleet).await, next(&fleet).await];
    assert!(turns[0] == turns[2] && turns[0] != turns[1], "{turns:?}");
    assert!(!turns.contains(&Some(17)), "it is not ready: {turns:?}");

    third.stop();
    assert_eq!([next(&fleet).await, next(&fleet).await], [Some(16); 2]);
    drop(watches);
    let patience = Duration::from_millis(10);
    assert!(fleet.connect(patience).await.is_err(), "none is ready");
}

#[tokio::test]
async fn one_that_does_not_accept_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::default();
    let (dead, lives) = (member(folder.path(), 16), member(folder.path(), 17));
    let _listener = listen(folder.path(), 17);
    fleet.add(Arc::clone(&dead));
    fleet.add(Arc::clone(&lives));
    let _watches = (dead.watched(), lives.watched());
    for _ in 0..4 {
        assert_eq!(next(&fleet).await, Some(17));
    }
}

#[tokio::test]
async fn a_connection_waits_for_an_enclave_that_is_being_started() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Arc::new(Fleet::default());
    let waiting = tokio::spawn({
        let fleet = Arc::clone(&fleet);
        async move { next(&fleet).await }
    });
    tokio::task::yield_now().await;
    let started = member(folder.path(), 16);
    fleet.add(Arc::clone(&started));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    let _listener = listen(folder.path(), 16);
    let _watched = started.watched();
    assert_eq!(waiting.await.unwrap(), Some(16));
}

#[tokio::test]
async fn one_that_nobody_supervises_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::default();
    let endpoint = Endpoint::Unix(folder.path().join("absent"));
    let alone = Member::new("enclave".to_owned(), endpoint, Reach::Alone, 8);
    fleet.add(Arc::new(alone));
    // Longer than the test may take.
    assert!(fleet.connect(Duration::from_secs(3600)).await.is_err());
}

#[tokio::test]
async fn a_request_that_came_before_the_old_one_broke_keeps_it_ready() {
    let folder = tempfile::tempdir().unwrap();
    let member = member(folder.path(), 16);
    assert_eq!(member.readiness(), Readiness::Starting);
    let old = member.watched();
    let new = member.watched();
    drop(old);
    assert_eq!(member.readiness(), Readiness::Ready);
    drop(new);
    assert_eq!(member.readiness(), Readiness::Lost);
    assert!(!member.takes_connections());
}

#[tokio::test]
async fn what_is_open_is_counted_and_ends_with_the_enclave() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::default();
    let member = member(folder.path(), 16);
    let _listener = listen(folder.path(), 16);
    fleet.add(Arc::clone(&member));
    member.found_ready();
    let connection = fleet.connect(PATIENCE).await.unwrap();
    assert_eq!(member.connections(), 1);
    fleet.remove(&member);
    connection.member.until_gone().await;
    drop(connection);
    assert_eq!(member.connections(), 0);
    assert!(fleet.of_cid(16).is_none());
}
