use std::{sync::mpsc, thread};

use super::*;

/// A module that makes a document when the test says so, and tells for whom it began one.
pub(crate) struct SlowModule {
    begun: Mutex<mpsc::Sender<Vec<u8>>>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

/// The test's end of a [`SlowModule`].
pub(crate) struct Pace {
    /// The `user_data` of each document when it is begun.
    pub(crate) begun: mpsc::Receiver<Vec<u8>>,
    /// Lets the document in progress be finished.
    pub(crate) go_on: mpsc::Sender<()>,
}

impl SlowModule {
    pub(crate) fn new() -> (Arc<Self>, Pace) {
        let (begin, begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let module = Self {
            begun: Mutex::new(begin),
            go_on: Mutex::new(may_go_on),
        };
        (Arc::new(module), Pace { begun, go_on })
    }
}

impl Attester for SlowModule {
    fn attest(&self, claims: &Claims) -> Result<Vec<u8>, AttesterError> {
        // Two documents at one time would be a mistake of ours.
        let go_on = self.go_on.try_lock().map_err(|_| AttesterError::Protocol)?;
        let _ = self.begun.lock().unwrap().send(claims.user_data.clone());
        let _ = go_on.recv();
        Ok(b"document".to_vec())
    }

    fn random(&self, _: &mut [u8]) -> Result<(), AttesterError> {
        Err(AttesterError::Refused)
    }

    fn describe_pcr(&self, _: u16) -> Result<PcrState, AttesterError> {
        Err(AttesterError::Refused)
    }

    fn extend_pcr(&self, _: u16, _: &[u8]) -> Result<Pcr, AttesterError> {
        Err(AttesterError::Refused)
    }

    fn lock_pcrs(&self, _: u16) -> Result<(), AttesterError> {
        Err(AttesterError::Refused)
    }
}

impl SharedModule {
    /// Waits until so many of us wait for a turn.
    pub(crate) fn until_of_us_wait(&self, count: usize) {
        while self.turns.lock().of_us_waiting < count {
            thread::yield_now();
        }
    }
}

pub(crate) fn document_for(user_data: &[u8]) -> Claims {
    Claims {
        user_data: user_data.to_vec(),
        ..Claims::default()
    }
}

#[test]
fn whoever_acts_for_the_enclave_is_next() {
    let (module, pace) = SlowModule::new();
    let module = SharedModule::new(module);
    let ask = |attester: Arc<dyn Attester>, name: &'static [u8]| {
        thread::spawn(move || attester.attest(&document_for(name)))
    };
    let mut asking: Vec<_> = (0..30)
        .map(|_| ask(module.for_strangers(), b"stranger"))
        .collect();
    assert_eq!(pace.begun.recv().unwrap(), b"stranger");
    asking.push(ask(module.for_ourselves(), b"us"));
    asking.push(ask(module.for_ourselves(), b"us"));
    module.until_of_us_wait(2);
    for expected in [&b"us"[..], b"us", b"stranger"] {
        pace.go_on.send(()).unwrap();
        assert_eq!(pace.begun.recv().unwrap(), expected);
    }
    drop(pace);
    for asked in asking {
        assert!(asked.join().unwrap().is_ok());
    }
}
