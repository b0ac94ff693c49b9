//! A call that an enclave took, and did not answer, may have been made: it is not made again.
use h2::{Reason, server::SendResponse};

use super::*;

/// How an enclave fails that has a call.
#[derive(Clone, Copy, Debug)]
enum Failing {
    /// It says that it goes, and goes without an answer.
    Goes(Reason),
    /// It breaks the stream off.
    Resets(Reason),
    /// It is gone, as after a crash.
    Vanishes,
}

async fn fail(
    how: Failing,
    mut h2: h2::server::Connection<TlsStream<TcpStream>, Bytes>,
    mut respond: SendResponse<Bytes>,
) {
    match how {
        Failing::Goes(reason) => h2.abrupt_shutdown(reason),
        Failing::Resets(reason) => respond.send_reset(reason),
        Failing::Vanishes => return,
    }
    while h2.accept().await.is_some() {}
}

#[tokio::test]
async fn a_call_that_was_taken_is_not_made_again() {
    for how in [
        Failing::Goes(Reason::NO_ERROR),
        Failing::Goes(Reason::INTERNAL_ERROR),
        Failing::Resets(Reason::INTERNAL_ERROR),
        Failing::Resets(Reason::CANCEL),
        Failing::Vanishes,
    ] {
        let (fleet, client) = Fleet::start(move |fleet, connection, number| async move {
            if number > 0 {
                return enclave_that_stops(fleet, connection, u32::MAX).await;
            }
            let mut h2 = show_evidence(&fleet, connection).await;
            let (request, respond) = h2.accept().await.unwrap().unwrap();
            fleet.made(request.uri().path().to_owned());
            fail(how, h2, respond).await;
        })
        .await;
        let body = CallBody::Bytes(Bytes::from_static(b"once"));
        let broken = call(&client, "/taken", body).await;
        assert!(
            matches!(broken, Err(CallError::Broken(_))),
            "{how:?}: {broken:?}"
        );
        fleet.assert_each_made_once(1);
    }
}
