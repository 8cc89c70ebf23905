//! The bytes of every frame, compared with what is committed beside this file.
//!
//! `OFFHOOK_BLESS=1 cargo test --test golden` writes them anew. Do so only for vectors that are
//! new: a vector that changes is a protocol that older builds do not speak.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};
use std::path::PathBuf;

use offhook::CommandKind;
use offhook::call::Outcome;
use offhook::protocol::{ClosingReason, Frame, FrameBuffer, Lane, ToDevice, encode};

use crate::samples::{self, Sample};

/// Bytes of a line of a vector.
const LINE_BYTES: usize = 48;

fn file(direction: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire");
    folder.join(format!("{direction}.txt"))
}

/// `name =`, and then the bytes in lines that begin with a space.
fn write_vectors(vectors: &[(String, Vec<u8>)]) -> String {
    let mut text = String::new();
    for (name, bytes) in vectors {
        writeln!(text, "{name} =").unwrap();
        for line in bytes.chunks(LINE_BYTES) {
            text.push(' ');
            line.iter()
                .for_each(|byte| write!(text, "{byte:02x}").unwrap());
            text.push('\n');
        }
    }
    text
}

fn read_vectors(text: &str) -> BTreeMap<String, Vec<u8>> {
    let mut vectors = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(" =") {
            let earlier = vectors.insert(name.to_owned(), Vec::new());
            assert!(earlier.is_none(), "{name} twice");
            current = Some(name.to_owned());
        } else {
            let hex = line.strip_prefix(' ').expect("a line of bytes").as_bytes();
            let name = current.as_ref().expect("a name first");
            let bytes = hex.chunks(2).map(|pair| {
                u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("hex")
            });
            vectors.get_mut(name).unwrap().extend(bytes);
        }
    }
    vectors
}

fn bytes_are_as_released<F: Frame + Debug + PartialEq>(direction: &str, samples: &[Sample<F>]) {
    let encoded: Vec<(String, Vec<u8>)> = samples
        .iter()
        .map(|(name, frame)| (name.clone(), encode(frame).expect("encoded")))
        .collect();
    let path = file(direction);
    if std::env::var_os("OFFHOOK_BLESS").is_some() {
        std::fs::write(&path, write_vectors(&encoded)).expect("written");
    }
    let text = std::fs::read_to_string(&path).expect("the vectors of that direction");
    let mut released = read_vectors(&text);
    for ((name, bytes), (_, frame)) in encoded.iter().zip(samples) {
        let vector = released.remove(name);
        let vector = vector.unwrap_or_else(|| panic!("{name} has no vector"));
        assert_eq!(*bytes, vector, "{name} is encoded otherwise");
        let mut buffer = FrameBuffer::default();
        buffer.push(&vector);
        let decoded = buffer.next_frame::<F>().expect("a frame").expect("whole");
        assert_eq!(decoded, *frame, "{name} is decoded otherwise");
        assert!(!buffer.is_partial());
    }
    assert!(released.is_empty(), "no sample for {:?}", released.keys());
}

#[test]
fn frames_towards_the_server_have_the_bytes_that_were_released() {
    bytes_are_as_released("to_server", &samples::to_server());
}

#[test]
fn frames_from_the_server_have_the_bytes_that_were_released() {
    bytes_are_as_released("to_device", &samples::to_device());
}

fn kinds<F: Frame>(samples: &[Sample<F>]) -> BTreeSet<u8> {
    let kind = |(_, frame): &Sample<F>| frame.to_body().expect("encoded").0;
    samples.iter().map(kind).collect()
}

/// A kind that is decoded, and of which there is no vector, is found out here.
fn every_kind_is_covered<F: Frame>(samples: &[Sample<F>]) {
    let covered = kinds(samples);
    for kind in 0..=u8::MAX {
        let unknown = matches!(F::from_body(kind, &[]), Ok(None));
        assert_eq!(unknown, !covered.contains(&kind), "kind {kind}");
    }
}

#[test]
fn every_kind_towards_the_server_has_a_vector() {
    every_kind_is_covered(&samples::to_server());
}

#[test]
fn every_kind_from_the_server_has_a_vector() {
    every_kind_is_covered(&samples::to_device());
}

#[test]
fn every_command_has_a_vector() {
    let covered: BTreeSet<CommandKind> = samples::commands()
        .iter()
        .map(|(_, command)| command.kind())
        .collect();
    assert!(CommandKind::ALL.iter().all(|kind| covered.contains(kind)));
}

#[test]
fn every_outcome_has_a_vector() {
    // A new one does not compile here until it has a number, and needs a sample then.
    let number = |outcome: &Outcome| match outcome {
        Outcome::Invited { .. } => 0,
        Outcome::Cancelled { .. } => 1,
        Outcome::Accepted => 2,
        Outcome::Rejected => 3,
        Outcome::CallingInvited { .. } => 4,
        Outcome::Joined { .. } => 5,
        Outcome::Quit { .. } => 6,
        Outcome::Ended { .. } => 7,
    };
    let covered = samples::outcomes();
    let covered: BTreeSet<usize> = covered.iter().map(|(_, one)| number(one)).collect();
    assert_eq!(covered, (0..8).collect());
}

#[test]
fn every_lane_and_every_reason_to_close_has_a_vector() {
    let (mut lanes, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    for (_, frame) in samples::to_device() {
        match frame {
            ToDevice::Feed(feed) => {
                lanes.insert(match feed.lane {
                    Lane::Open => 0,
                    Lane::History => 1,
                    Lane::Live => 2,
                });
            }
            ToDevice::Goodbye(goodbye) => {
                reasons.insert(match goodbye.reason {
                    ClosingReason::KickedOut => 0,
                    ClosingReason::TokenExpired => 1,
                    ClosingReason::Replaced => 2,
                    ClosingReason::ShuttingDown => 3,
                    ClosingReason::Violation => 4,
                });
            }
            _ => {}
        }
    }
    assert_eq!(lanes, (0..3).collect());
    assert_eq!(reasons, (0..5).collect());
}
