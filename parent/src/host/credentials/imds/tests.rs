use std::sync::{atomic::Ordering, mpsc};

use service::{Answer, Asked, CREDENTIALS, ROLE, Service, TOKEN, credentials};

use super::*;
use crate::configuration;

mod service;

const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

struct Fixture {
    service: Service,
    imds: Arc<Imds>,
    metrics: Arc<Metrics>,
    now: Arc<Mutex<Timestamp>>,
}

impl Fixture {
    async fn start() -> Self {
        Self::with_timeout_ms(60_000).await
    }

    async fn with_timeout_ms(timeout_ms: u64) -> Self {
        let service = Service::start().await;
        let now = Arc::new(Mutex::new(START));
        let clock = Arc::clone(&now);
        let metrics = Arc::new(Metrics::default());
        let metadata = Metadata::new(&configuration::Imds {
            endpoint: service.endpoint(),
            timeout_ms,
        });
        let imds = Imds::new(
            metadata.unwrap(),
            Arc::new(move || *clock.lock().unwrap()),
            Arc::clone(&metrics),
        );
        service.answer(TOKEN, Answer::token("token-1", 21_600));
        service.answer(ROLE, Answer::text("enclave-role"));
        service.answer(CREDENTIALS, credentials("first", after(3600)));
        Self {
            service,
            imds: Arc::new(imds),
            metrics,
            now,
        }
    }

    fn pass(&self, seconds: i64) {
        let mut now = self.now.lock().unwrap();
        *now = now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    async fn secret(&self) -> Result<String, ImdsError> {
        let credentials = self.imds.credentials().await;
        credentials.map(|credentials| credentials.secret_access_key)
    }

    async fn has(&self, secret: &str) {
        assert_eq!(self.secret().await.unwrap(), format!("secret-{secret}"));
    }
}

/// `seconds` after the start.
fn after(seconds: i64) -> Timestamp {
    let seconds = SignedDuration::from_secs(seconds);
    START.checked_add(seconds).unwrap()
}

#[tokio::test]
async fn credentials_are_asked_for_with_a_session_token_and_kept() {
    let fixture = Fixture::start().await;
    let found = fixture.imds.credentials().await.unwrap();
    assert_eq!(found.access_key_id, "ASIAfirst");
    assert_eq!(found.secret_access_key, "secret-first");
    assert_eq!(found.session_token, "session-first");
    fixture.has("first").await;
    let with = Some("token-1".to_owned());
    assert_eq!(
        fixture.service.asked(),
        [
            Asked::new("PUT", TOKEN, None),
            Asked::new("GET", ROLE, with.clone()),
            Asked::new("GET", CREDENTIALS, with),
        ]
    );
    assert_eq!(fixture.metrics.role_renewals.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn they_are_renewed_well_before_they_expire() {
    let fixture = Fixture::start().await;
    fixture.has("first").await;
    fixture
        .service
        .answer(CREDENTIALS, credentials("second", after(7200)));
    fixture.pass(3600 - 601);
    fixture.has("first").await;
    fixture.pass(1);
    fixture.has("second").await;
}

#[tokio::test]
async fn where_there_are_no_newer_ones_yet_the_service_is_not_asked_at_each_request() {
    let fixture = Fixture::start().await;
    fixture.has("first").await;
    fixture.pass(3600 - 599);
    for _ in 0..5 {
        fixture.has("first").await;
    }
    assert_eq!(fixture.service.count(CREDENTIALS), 2);
    fixture
        .service
        .answer(CREDENTIALS, credentials("second", after(7200)));
    fixture.pass(31);
    fixture.has("second").await;
}

#[tokio::test]
async fn a_failed_renewal_serves_the_old_ones_while_they_live_and_is_tried_again() {
    let fixture = Fixture::start().await;
    fixture.has("first").await;
    fixture.service.answer(ROLE, Answer::status(500));
    fixture.pass(3600 - 300);
    fixture.has("first").await;
    fixture.has("first").await;
    assert_eq!(fixture.service.count(ROLE), 2, "the service rests");
    fixture.pass(3);
    fixture.has("first").await;
    assert_eq!(fixture.service.count(ROLE), 3);
    assert_eq!(fixture.metrics.role_failures.load(Ordering::Relaxed), 2);

    fixture.pass(300);
    assert_eq!(fixture.secret().await, Err(ImdsError::Status(500)));
    fixture.service.answer(ROLE, Answer::text("enclave-role"));
    fixture
        .service
        .answer(CREDENTIALS, credentials("second", after(7200)));
    fixture.pass(3);
    fixture.has("second").await;
}

#[tokio::test]
async fn many_who_ask_at_one_time_are_one_request() {
    let fixture = Fixture::start().await;
    let (open, gate) = mpsc::channel();
    fixture.service.hold(gate);
    let requests: Vec<_> = (0..8)
        .map(|_| {
            let imds = Arc::clone(&fixture.imds);
            tokio::spawn(async move { imds.credentials().await.map(|c| c.secret_access_key) })
        })
        .collect();
    fixture.service.wait_for(CREDENTIALS, 1).await;
    open.send(()).unwrap();
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap(), "secret-first");
    }
    assert_eq!(fixture.service.count(TOKEN), 1);
    assert_eq!(fixture.service.count(CREDENTIALS), 1);
}

/// While one asks, others have what lives: a slow service holds nobody up.
#[tokio::test]
async fn during_a_renewal_the_old_ones_are_served() {
    let fixture = Fixture::start().await;
    fixture.has("first").await;
    let (open, gate) = mpsc::channel();
    fixture.service.hold(gate);
    fixture
        .service
        .answer(CREDENTIALS, credentials("second", after(7200)));
    fixture.pass(3600 - 300);
    let imds = Arc::clone(&fixture.imds);
    let renewal =
        tokio::spawn(async move { imds.credentials().await.map(|c| c.secret_access_key) });
    fixture.service.wait_for(CREDENTIALS, 2).await;
    fixture.has("first").await;
    open.send(()).unwrap();
    assert_eq!(renewal.await.unwrap().unwrap(), "secret-second");
    fixture.has("second").await;
}

#[tokio::test]
async fn a_session_token_is_used_again_until_shortly_before_its_end() {
    let fixture = Fixture::start().await;
    fixture.service.answer(TOKEN, Answer::token("token-1", 300));
    fixture
        .service
        .answer(CREDENTIALS, credentials("first", after(200)));
    fixture.has("first").await;
    fixture
        .service
        .answer(CREDENTIALS, credentials("second", after(7200)));
    fixture.pass(239);
    fixture.has("second").await;
    assert_eq!(fixture.service.count(TOKEN), 1);

    fixture
        .service
        .answer(TOKEN, Answer::token("token-2", 21_600));
    fixture
        .service
        .answer(CREDENTIALS, credentials("third", after(9000)));
    fixture.pass(7200 - 239);
    fixture.has("third").await;
    assert_eq!(fixture.service.count(TOKEN), 2);
    let last = fixture.service.asked().pop().unwrap();
    assert_eq!(last.token.as_deref(), Some("token-2"));
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once() {
    let fixture = Fixture::start().await;
    fixture.has("first").await;
    // As after the instance was moved: the service knows the token no more.
    fixture
        .service
        .answer(TOKEN, Answer::token("token-2", 21_600));
    fixture
        .service
        .answer(CREDENTIALS, credentials("second", after(7200)));
    fixture.service.know_only("token-2");
    fixture.pass(3600);
    fixture.has("second").await;
    assert_eq!(fixture.service.count(TOKEN), 2);

    fixture.service.know_only("none");
    fixture.pass(3600);
    assert_eq!(fixture.secret().await, Err(ImdsError::TokenRefused));
    assert_eq!(fixture.service.count(TOKEN), 3);
}

/// Version 1 would answer these: nothing is asked of it.
#[tokio::test]
async fn without_a_session_token_nothing_is_asked() {
    let fixture = Fixture::start().await;
    for status in [400, 403, 404, 405, 301] {
        fixture.service.answer(TOKEN, Answer::status(status));
        assert_eq!(fixture.secret().await, Err(ImdsError::NoToken(status)));
        fixture.pass(3);
    }
    for token in ["", "two words", "line\nline", &"t".repeat(2000)] {
        fixture.service.answer(TOKEN, Answer::token(token, 60));
        assert!(fixture.secret().await.is_err(), "{token}");
        fixture.pass(3);
    }
    assert!(fixture.service.asked().iter().all(|a| a.method == "PUT"));
}

#[tokio::test]
async fn an_instance_without_a_role_is_told_so() {
    let fixture = Fixture::start().await;
    fixture.service.answer(ROLE, Answer::status(404));
    let error = fixture.secret().await.unwrap_err();
    assert_eq!(error, ImdsError::NoRole);
    assert!(error.to_string().contains("instance profile"), "{error}");
    fixture.pass(3);
    fixture.service.answer(ROLE, Answer::text("\n"));
    assert_eq!(fixture.secret().await, Err(ImdsError::NoRole));
}

#[tokio::test]
async fn garbage_is_refused_and_followed_nowhere() {
    let fixture = Fixture::start().await;
    for role in ["a\nb", "../../user-data", "a/b", "a?b", &"r".repeat(300)] {
        fixture.service.answer(ROLE, Answer::text(role));
        assert!(fixture.secret().await.is_err(), "{role}");
        fixture.pass(3);
    }
    assert_eq!(fixture.service.count(CREDENTIALS), 0);
    fixture
        .service
        .answer(ROLE, Answer::redirect(&fixture.service.endpoint()));
    assert_eq!(fixture.secret().await, Err(ImdsError::Status(302)));
    fixture.pass(3);

    fixture.service.answer(ROLE, Answer::text("enclave-role"));
    let good = credentials("first", after(3600)).into_text();
    for (text, refusal) in [
        (
            r#"{"Code":"AssumeRoleUnauthorizedAccess"}"#.to_owned(),
            "AssumeRole",
        ),
        (r#"{"Code":"Success"}"#.to_owned(), "AccessKeyId"),
        (r#"{"Code":"<script>"}"#.to_owned(), "AccessKeyId"),
        ("{".to_owned(), "AccessKeyId"),
        (String::new(), "AccessKeyId"),
        (good.replace("session-first", ""), "AccessKeyId"),
        (good.replace("secret-first", "two words"), "AccessKeyId"),
        (good.replace("202", "never-"), "Expiration"),
        (format!("{good}{}", " ".repeat(20_000)), "16384"),
        (credentials("first", after(0)).into_text(), "expired"),
    ] {
        fixture.service.answer(CREDENTIALS, Answer::text(&text));
        let error = fixture.secret().await.unwrap_err().to_string();
        assert!(error.contains(refusal), "{text}: {error}");
        fixture.pass(3);
    }
    // A clock that was set back does not make the rest a long one.
    fixture.service.answer(CREDENTIALS, Answer::text(&good));
    fixture.pass(-300);
    fixture.has("first").await;
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_with_a_hint() {
    let fixture = Fixture::with_timeout_ms(50).await;
    let (_never, gate) = mpsc::channel();
    fixture.service.hold(gate);
    let error = fixture.secret().await.unwrap_err();
    assert_eq!(error, ImdsError::NoAnswer);
    let sentence = error.to_string();
    assert!(
        sentence.contains("HttpPutResponseHopLimit to 2"),
        "{sentence}"
    );
}
