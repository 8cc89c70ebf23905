//! As much of QUIC as can be read without a key.

/// Whether there is a 0-RTT packet in that datagram (RFC 9000, section 17.2).
pub fn has_early_data(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    while rest.first().is_some_and(|first| first & 0x80 != 0) {
        let kind = (rest[0] & 0x30) >> 4;
        if kind == 1 {
            return true;
        }
        let mut at = 5;
        for _ in 0..2 {
            at += 1 + usize::from(rest[at]);
        }
        if kind == 0 {
            let token = varint(rest, &mut at);
            at += token;
        }
        let length = varint(rest, &mut at);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    false
}

fn varint(bytes: &[u8], at: &mut usize) -> usize {
    let length = 1 << (bytes[*at] >> 6);
    let mut value = usize::from(bytes[*at] & 0x3f);
    for byte in &bytes[*at + 1..*at + length] {
        value = value << 8 | usize::from(*byte);
    }
    *at += length;
    value
}
