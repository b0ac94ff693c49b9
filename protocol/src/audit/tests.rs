use super::*;

pub(crate) fn receipt(outcome: Outcome) -> CallReceipt {
    CallReceipt {
        layout: 1,
        boot: [1; 16].into(),
        sequence: 7,
        ordinal: 2,
        id: [2; 16].into(),
        handle: "ddls:conn:0191f3a4-7c1e-7b1a-8f00-000000000001"
            .parse()
            .unwrap(),
        owner: "s-1".into(),
        fingerprint: Fingerprint::of(b"record"),
        caller: "thumbprint".into(),
        server: None,
        token_id: "jti".into(),
        method: "GET".into(),
        path_hash: Digest::of(b"path"),
        mark_key: [3; 16].into(),
        outcome,
        ending: Ending::Complete,
        reflection: Reflection::None,
        request_bytes: 0,
        response_bytes: 12,
        started_ms: 1_700_000_000_000,
        duration_ms: 3,
    }
}

fn head() -> ChainHead {
    let boot = [1; 16].into();
    let previous = ChainHead::start(&boot);
    ChainHead {
        layout: 1,
        purpose: ChainHead::PURPOSE.to_owned(),
        boot,
        first: 1,
        count: 1,
        previous,
        head: ChainHead::next(&previous, &Digest::of(b"receipt")),
        marks: vec![0; Mark::BYTES],
        signed_ms: 1,
    }
}

#[test]
fn a_receipt_reads_the_same_in_cbor_and_in_json() {
    for outcome in [
        Outcome::Answered { status: 204 },
        Outcome::Refused {
            code: Code::PolicyDenied,
        },
        Outcome::Unanswered,
    ] {
        let receipt = receipt(outcome);
        let bytes = receipt.to_cbor();
        assert!(bytes.len() < 800, "{}", bytes.len());
        assert_eq!(CallReceipt::from_cbor(&bytes), Ok(receipt.clone()));
        let stored = StoredReceipt {
            receipt: "AA==".into(),
            details: receipt,
        };
        let json = serde_json::to_value(&stored).unwrap();
        assert_eq!(json["sequence"], 7);
        assert_eq!(json["boot"], "01".repeat(16));
        assert_eq!(
            json["outcome"],
            match outcome {
                Outcome::Answered { .. } => "answered",
                Outcome::Refused { .. } => "refused",
                Outcome::Unanswered => "unanswered",
            }
        );
        assert_eq!(
            serde_json::from_value::<StoredReceipt>(json).unwrap(),
            stored
        );
    }
}

#[test]
fn a_head_out_of_bounds_is_refused() {
    assert_eq!(ChainHead::from_cbor(&head().to_cbor()), Ok(head()));
    let changes: [fn(&mut ChainHead); 7] = [
        |head| head.marks.push(0),
        |head| head.marks.clear(),
        |head| head.count = 0,
        |head| head.count = MAX_BATCH_RECEIPTS as u64 + 1,
        |head| head.first = 0,
        |head| head.first = u64::MAX,
        |head| head.purpose = "dauth-admission-v1".to_owned(),
    ];
    for change in changes {
        let mut changed = head();
        change(&mut changed);
        assert_eq!(
            ChainHead::from_cbor(&changed.to_cbor()),
            Err(CborError::Malformed),
            "{changed:?}"
        );
    }
    let later = ChainHead {
        layout: 2,
        ..head()
    };
    assert_eq!(
        ChainHead::from_cbor(&later.to_cbor()),
        Err(CborError::UnknownVersion(2))
    );
}

#[test]
fn a_full_batch_has_a_head_that_fits() {
    let head = ChainHead {
        first: u64::MAX / 2,
        count: MAX_BATCH_RECEIPTS as u64,
        marks: vec![0; MAX_BATCH_RECEIPTS * Mark::BYTES],
        signed_ms: u64::MAX,
        ..head()
    };
    let bytes = head.to_cbor();
    // A COSE_Sign1 (RFC 9052 section 4.2) with ES256 adds less than 100 bytes.
    assert!(bytes.len() + 100 <= MAX_CHAIN_HEAD_BYTES, "{}", bytes.len());
    assert_eq!(ChainHead::from_cbor(&bytes), Ok(head));
}

/// Who has one receipt of a connection knows the others by their marks; who has none learns nothing
/// from them, not even which two belong together.
#[test]
fn a_mark_is_of_one_connection_and_place() {
    let receipt = receipt(Outcome::Answered { status: 200 });
    let changes: [fn(&mut CallReceipt); 3] = [
        |receipt| receipt.mark_key = [4; 16].into(),
        |receipt| receipt.boot = [4; 16].into(),
        |receipt| receipt.sequence += 1,
    ];
    for change in changes {
        let mut changed = receipt.clone();
        change(&mut changed);
        assert_ne!(changed.mark(), receipt.mark(), "{changed:?}");
    }
    let (one, other) = (receipt.mark(), Mark::of(&[9; 16].into(), &receipt.boot, 8));
    let marked = ChainHead {
        count: 2,
        marks: [*one.as_bytes(), *other.as_bytes()].concat(),
        ..head()
    };
    assert_eq!(marked.marks().collect::<Vec<_>>(), [one, other]);
}

#[test]
fn a_batch_is_bounded() {
    let batch = |count| ReceiptBatch {
        head: vec![1],
        receipts: vec![ByteBuf::from(vec![2]); count],
    };
    for count in [1, MAX_BATCH_RECEIPTS] {
        let batch = batch(count);
        assert_eq!(ReceiptBatch::from_cbor(&batch.to_cbor()), Ok(batch));
    }
    for count in [0, MAX_BATCH_RECEIPTS + 1] {
        let refused = ReceiptBatch::from_cbor(&batch(count).to_cbor());
        assert_eq!(refused, Err(CborError::Malformed));
    }
    assert!(ReceiptBatch::from_cbor(&vec![0; MAX_BATCH_BYTES + 1]).is_err());
}

#[test]
fn the_chain_tells_boots_orders_and_contents_apart() {
    let [a, b] = [Digest::of(b"a"), Digest::of(b"b")];
    let chain = |boot: [u8; 16], digests: &[Digest]| {
        digests.iter().fold(ChainHead::start(&boot.into()), |c, d| {
            ChainHead::next(&c, d)
        })
    };
    let chains = [
        chain([0; 16], &[]),
        chain([1; 16], &[]),
        chain([0; 16], &[a]),
        chain([0; 16], &[a, b]),
        chain([0; 16], &[b, a]),
        chain([0; 16], &[a, a]),
    ];
    for (at, chain) in chains.iter().enumerate() {
        assert!(!chains[..at].contains(chain), "{at}");
    }
}

#[test]
fn hexadecimal_has_its_length() {
    let id: BootId = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
    assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0e0f");
    for bad in [
        "",
        "00",
        "zz0102030405060708090a0b0c0d0e0f",
        &"0".repeat(34),
    ] {
        assert_eq!(bad.parse::<BootId>(), Err(InvalidHex), "{bad}");
    }
}
