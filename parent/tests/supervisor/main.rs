//! What the supervisor does about enclaves that do not do as they should.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes helpers outside #[test] for no tests"
)]

mod fixture;

use std::{fs, path::Path, time::Duration};

use fixture::Supervised;

#[tokio::test]
async fn an_enclave_that_dies_is_started_again_under_another_number() {
    let mut parent = Supervised::start("", |_| {}).await;
    parent.boots(16).await;
    parent.until_ready(1).await;
    parent.dies(16).await;
    parent.boots(17).await;
    parent.until_ready(1).await;
    assert_eq!(parent.asked(), ["run 16", "run 17"]);
}

#[tokio::test]
async fn one_in_debug_mode_is_ended() {
    let parent = Supervised::start("", |folder| {
        fs::write(folder.join("nitro/flags"), "DEBUG_MODE").unwrap();
    })
    .await;
    parent.until_asked("terminate 16").await;
    parent.until_asked("run 17").await;
}

#[tokio::test]
async fn one_in_debug_mode_serves_where_that_is_wanted() {
    let mut parent = Supervised::start("debug_mode = \"used\"", |folder| {
        fs::write(folder.join("nitro/flags"), "DEBUG_MODE").unwrap();
    })
    .await;
    parent.boots(16).await;
    parent.until_ready(1).await;
    assert_eq!(parent.asked(), ["run 16"]);
}

#[tokio::test]
async fn one_that_does_not_get_ready_is_replaced() {
    let mut parent = Supervised::start("ready_timeout_s = 1", |_| {}).await;
    parent.until_asked("terminate 16").await;
    parent.boots(17).await;
    parent.until_ready(1).await;
}

#[tokio::test]
async fn one_that_runs_and_is_silent_is_replaced() {
    let mut parent = Supervised::start("silent_timeout_s = 1", |_| {}).await;
    parent.boots(16).await;
    parent.until_ready(1).await;
    parent.loses_its_connection(16).await;
    parent.until_ready(0).await;
    parent.until_asked("terminate 16").await;
    parent.boots(17).await;
    parent.until_ready(1).await;
}

#[tokio::test]
async fn one_whose_connection_comes_back_stays() {
    let mut parent = Supervised::start("", |_| {}).await;
    parent.boots(16).await;
    parent.until_ready(1).await;
    parent.loses_its_connection(16).await;
    parent.until_ready(0).await;
    parent.boots(16).await;
    parent.until_ready(1).await;
    assert_eq!(parent.asked(), ["run 16"]);
}

#[tokio::test]
async fn a_start_that_fails_is_tried_again() {
    let mut parent = Supervised::start("", |folder| {
        fs::write(folder.join("nitro/refusals"), "1\n2\n").unwrap();
    })
    .await;
    parent.boots(18).await;
    parent.until_ready(1).await;
    assert_eq!(parent.asked(), ["run 16", "run 17", "run 18"]);
}

/// It may be running already: a second one of it would be one too many.
#[tokio::test]
async fn nothing_is_started_before_it_is_known_what_runs() {
    let mut parent = Supervised::start("", |folder| {
        describe(folder, "dauth-e0", 20, r#","Measurements":{"PCR0":"aa"}"#);
        fs::write(folder.join("nitro/mute"), "").unwrap();
    })
    .await;
    let asked_twice = || parent.asked().len() >= 2;
    parent.until("nitro-cli is asked again", asked_twice).await;
    fs::remove_file(parent.path("nitro/mute")).unwrap();
    parent.adopted(20).await;
    parent.until_ready(1).await;
    assert!(parent.asked().iter().all(|asked| asked == "mute"));
}

/// The order comes by SIGHUP, and waits for the same answer.
#[tokio::test]
async fn a_reload_starts_nothing_before_it_is_known_what_runs() {
    let mut parent = Supervised::start("", |folder| {
        describe(folder, "dauth-e0", 20, r#","Measurements":{"PCR0":"aa"}"#);
        fs::write(folder.join("nitro/mute"), "").unwrap();
    })
    .await;
    parent.until_asked("mute").await;
    parent.reload(&["one.eif", "one.eif"]).await;
    let asked = parent.asked().len();
    let asked_again = || parent.asked().len() > asked + 1;
    parent.until("nitro-cli is asked again", asked_again).await;
    fs::remove_file(parent.path("nitro/mute")).unwrap();
    parent.adopted(20).await;
    parent.boots(21).await;
    parent.until_ready(2).await;
    let mut asked = parent.asked();
    asked.retain(|asked| asked != "mute");
    assert_eq!(asked, ["run 21"]);
}

/// A start whose answer is lost, and an end that fails: both leave one that holds its memory.
#[tokio::test]
async fn one_that_is_nobodys_is_ended_and_those_of_others_are_not() {
    let mut parent = Supervised::start("", |folder| {
        describe(folder, "other-e0", 5, "");
        fs::write(folder.join("nitro/garbled"), "1\n").unwrap();
        fs::write(folder.join("nitro/stubborn"), "1\n2\n").unwrap();
    })
    .await;
    parent.boots(17).await;
    let orphan = parent.path("nitro/16.running");
    parent.until("it is ended", || !orphan.exists()).await;
    parent.until_ready(1).await;
    let mut asked = parent.asked();
    asked.sort();
    let ends = ["terminate 16"; 3];
    assert_eq!(asked, [&["run 16", "run 17"][..], &ends].concat());
    assert!(parent.path("nitro/5.running").exists());
}

#[tokio::test]
async fn one_that_does_not_end_is_ended_later() {
    let mut parent = Supervised::start("ready_timeout_s = 1", |folder| {
        fs::write(folder.join("nitro/stubborn"), "1\n").unwrap();
    })
    .await;
    parent.until_asked("terminate 16").await;
    let orphan = parent.path("nitro/16.running");
    parent.until("it is ended", || !orphan.exists()).await;
    parent.boots(17).await;
    parent.until_ready(1).await;
}

#[tokio::test]
async fn one_of_an_unknown_image_is_replaced() {
    let mut parent = Supervised::start("", |folder| {
        describe(folder, "dauth-e0", 20, "");
    })
    .await;
    parent.adopted(20).await;
    parent.boots(21).await;
    assert_eq!(parent.is_told(20).await, "204");
    fs::remove_file(parent.path("nitro/20.running")).unwrap();
    parent.until_asked("terminate 20").await;
    parent.until_ready(1).await;
    assert_eq!(parent.asked(), ["run 21", "terminate 20"]);
}

#[tokio::test]
async fn another_image_in_the_same_file_replaces_the_one_that_runs() {
    let mut parent = Supervised::start("", |_| {}).await;
    parent.boots(16).await;
    parent.until_ready(1).await;
    // Nothing has changed.
    parent.reload(&["one.eif"]).await;
    fs::write(parent.path("one.eif"), "bb").unwrap();
    parent.reload(&["one.eif"]).await;
    parent.until_asked("run 17").await;
    // The old one serves until the new one is ready.
    parent.until_ready(1).await;
    parent.boots(17).await;
    assert_eq!(parent.is_told(16).await, "204");
    fs::remove_file(parent.path("nitro/16.running")).unwrap();
    parent.until_asked("terminate 16").await;
    parent.until_ready(1).await;
    assert_eq!(parent.asked(), ["run 16", "run 17", "terminate 16"]);
}

#[tokio::test]
async fn one_that_is_told_to_stop_and_does_not_is_ended() {
    let mut parent = Supervised::start("drain_timeout_s = 1", |folder| {
        fs::write(folder.join("two.eif"), "bb").unwrap();
    })
    .await;
    parent.boots(16).await;
    parent.until_ready(1).await;
    parent.reload(&["two.eif"]).await;
    parent.boots(17).await;
    assert_eq!(parent.is_told(16).await, "204");
    parent.until_asked("terminate 16").await;
    parent.until_ready(1).await;
}

#[tokio::test]
async fn an_image_that_does_not_get_ready_replaces_none_and_is_not_started_for_it() {
    let mut parent = Supervised::start("ready_timeout_s = 1", |folder| {
        fs::write(folder.join("two.eif"), "bb").unwrap();
    })
    .await;
    parent.boots(16).await;
    parent.until_ready(1).await;
    parent.reload(&["two.eif"]).await;
    parent.until_asked("terminate 17").await;
    parent.until_ready(1).await;
    // What is started when the old one dies is what is known to serve.
    parent.dies(16).await;
    parent.boots(18).await;
    parent.until_ready(1).await;
    let runs = parent.described(18);
    assert!(runs.contains("\"PCR0\":\"aa\""), "{runs}");
    // The operator may order it once more.
    fs::write(parent.path("two.eif"), "cc").unwrap();
    parent.reload(&["two.eif"]).await;
    parent.boots(19).await;
    assert_eq!(parent.is_told(18).await, "204");
}

#[tokio::test]
async fn one_that_dies_while_its_successor_starts_is_started_again() {
    let mut parent = Supervised::start("ready_timeout_s = 600", |folder| {
        fs::write(folder.join("two.eif"), "bb").unwrap();
    })
    .await;
    parent.boots(16).await;
    parent.until_ready(1).await;
    parent.reload(&["two.eif"]).await;
    parent.until_asked("run 17").await;
    parent.dies(16).await;
    parent.boots(18).await;
    parent.until_ready(1).await;
    assert!(parent.described(18).contains("\"PCR0\":\"aa\""));
    parent.boots(17).await;
    assert_eq!(parent.is_told(18).await, "204");
}

#[tokio::test]
async fn one_that_dies_while_another_is_replaced_is_started_again() {
    let mut parent = Supervised::start("ready_timeout_s = 600", |folder| {
        fs::write(folder.join("two.eif"), "bb").unwrap();
    })
    .await;
    parent.boots(16).await;
    parent.reload(&["one.eif", "one.eif"]).await;
    parent.boots(17).await;
    parent.until_ready(2).await;
    parent.reload(&["two.eif", "two.eif"]).await;
    parent.until_asked("run 18").await;
    let started = parent.path("nitro/18.running");
    parent.until("it runs", || started.exists()).await;
    let waits = match parent.described(18).contains("dauth-e0-") {
        true => 17,
        false => 16,
    };
    parent.dies(waits).await;
    parent.boots(19).await;
    parent.until_ready(2).await;
    assert!(parent.described(19).contains("\"PCR0\":\"aa\""));
}

#[tokio::test]
async fn enclaves_outlive_their_parent_or_do_not() {
    let mut parent = Supervised::start("", |_| {}).await;
    parent.boots(16).await;
    parent.until_ready(1).await;
    assert_eq!(parent.reloader.longest_stop(), None);
    parent.stop().await;
    assert_eq!(parent.asked(), ["run 16"]);

    let settings = "at_stop = \"terminate\"\ndrain_timeout_s = 1\nready_timeout_s = 20\ncommand_timeout_s = 100";
    let mut parent = Supervised::start(settings, |_| {}).await;
    parent.boots(16).await;
    parent.until_ready(1).await;
    assert_eq!(
        parent.reloader.longest_stop(),
        Some(Duration::from_secs(621))
    );
    parent.stop().await;
    assert_eq!(parent.asked(), ["run 16", "terminate 16"]);
    assert_eq!(parent.is_told(16).await, "204");
}

/// The former parent died in the middle of an upgrade.
#[tokio::test]
async fn of_two_that_run_one_is_adopted_and_the_other_drained() {
    let mut parent = Supervised::start("", |folder| {
        for (cid, image) in [(20, "aa"), (21, "zz")] {
            let measurements = format!(r#","Measurements":{{"PCR0":"{image}"}}"#);
            describe(folder, "dauth-e0", cid, &measurements);
        }
    })
    .await;
    for cid in [20, 21] {
        parent.adopted(cid).await;
    }
    assert_eq!(parent.is_told(21).await, "204");
    assert_eq!(parent.asked(), [""; 0], "it may end by itself");
    fs::remove_file(parent.path("nitro/21.running")).unwrap();
    parent.until_asked("terminate 21").await;
    parent.until_ready(1).await;
    assert_eq!(parent.asked(), ["terminate 21"]);
}

/// One that was started by someone else: a former parent, for instance.
fn describe(folder: &Path, name: &str, cid: u32, more: &str) {
    let described = format!(
        r#"{{"EnclaveName":"{name}-{cid}","EnclaveID":"i-{cid}","EnclaveCID":{cid},
        "State":"RUNNING","Flags":"NONE"{more}}}"#
    );
    fs::write(folder.join(format!("nitro/{cid}.running")), described).unwrap();
}
