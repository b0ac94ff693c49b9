//! What it costs to search a reply for a credential.
use std::{error::Error, hint::black_box};

use aho_corasick::AhoCorasick;
use dauth_enclave::scrub::{Delivery, Scrubber};

use super::{
    forms,
    texts::{self, TEXT_BYTES},
};
use crate::{
    measure::{Candidate, Measured, Role, measure},
    report::{Budget, Figure, Line, Ratio, Report},
};

/// A key of 40 bytes, as they are common.
const SECRET: &[u8] = b"sk-live-4eC39HqLyjWDarjtT1zdp7dc-Zx81mQw";
/// About as much as the HTTP library hands over at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// A reply as they are common.
const SHORT_BYTES: usize = 4 * 1024;
/// How often a set-up is repeated to be timed.
const SET_UPS: u32 = 64;

/// The budgets of issue 4, for texts as they are common: what is escaped throughout has none.
const MS_PER_MIB: Budget = Budget::AtMost(1.0);
const US_OF_SET_UP: Budget = Budget::AtMost(15.0);

pub(super) fn measure_into(report: &mut Report) -> Result<(), Box<dyn Error>> {
    let replies = [
        ("plain text", texts::plain()),
        ("compact JSON", texts::compact_json()),
        ("indented JSON", texts::indented_json()),
        ("base64 in lines", texts::base64_lines()),
        ("every second character escaped", texts::dense()),
    ];
    let forms = forms::of(SECRET);
    let automaton = automaton(&forms)?;
    let mut out = Vec::with_capacity(2 * TEXT_BYTES);
    for (_, reply) in &replies {
        scrub(reply, &mut out);
        if out != *reply {
            return Err("a reply without the secret was altered".into());
        }
    }
    let plain = replies.first().map_or(&[][..], |(_, reply)| reply);
    let short = plain.get(..SHORT_BYTES).unwrap_or_default();

    let mut candidates = Vec::new();
    for (name, reply) in &replies {
        let name = format!("scrubbing 1 MiB, {name}");
        let mut out = Vec::with_capacity(2 * TEXT_BYTES);
        candidates.push(Candidate::new(&name, Role::Subject, move || {
            scrub(black_box(reply), &mut out);
        }));
    }
    candidates.push(Candidate::repeated(
        "set-up for a call",
        Role::Subject,
        SET_UPS,
        || {
            let scrubber = black_box(scrubber());
            drop(black_box(scrubber.watch()));
        },
    ));
    candidates.push(Candidate::repeated(
        "a reply of 4 KiB, set-up and all",
        Role::Subject,
        SET_UPS,
        || scrub(black_box(short), &mut out),
    ));
    candidates.push(Candidate::repeated(
        "aho-corasick, a reply of 4 KiB, set-up and all",
        Role::Peer,
        SET_UPS,
        || {
            if let Ok(automaton) = self::automaton(black_box(&forms)) {
                black_box(automaton.find_iter(black_box(short)).count());
            }
        },
    ));
    candidates.push(Candidate::new(
        "aho-corasick, 1 MiB, plain text as it came",
        Role::Peer,
        || {
            black_box(automaton.find_iter(black_box(plain)).count());
        },
    ));
    let mut copy = vec![0; TEXT_BYTES];
    candidates.push(Candidate::new("copying 1 MiB", Role::Floor, move || {
        copy.copy_from_slice(black_box(plain));
        black_box(&copy);
    }));
    candidates.push(Candidate::new(
        "one substring search of 1 MiB",
        Role::Floor,
        || {
            black_box(memchr::memmem::find(black_box(plain), SECRET));
        },
    ));
    let measured = measure(report.rounds, candidates)?;
    report.medians.extend(measured.iter().map(Line::cpu));
    judge(&measured, report);
    Ok(())
}

fn judge(measured: &[Measured], report: &mut Report) {
    let [replies @ .., _, set_up, short, automaton, _, _, _] = measured else {
        return;
    };
    for reply in replies {
        let ms = reply.median_us() / 1e3;
        report
            .figures
            .push(Figure::new(&reply.name, ms, "ms", MS_PER_MIB));
    }
    let us = set_up.median_us();
    report
        .figures
        .push(Figure::new(&set_up.name, us, "us", US_OF_SET_UP));
    report.ratios.push(Ratio::new(
        "an automaton built for the call / scrubbing, 4 KiB".to_owned(),
        automaton.median_us() / short.median_us(),
        Budget::AtLeast(1.0),
    ));
}

/// As the call path makes it: for a bearer token, what is sent is the secret itself.
fn scrubber() -> Scrubber {
    Scrubber::new(&[SECRET, SECRET], Delivery::FixedTail)
}

/// As the call path does: what is read is watched, and then what is passed on is redacted.
fn scrub(reply: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut scrubber = scrubber();
    let mut watch = scrubber.watch();
    for chunk in reply.chunks(CHUNK_BYTES) {
        watch.push(chunk);
        scrubber.push(chunk, out);
    }
    scrubber.finish(out);
    black_box((out, watch.saw()));
}

fn automaton(forms: &[Vec<u8>]) -> Result<AhoCorasick, Box<dyn Error>> {
    Ok(AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(forms)?)
}
