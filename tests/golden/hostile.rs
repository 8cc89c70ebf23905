//! Bytes that nobody of ours has sent: the decoder neither panics on them nor allocates more than
//! it says, whatever lengths they claim. And frames of ours, whatever is in them, come back as they
//! were.

use std::fmt::Debug;

use offhook::CallId;
use offhook::protocol::codec::{self, FROM_SERVER_MEMORY_MAX, TO_SERVER_MEMORY_MAX};
use offhook::protocol::{
    FROM_SERVER_BYTES_MAX, Frame, FrameBuffer, Lane, PREVIEW_BYTES_MAX, SEEN_CALLS_MAX, Seen,
    TO_SERVER_BYTES_MAX, ToDevice, ToServer, encode,
};
use offhook::server::core::FEED_BYTES_MAX;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::arbitrary;
use crate::samples::{self, Sample};

/// Lengths as they stand on the wire, from small to absurd.
const LENGTHS: [&[u8]; 6] = [
    &[250],
    &[251, 0xff, 0xff],
    &[252, 0, 0, 16, 0],
    &[252, 0xff, 0xff, 0xff, 0xff],
    &[253, 0, 0, 0, 0, 0, 0, 0, 0x10],
    &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];

/// Most bytes that are allocated at a time while those are decoded.
fn peak<F: Frame>(kind: u8, body: &[u8]) -> u64 {
    let decode = || drop(F::from_body(kind, body));
    allocation_counter::measure(decode).bytes_max
}

/// Every body with every byte replaced by every length: wherever a collection begins, it claims to
/// be that long. What follows is either the rest of the frame or `filler` up to the longest frame.
fn lengths_claimed<F: Frame>(samples: &[Sample<F>], filler: Option<u8>, most: u64) {
    for (name, frame) in samples {
        let (kind, body) = frame.to_body().unwrap();
        // A frame of many records says no more than one of a single record.
        if body.len() > 4_000 {
            continue;
        }
        for at in 0..body.len() {
            // With a long filler, whatever is longer than that is all the same.
            for length in LENGTHS.iter().skip(filler.map_or(0, |_| 4)) {
                let mut hostile = [&body[..at], *length].concat();
                match filler {
                    Some(byte) => hostile.resize(F::BYTES_MAX - 1, byte),
                    None => hostile.extend(&body[at + 1..]),
                }
                let peak = peak::<F>(kind, &hostile);
                assert!(
                    peak <= most,
                    "{name}: {length:?} at {at} takes {peak} bytes"
                );
            }
        }
    }
}

#[test]
fn a_claimed_length_towards_the_server_costs_no_more_than_the_bound() {
    let samples = samples::to_server();
    for filler in [None, Some(0), Some(1)] {
        lengths_claimed(&samples, filler, TO_SERVER_MEMORY_MAX as u64);
    }
}

#[test]
fn a_claimed_length_from_the_server_costs_no_more_than_the_bound() {
    let samples = samples::to_device();
    for filler in [None, Some(0)] {
        lengths_claimed(&samples, filler, FROM_SERVER_MEMORY_MAX as u64);
    }
}

#[test]
fn every_frame_of_ours_fits_the_bound_by_far() {
    fn fits<F: Frame>(samples: &[Sample<F>], most: u64) {
        for (name, frame) in samples {
            let (kind, body) = frame.to_body().unwrap();
            let peak = peak::<F>(kind, &body);
            assert!(peak <= most, "{name} takes {peak} bytes");
        }
    }
    fits(&samples::to_server(), TO_SERVER_MEMORY_MAX as u64 / 8);
    fits(&samples::to_device(), FROM_SERVER_MEMORY_MAX as u64 / 8);
}

/// What is short on the wire claims the most: the bound on claims must let it through.
#[test]
fn the_fullest_frame_of_the_tersest_records_is_taken() {
    let terse = samples::terse_call();
    let calls = vec![terse.clone(); FEED_BYTES_MAX / codec::encoded_len(&terse).unwrap()];
    let frame = samples::feed(Lane::Live, None, false, calls);
    let (kind, body) = frame.to_body().unwrap();
    assert_eq!(ToDevice::from_body(kind, &body), Ok(Some(frame)));

    let calls = vec![terse.clone(); PREVIEW_BYTES_MAX / codec::encoded_len(&terse).unwrap()];
    let verdict = samples::terse_verdict();
    let verdicts = vec![verdict.clone(); PREVIEW_BYTES_MAX / codec::encoded_len(&verdict).unwrap()];
    for frame in [
        samples::preview(Vec::new(), calls),
        samples::preview(verdicts, Vec::new()),
    ] {
        let (kind, body) = frame.to_body().unwrap();
        assert_eq!(ToDevice::from_body(kind, &body), Ok(Some(frame)));
    }

    let calls = vec![CallId::trusted("1"); SEEN_CALLS_MAX];
    let frame = ToServer::Seen(Seen { calls });
    let (kind, body) = frame.to_body().unwrap();
    assert_eq!(ToServer::from_body(kind, &body), Ok(Some(frame)));
}

/// Takes everything that can be taken of a stream of bytes.
fn survives<F: Frame + Debug>(bytes: &[u8], most: usize) -> Result<(), TestCaseError> {
    let mut buffer = FrameBuffer::default();
    buffer.push(bytes);
    let measured = allocation_counter::measure(|| {
        while let Ok(Some(frame)) = buffer.next_frame::<F>() {
            drop(frame);
        }
    });
    prop_assert!(
        measured.bytes_max <= most as u64,
        "{} bytes",
        measured.bytes_max
    );
    Ok(())
}

fn comes_back<F>(frames: &[F], cuts: &[usize]) -> Result<(), TestCaseError>
where
    F: Frame + Debug + PartialEq,
{
    let mut bytes = Vec::new();
    for frame in frames {
        bytes.extend(encode(frame).expect("encoded"));
    }
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let mut buffer = FrameBuffer::default();
    let mut decoded = Vec::new();
    for two in cuts.windows(2) {
        buffer.push(&bytes[two[0]..two[1]]);
        while let Some(frame) = buffer.next_frame::<F>().expect("frames") {
            decoded.push(frame);
        }
    }
    prop_assert!(!buffer.is_partial());
    prop_assert_eq!(&decoded, frames);
    Ok(())
}

/// A frame whose length is right, of a kind that there is, with any body.
fn well_framed(kinds: u8, bytes_max: usize) -> impl Strategy<Value = Vec<u8>> {
    // Mostly small numbers: they make lengths and variants that lead further in.
    let byte = prop_oneof![4 => 0..8u8, 1 => any::<u8>(), 1 => 250..=255u8];
    (1..=kinds, vec(byte, 0..600)).prop_map(move |(kind, body)| {
        let length = u32::try_from((body.len() + 1).min(bytes_max)).unwrap();
        [&length.to_be_bytes(), [kind].as_slice(), &body].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_bytes_make_the_server_panic_or_swell(bytes in vec(any::<u8>(), 0..2_000)) {
        survives::<ToServer>(&bytes, TO_SERVER_MEMORY_MAX)?;
    }

    #[test]
    fn no_bytes_make_a_device_panic_or_swell(bytes in vec(any::<u8>(), 0..2_000)) {
        survives::<ToDevice>(&bytes, FROM_SERVER_MEMORY_MAX)?;
    }

    #[test]
    fn no_body_makes_the_server_panic_or_swell(bytes in well_framed(8, TO_SERVER_BYTES_MAX)) {
        survives::<ToServer>(&bytes, TO_SERVER_MEMORY_MAX)?;
    }

    #[test]
    fn no_body_makes_a_device_panic_or_swell(bytes in well_framed(10, FROM_SERVER_BYTES_MAX)) {
        survives::<ToDevice>(&bytes, FROM_SERVER_MEMORY_MAX)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn frames_towards_the_server_come_back_however_they_are_cut(
        frames in vec(arbitrary::to_server(), 1..4),
        cuts in vec(any::<usize>(), 0..6),
    ) {
        comes_back(&frames, &cuts)?;
    }

    #[test]
    fn frames_from_the_server_come_back_however_they_are_cut(
        frames in vec(arbitrary::to_device(), 1..4),
        cuts in vec(any::<usize>(), 0..6),
    ) {
        comes_back(&frames, &cuts)?;
    }
}
