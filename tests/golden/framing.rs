//! How frames come apart and together again, and what is no frame.

use std::fmt::Debug;

use offhook::protocol::{
    CodecError, FROM_SERVER_BYTES_MAX, Frame, FrameBuffer, Ping, TO_SERVER_BYTES_MAX, ToDevice,
    ToServer, VERSION_MAX, VERSION_MIN, encode, negotiate,
};

use crate::samples::{self, Sample};

/// A kind that no build has yet.
const UNKNOWN_KIND: u8 = 200;

fn frame_of(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 1).unwrap();
    [&length.to_be_bytes(), [kind].as_slice(), body].concat()
}

fn all_of<F: Frame>(buffer: &mut FrameBuffer) -> Vec<F> {
    std::iter::from_fn(|| buffer.next_frame().expect("frames")).collect()
}

fn refused<F: Frame + Debug>(bytes: &[u8]) -> CodecError {
    let mut buffer = FrameBuffer::default();
    buffer.push(bytes);
    buffer.next_frame::<F>().expect_err("no frame")
}

fn splits_anywhere<F: Frame + Debug + PartialEq>(samples: &[Sample<F>]) {
    for (name, frame) in samples {
        let bytes = encode(frame).unwrap();
        for at in 0..bytes.len() {
            let (head, tail) = bytes.split_at(at);
            let mut buffer = FrameBuffer::default();
            buffer.push(head);
            assert_eq!(buffer.next_frame::<F>(), Ok(None), "{name} at {at}");
            assert_eq!(buffer.is_partial(), at > 0);
            buffer.push(tail);
            assert_eq!(
                buffer.next_frame().unwrap().as_ref(),
                Some(frame),
                "{name} at {at}"
            );
            assert!(!buffer.is_partial());
        }
    }
}

#[test]
fn a_frame_that_comes_in_two_pieces_is_the_same() {
    splits_anywhere(&samples::to_server());
    splits_anywhere(&samples::to_device());
}

#[test]
fn a_frame_that_comes_byte_by_byte_is_the_same() {
    for (_, frame) in samples::to_server() {
        let mut buffer = FrameBuffer::default();
        let mut decoded = Vec::new();
        for byte in encode(&frame).unwrap() {
            buffer.push(&[byte]);
            decoded.extend(all_of::<ToServer>(&mut buffer));
        }
        assert_eq!(decoded, [frame]);
    }
}

#[test]
fn several_frames_that_come_at_once_come_out_in_order() {
    let frames: Vec<ToDevice> = samples::to_device()
        .into_iter()
        .map(|(_, one)| one)
        .collect();
    let bytes: Vec<u8> = frames
        .iter()
        .flat_map(|frame| encode(frame).unwrap())
        .collect();
    let mut buffer = FrameBuffer::default();
    buffer.push(&bytes);
    assert_eq!(all_of::<ToDevice>(&mut buffer), frames);
    assert!(!buffer.is_partial());
}

#[test]
fn frames_of_unknown_kinds_are_passed_over() {
    let ping = ToServer::Ping(Ping { sent_at: 5 });
    let mut bytes = frame_of(UNKNOWN_KIND, b"what a newer build has to say");
    bytes.extend(frame_of(0, b""));
    bytes.extend(encode(&ping).unwrap());
    bytes.extend(frame_of(u8::MAX, &[0xff; 300]));
    let mut buffer = FrameBuffer::default();
    buffer.push(&bytes);
    assert_eq!(all_of::<ToServer>(&mut buffer), [ping]);
    assert!(!buffer.is_partial());
}

#[test]
fn a_frame_as_long_as_allowed_is_taken_and_one_byte_more_is_not() {
    fn at_the_bound<F: Frame + Debug + PartialEq>(most: usize) {
        let mut buffer = FrameBuffer::default();
        buffer.push(&frame_of(UNKNOWN_KIND, &vec![0; most - 1]));
        assert_eq!(buffer.next_frame::<F>(), Ok(None));
        assert!(!buffer.is_partial(), "passed over");
        let bytes = most + 1;
        let too_long = CodecError::TooLong { bytes, most };
        // Said as soon as the length is there: nothing of the frame has to come.
        let length = u32::try_from(bytes).unwrap().to_be_bytes();
        assert_eq!(refused::<F>(&length), too_long);
    }
    at_the_bound::<ToServer>(TO_SERVER_BYTES_MAX);
    at_the_bound::<ToDevice>(FROM_SERVER_BYTES_MAX);
}

#[test]
fn a_frame_of_ours_that_is_too_long_is_not_sent() {
    let (_, hello) = samples::to_server().remove(0);
    let ToServer::Hello(mut hello) = hello else {
        panic!("a hello");
    };
    hello.token = Some("x".repeat(TO_SERVER_BYTES_MAX));
    let refused = encode(&ToServer::Hello(hello)).unwrap_err();
    let most = TO_SERVER_BYTES_MAX;
    assert!(
        matches!(refused, CodecError::TooLong { bytes, most: told } if bytes > most && told == most),
        "{refused:?}"
    );
}

#[test]
fn a_frame_without_a_kind_is_refused() {
    assert_eq!(refused::<ToServer>(&[0; 4]), CodecError::Empty);
    assert_eq!(refused::<ToDevice>(&[0; 4]), CodecError::Empty);
}

fn longer_and_shorter_is_refused<F: Frame + Debug>(samples: &[Sample<F>]) {
    for (name, frame) in samples {
        let (kind, body) = frame.to_body().unwrap();
        let malformed = |body: &[u8]| match refused::<F>(&frame_of(kind, body)) {
            CodecError::Malformed { kind: told, reason } => {
                assert_eq!(told, kind);
                reason
            }
            other => panic!("{name}: {other:?}"),
        };
        let reason = malformed(&[body.as_slice(), &[0]].concat());
        assert_eq!(reason, "1 bytes left over", "{name}");
        for length in 0..body.len() {
            malformed(&body[..length]);
        }
    }
}

#[test]
fn a_body_with_bytes_left_over_or_missing_is_refused() {
    longer_and_shorter_is_refused(&samples::to_server());
    longer_and_shorter_is_refused(&samples::to_device());
}

#[test]
fn the_newest_version_that_both_speak_is_chosen() {
    let table = [
        ((1, 1), Some(1)),
        ((1, 2), Some(1)),
        ((1, u16::MAX), Some(1)),
        ((0, 1), Some(1)),
        ((0, 0), None),
        ((2, 2), None),
        ((2, u16::MAX), None),
        ((2, 1), None),
        ((u16::MAX, 0), None),
    ];
    assert_eq!((VERSION_MIN, VERSION_MAX), (1, 1), "make the table anew");
    for ((min, max), chosen) in table {
        assert_eq!(
            negotiate(min, max),
            chosen,
            "a peer that speaks {min} to {max}"
        );
    }
}
