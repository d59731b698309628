//! The hashes by which fields are found: SipHash-2-4 keyed with the file's id, and in older files Bob Jenkins' lookup3.

/// SipHash-2-4.
pub fn sip(key: &[u8; 16], bytes: &[u8]) -> u64 {
    let (low, high) = (word(&key[..8]), word(&key[8..]));
    let mut state = [
        low ^ 0x736f_6d65_7073_6575,
        high ^ 0x646f_7261_6e64_6f6d,
        low ^ 0x6c79_6765_6e65_7261,
        high ^ 0x7465_6462_7974_6573,
    ];
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        absorb(&mut state, u64::from_le_bytes(*chunk));
    }
    absorb(&mut state, word(rest) | (bytes.len() as u64) << 56);
    state[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut state));
    state.iter().fold(0, |all, part| all ^ part)
}

fn absorb(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    round(state);
    state[0] ^= word;
}

fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
}

/// Up to eight bytes as a number.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// lookup3, both halves.
pub fn jenkins(bytes: &[u8]) -> u64 {
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32);
    let mut state = [start; 3];
    let mut rest = bytes;
    while rest.len() > 12 {
        let (chunk, behind) = rest.split_at(12);
        add(&mut state, chunk);
        mix(&mut state);
        rest = behind;
    }
    if !rest.is_empty() {
        add(&mut state, rest);
        last(&mut state);
    }
    u64::from(state[2]) << 32 | u64::from(state[1])
}

/// Adds up to twelve bytes.
fn add(state: &mut [u32; 3], bytes: &[u8]) {
    for (part, bytes) in state.iter_mut().zip(bytes.chunks(4)) {
        *part = part.wrapping_add(word(bytes) as u32);
    }
}

fn mix([a, b, c]: &mut [u32; 3]) {
    for (turn, bits) in [4, 6, 8, 16, 19, 4].into_iter().enumerate() {
        let (x, y, z) = match turn % 3 {
            0 => (&mut *a, &mut *c, &mut *b),
            1 => (&mut *b, &mut *a, &mut *c),
            _ => (&mut *c, &mut *b, &mut *a),
        };
        *x = x.wrapping_sub(*y) ^ y.rotate_left(bits);
        *y = y.wrapping_add(*z);
    }
}

fn last([a, b, c]: &mut [u32; 3]) {
    for (turn, bits) in [14, 11, 25, 16, 4, 14, 24].into_iter().enumerate() {
        let (x, y) = match turn % 3 {
            0 => (&mut *c, *b),
            1 => (&mut *a, *c),
            _ => (&mut *b, *a),
        };
        *x = (*x ^ y).wrapping_sub(y.rotate_left(bits));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sip_agrees_with_the_paper() {
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let bytes: Vec<u8> = (0..15).collect();
        assert_eq!(sip(&key, &bytes), 0xa129_ca61_49be_45e5);
        assert_eq!(sip(&key, &[]), 0x726f_db47_dd0e_0e31);
    }

    #[test]
    fn jenkins_agrees_with_its_author() {
        assert_eq!(jenkins(b""), 0xdead_beef_dead_beef);
        assert_eq!(jenkins(b"Four score and seven years ago") >> 32, 0x1777_0551);
    }
}
