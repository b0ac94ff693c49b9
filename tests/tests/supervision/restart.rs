//! A parent that dies and starts again: its enclaves run on, and no record is lost.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_client::{NewConnection, Owner, Pinning, PolicyParts, Profile, Secret};
use dauth_dispatch::{CallBody, CallRequest};
use dauth_protocol::{Handle, Injection, Rule, policy::Limits};
use dauth_tests::{Stack, wait_until};
use http::{HeaderMap, Method};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    callers::{Callers, Failed, PROGRESS_TIMEOUT},
    fixture::{Supervised, connection, kill, section, wait_until_idle},
};

const CALLS: u64 = 40;
const CONNECTIONS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_killed_adopts_its_enclaves_and_no_record_is_lost() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let (upstream, handle) = connection(&stack).await;
    let mut supervised = Supervised::start(&stack, 2);
    let before = supervised.enclave_pids();
    let file = stack.file();
    let callers = Callers::start(4, &file, supervised.gateway(), &handle).await;
    let mut connectors = Connectors::start(3, &supervised, &upstream.base_url());
    callers.goes_on(CALLS).await;
    connectors.has_made(CONNECTIONS).await;

    for _ in 0..2 {
        connectors.go_on(CONNECTIONS);
        supervised.kill_parent();
        supervised.start_parent();
        supervised.wait_until_ready(2);
        assert_eq!(supervised.enclave_pids(), before, "they were adopted");
        callers.goes_on(CALLS).await;
        connectors.has_made(CONNECTIONS).await;
    }

    let failed = callers.stop().await;
    assert!(failed.iter().all(Failed::is_retryable), "{failed:#?}");
    let handles = connectors.stop().await;
    let owner = owner(&supervised);
    for handle in &handles {
        let called = call(&owner, handle.clone()).await;
        assert!(called.is_ok(), "{handle} was promised: {called:?}");
    }
    println!(
        "two kill -9 of the parent: {} records are there, {} calls failed",
        handles.len(),
        failed.len()
    );
    assert_eq!(
        supervised.metric("dauth_parent_enclave_starts_total"),
        Some(0)
    );
}

/// What the parent finds of its own and is not to run is ended; another's enclaves are left alone.
#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_ended_and_strangers_left_alone() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let mut supervised = Supervised::start(&stack, 1);
    let ours = supervised.enclave_pids();
    supervised.kill_parent();
    // An enclave of ours would end by itself, without a parent.
    let image = supervised.image("other.eif", |image| {
        image.insert("sleeps".into(), true.into());
    });
    let image = image.to_str().unwrap();
    for (name, cid, flag) in [
        ("dauth-gone-40", "40", None),
        ("dauth-e0-41", "41", Some("--debug-mode")),
        ("another-e0-42", "42", None),
    ] {
        let mut arguments = vec![
            "run-enclave",
            "--cpu-count",
            "2",
            "--memory",
            "256",
            "--enclave-cid",
            cid,
            "--enclave-name",
            name,
            "--eif-path",
            image,
        ];
        arguments.extend(flag);
        supervised.nitro_cli(&arguments);
    }
    supervised.start_parent();
    wait_until("orphans are ended", || {
        let names = |e: &serde_json::Value| e["EnclaveName"].as_str().unwrap().to_owned();
        let mut left: Vec<String> = supervised.described().iter().map(names).collect();
        left.sort();
        left.len() == 2 && left[0] == "another-e0-42" && left[1].starts_with("dauth-e0-")
    });
    supervised.wait_until_ready(1);
    assert!(supervised.enclave_pids().contains(&ours[0]));
}

/// With `at_stop = "terminate"` nothing is left behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_may_end_its_enclaves_when_it_stops() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let supervised = Supervised::start_with(&stack, 2, |parent| {
        section(parent, "supervisor").insert("at_stop".into(), "terminate".into());
    });
    kill("-TERM", supervised.parent_pid());
    wait_until("the enclaves end", || supervised.described().is_empty());
}

/// Owners that connect until there are as many connections as are wanted, fewer than an owner may
/// have, and keep the handles that they were given.
struct Connectors {
    wanted: Arc<Semaphore>,
    goal: usize,
    made: watch::Receiver<usize>,
    tasks: JoinSet<Vec<Handle>>,
}

impl Connectors {
    fn start(count: usize, supervised: &Supervised, base_url: &str) -> Self {
        let wanted = Arc::new(Semaphore::new(0));
        let (count_made, made) = watch::channel(0);
        let count_made = Arc::new(count_made);
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (owner, base_url) = (owner(supervised), base_url.to_owned());
            let (wanted, count_made) = (Arc::clone(&wanted), Arc::clone(&count_made));
            tasks.spawn(async move {
                let mut handles = Vec::new();
                while let Ok(one) = wanted.acquire().await {
                    // One that fails was promised nothing, and is tried again.
                    if let Ok(handle) = connect(&owner, &base_url).await {
                        one.forget();
                        handles.push(handle);
                        count_made.send_modify(|made| *made += 1);
                    }
                    sleep(Duration::from_millis(10)).await;
                }
                handles
            });
        }
        Self {
            wanted,
            goal: 0,
            made,
            tasks,
        }
    }

    /// So many more are wanted.
    fn go_on(&mut self, count: usize) {
        self.goal += count;
        self.wanted.add_permits(count);
    }

    /// Waits for those that are wanted, and so many more.
    async fn has_made(&mut self, count: usize) {
        self.go_on(count);
        let goal = self.goal;
        let made = self.made.wait_for(|made| *made >= goal);
        timeout(PROGRESS_TIMEOUT, made).await.unwrap().unwrap();
    }

    async fn stop(mut self) -> Vec<Handle> {
        self.wanted.close();
        let mut handles = Vec::new();
        while let Some(made) = self.tasks.join_next().await {
            handles.extend(made.unwrap());
        }
        handles
    }
}

fn owner(supervised: &Supervised) -> Owner {
    Owner::new(&Profile::load(&supervised.profile()).unwrap()).unwrap()
}

async fn connect(owner: &Owner, base_url: &str) -> Result<Handle, String> {
    let rule = Rule {
        methods: vec!["GET".to_owned()],
        path: "/**".parse().unwrap(),
        scope: None,
    };
    let new = NewConnection {
        name: "of the restart".to_owned(),
        policy: PolicyParts {
            base_url: base_url.parse().unwrap(),
            injection: Injection::Bearer {},
            rules: vec![rule],
            request_headers: Vec::new(),
            limits: Limits::default(),
            servers: Vec::new(),
            pinning: Pinning::Pinned,
        },
        life: NewConnection::DEFAULT_LIFE,
    };
    let secret = Secret::new(b"restart-secret-0123456789".to_vec()).unwrap();
    let made = owner.connect(&new, &secret).await;
    made.map_err(|error| error.to_string())
}

async fn call(owner: &Owner, handle: Handle) -> Result<(), String> {
    let request = CallRequest {
        handle,
        method: Method::GET,
        path_and_query: "/restart".to_owned(),
        headers: HeaderMap::new(),
        body: CallBody::Bytes(Bytes::new()),
    };
    let response = owner
        .call(request)
        .await
        .map_err(|error| error.to_string())?;
    match response.status().is_success() {
        true => Ok(()),
        false => Err(response.status().to_string()),
    }
}
