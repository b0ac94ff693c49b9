//! Receipts over restarts of the parties and changes of the keys.
use std::process::Command;

use dauth_tests::wait_until;
use serde_json::Value;

use crate::scene::Scene;

fn kill(pid: u32) {
    let mut kill = Command::new("kill");
    let status = kill.args(["-KILL", &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill {pid}");
}

fn boots(report: &Value) -> usize {
    report["boots"].as_array().unwrap().len()
}

/// A parent and a control plane that die lose no receipt, and an enclave that dies takes those of its
/// last moment with it: here all had arrived. A receipt key that was replaced still vouches for what
/// it signed.
#[tokio::test(flavor = "multi_thread")]
async fn receipts_outlive_their_parent_their_enclave_and_their_key() {
    let scene = Scene::set().await;
    for _ in 0..3 {
        scene.called();
    }
    // At once: the enclave may not have handed them over yet.
    let before = scene.stack.file();
    kill(before.parent.pid);
    kill(before.control_plane.pid);
    wait_until("the parties are started again", || {
        let after = scene.stack.file();
        after.parent.pid != before.parent.pid && after.control_plane.pid != before.control_plane.pid
    });
    wait_until("calls go on", || scene.call().code == 0);
    // A call that their death cut off may have left a receipt as well: the ordinals tell.
    let expected = 3 + 1;
    wait_until("receipts arrive", || scene.count() >= expected);
    let report = scene.report();
    assert_eq!(boots(&report), 1);

    let rotated = scene.stack.dauth(&["keys", "rotate", "--only", "receipt"]);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    scene.called();
    wait_until("a batch under the new key arrives", || {
        let report = scene.report();
        let boot = &report["boots"][0];
        let [all, former] = ["batches", "former_key_batches"].map(|n| boot[n].as_u64().unwrap());
        former > 0 && all > former
    });

    let before = scene.stack.file().enclave.pid;
    kill(before);
    wait_until("the enclave is started again", || {
        scene.stack.file().enclave.pid != before
    });
    wait_until("calls go on", || scene.call().code == 0);
    wait_until("a receipt of the new boot arrives", || {
        boots(&scene.report()) == 2
    });
}
