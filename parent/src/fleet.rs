//! The enclaves of this parent: which of them take connections, in turn.
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use crate::stream::{self, BoxStream};

mod member;

pub(crate) use member::{Connection, Member, Reach, Readiness};

/// An enclave that is ready and does not accept is asked again after this long.
const RETRY: Duration = Duration::from_millis(25);

/// Every enclave that runs, or is being started.
#[derive(Default)]
pub(crate) struct Fleet {
    members: watch::Sender<Vec<Arc<Member>>>,
    turn: AtomicUsize,
}

impl Fleet {
    pub(crate) fn add(&self, member: Arc<Member>) {
        self.members.send_modify(|members| members.push(member));
    }

    /// Its connections end, and it gets no more.
    pub(crate) fn remove(&self, member: &Arc<Member>) {
        member.is_gone();
        self.members
            .send_modify(|members| members.retain(|other| !Arc::ptr_eq(other, member)));
    }

    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        self.members.borrow().clone()
    }

    /// The enclave with this context identifier.
    pub(crate) fn of_cid(&self, cid: u32) -> Option<Arc<Member>> {
        let members = self.members.borrow();
        members.iter().find(|m| m.cid() == Some(cid)).cloned()
    }

    /// Connects to the next enclave in turn that accepts. Supervised ones are waited for while none
    /// is ready: one that died is back in a moment.
    pub(crate) async fn connect(&self, patience: Duration) -> io::Result<Connection> {
        let deadline = Instant::now() + patience;
        loop {
            let candidates = self.in_turn();
            let mut last = None;
            for member in &candidates {
                let left = deadline.saturating_duration_since(Instant::now());
                match stream::connect(member.endpoint(), left).await {
                    Ok(stream) => return Ok(Connection::new(stream, Arc::clone(member))),
                    Err(error) => last = Some(error),
                }
            }
            let may_wait = self
                .members
                .borrow()
                .iter()
                .all(|member| member.is_supervised());
            match last {
                Some(error) if !may_wait || Instant::now() >= deadline => return Err(error),
                // Between the end of an enclave and the notice of it.
                Some(_) => sleep(RETRY).await,
                None => timeout_at(deadline, self.until_one_is_ready())
                    .await
                    .map_err(|_| io::Error::other("no enclave is ready"))?,
            }
        }
    }

    /// Whether an enclave accepts a connection.
    pub(crate) async fn is_ready(&self, patience: Duration) -> bool {
        for member in self.in_turn() {
            if stream::connect(member.endpoint(), patience).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// Those that take connections, each time beginning with another.
    fn in_turn(&self) -> Vec<Arc<Member>> {
        let members = self.members.borrow();
        let mut ready: Vec<_> = members
            .iter()
            .filter(|m| m.takes_connections())
            .cloned()
            .collect();
        if let Some(turn) = self
            .turn
            .fetch_add(1, Ordering::Relaxed)
            .checked_rem(ready.len())
        {
            ready.rotate_left(turn);
        }
        ready
    }

    /// Woken by each change of the fleet, and of each of its members.
    async fn until_one_is_ready(&self) {
        let mut fleet = self.members.subscribe();
        loop {
            let members = fleet.borrow_and_update().clone();
            if members.iter().any(|member| member.takes_connections()) {
                return;
            }
            let ready = members.iter().map(|member| Box::pin(member.until_open()));
            let mut ready: Vec<_> = ready.collect();
            tokio::select! {
                _ = fleet.changed() => {}
                () = any(&mut ready) => return,
            }
        }
    }
}

/// Ends with the first of `waiting`; never when there is none.
async fn any<F: Future<Output = ()> + Unpin>(waiting: &mut [F]) {
    std::future::poll_fn(|cx| {
        let is_one_over = waiting
            .iter_mut()
            .any(|future| std::pin::Pin::new(future).poll(cx).is_ready());
        match is_one_over {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

/// A stream to the enclave.
impl Connection {
    fn new(stream: BoxStream, member: Arc<Member>) -> Self {
        let open = member.relaying();
        Self {
            stream,
            member,
            open,
        }
    }
}

#[cfg(test)]
mod tests;
