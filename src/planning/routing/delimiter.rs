//! Many delimiters at once: eight bytes of a row in one look.
//!
//! Fields are shorter than what a search for a single byte is made for.

const ONES: u64 = 0x0101_0101_0101_0101;
const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// Passes over `fields` delimiters, or as many as there are: how many, and
/// where the last of them ends.
#[inline]
pub fn skip(row: &[u8], delimiter: u8, fields: usize) -> (usize, usize) {
    let pattern = ONES * u64::from(delimiter);
    let (mut passed, mut end) = (0, 0);
    if fields == 0 {
        return (0, 0);
    }
    let (words, rest) = row.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let different = u64::from_le_bytes(*word) ^ pattern;
        // The high bit of each byte that is the delimiter.
        let mut hits = !(((different & LOW) + LOW) | different | LOW);
        while hits != 0 {
            passed += 1;
            end = place * 8 + hits.trailing_zeros() as usize / 8 + 1;
            if passed == fields {
                return (passed, end);
            }
            hits &= hits - 1;
        }
    }
    for (place, byte) in rest.iter().enumerate() {
        if *byte == delimiter {
            passed += 1;
            end = words.len() * 8 + place + 1;
            if passed == fields {
                break;
            }
        }
    }
    (passed, end)
}

#[cfg(test)]
mod tests {
    use super::skip;

    #[test]
    fn delimiters_are_passed_as_one_by_one() {
        // Neighbours of the delimiter and bytes with a high bit must not be taken for it.
        let letters = [b',', b'-', b'+', 0xac, b'a', 0x2d, 0x00, 0xff];
        for length in 0..40_usize {
            for seed in 0..50_usize {
                let row: Vec<u8> = (0..length).map(|at| letters[(at * 7 + seed * (at + 3)) % 8]).collect();
                for fields in 0..10 {
                    let places =
                        row.iter().enumerate().filter(|(_, byte)| **byte == b',').map(|(at, _)| at + 1);
                    let ends: Vec<usize> = places.take(fields).collect();
                    let expected = (ends.len(), ends.last().copied().unwrap_or(0));
                    assert_eq!(skip(&row, b',', fields), expected, "{row:?}");
                }
            }
        }
    }
}
