//! What is logged, at every level.
use std::io;

use super::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One thread serves it all, so that the thread's subscriber sees client and service alike.
#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _subscribed = tracing::subscriber::set_default(subscriber);

    let fixture = Fixture::start().await;
    fixture
        .service
        .answer(TOKEN, Answer::token("canary-token", 300));
    let good = credentials("canary", after(3600));
    let truncated = good.clone().into_text().replace("Expiration", "Exp");
    for text in [truncated, "secret-canary".to_owned()] {
        fixture.service.answer(CREDENTIALS, Answer::text(&text));
        let error = fixture.secret().await.unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
        fixture.pass(3);
    }
    fixture.service.answer(CREDENTIALS, good);
    fixture.has("canary").await;

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("took the role's credentials"), "{text}");
    assert!(text.contains("gave no credentials"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}
