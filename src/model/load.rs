//! What the parts of a parallel load say to each other: rows that one process
//! has found and another one parses, with the numbers of the lines that they
//! had in the input.
//!
//! The parser counts the lines of what it is given from one. So that an error
//! names the line of the input, each batch comes with a [`LineMap`].

/// The first byte of each message from the leader.
pub mod order {
    /// The head of a batch: [`super::Head`].
    pub const BATCH: u8 = b'B';
    /// Rows of the batch whose head came last.
    pub const ROWS: u8 = b'R';
    /// No batches follow; the answer is `READY`.
    pub const END: u8 = b'E';
    /// Everything is to be committed; the answer is `DONE`.
    pub const COMMIT: u8 = b'C';
}

/// The first byte of each message from a worker, besides those of the
/// server's own protocol (`E` for an error, `N` for a notice).
pub mod answer {
    /// All rows are in: followed by [`super::Filled`].
    pub const READY: u8 = b'r';
    pub const DONE: u8 = b'd';
    /// The line map of the batch that the next error or notice is about.
    pub const LINES: u8 = b'l';
}

/// The head of a batch of rows for one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head<'a> {
    /// The shard, by its oid.
    pub shard: u32,
    /// Bytes of rows that follow.
    pub bytes: u64,
    pub lines: &'a [u8],
}

const FIXED: usize = 12;

impl<'a> Head<'a> {
    /// What precedes the lines in a message.
    #[must_use]
    pub fn fixed(&self) -> [u8; FIXED] {
        let mut fixed = [0; FIXED];
        fixed[..4].copy_from_slice(&self.shard.to_le_bytes());
        fixed[4..].copy_from_slice(&self.bytes.to_le_bytes());
        fixed
    }

    /// Reads a message without its first byte.
    #[must_use]
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let (shard, rest) = message.split_first_chunk::<4>()?;
        let (bytes, lines) = rest.split_first_chunk::<8>()?;
        Some(Self { shard: u32::from_le_bytes(*shard), bytes: u64::from_le_bytes(*bytes), lines })
    }
}

/// For each row of a batch, the number of its line in the input: the distance
/// from the row before, and how many lines the row itself takes if that is
/// not one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineMap {
    bytes: Vec<u8>,
    last: u64,
}

impl LineMap {
    /// Adds the next row. `line` is its last line, as the parser counts.
    pub fn push(&mut self, line: u64, lines: u64) {
        let distance = line.wrapping_sub(self.last);
        self.last = line;
        let odd = lines != 1;
        push_number(&mut self.bytes, u128::from(distance) << 1 | u128::from(odd));
        if odd {
            push_number(&mut self.bytes, u128::from(lines));
        }
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.last = 0;
    }
}

/// The line of the input that is the given line of a batch, counted from one.
/// Behind the last row it is the last line.
#[must_use]
pub fn line_of_input(map: &[u8], line: u64) -> u64 {
    let (mut rest, mut of_input, mut of_batch) = (map, 0_u64, 0_u64);
    while let Some(word) = take_number(&mut rest) {
        let lines = if word & 1 == 1 { take_number(&mut rest).unwrap_or(1) as u64 } else { 1 };
        of_input = of_input.wrapping_add((word >> 1) as u64);
        of_batch += lines;
        if line <= of_batch {
            return of_input.saturating_sub(of_batch - line);
        }
    }
    of_input
}

fn push_number(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u128> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u128::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

/// A shard whose rows wait in a table of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    pub shard: u32,
    pub staging: u32,
    pub rows: u64,
}

impl Filled {
    const BYTES: usize = 16;

    #[must_use]
    pub fn bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.shard.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.staging.to_le_bytes());
        bytes[8..].copy_from_slice(&self.rows.to_le_bytes());
        bytes
    }

    /// All that a message holds, without its first byte.
    #[must_use]
    pub fn read_all(message: &[u8]) -> Vec<Self> {
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        message
            .chunks_exact(Self::BYTES)
            .map(|one| Self {
                shard: number(&one[..4]) as u32,
                staging: number(&one[4..8]) as u32,
                rows: number(&one[8..]),
            })
            .collect()
    }
}

/// How the rows of a COPY are written, as the server has read its options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    pub kind: WrittenKind,
    pub from_client: bool,
    pub columns: usize,
    pub delimiter: u8,
    pub null: Vec<u8>,
    pub default_marker: Option<Vec<u8>>,
    pub header: bool,
    pub quote: u8,
    pub escape: u8,
    pub encoding: String,
    pub keys: Vec<WrittenKey>,
}

/// `FORMAT`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WrittenKind {
    #[default]
    Text,
    Csv,
}

/// Where a column of the shard key stands in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WrittenKey {
    /// From 0; none = the rows do not have it, so it is null.
    pub field: Option<usize>,
    pub force_not_null: bool,
    pub force_null: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Filled;
    use super::Head;
    use super::LineMap;
    use super::line_of_input;

    #[test]
    fn a_row_of_several_lines_is_named_by_its_own_lines() {
        let mut map = LineMap::default();
        map.push(7, 1); // line 1 of the batch
        map.push(12, 3); // lines 2, 3 and 4, which are 10, 11 and 12
        map.push(900, 1);
        let found: Vec<u64> = (1..=6).map(|line| line_of_input(map.bytes(), line)).collect();
        assert_eq!(found, [7, 10, 11, 12, 900, 900]);
    }

    #[test]
    fn an_empty_map_knows_no_line() {
        assert_eq!(line_of_input(&[], 1), 0);
        assert_eq!(line_of_input(&[0x80], 1), 0, "and neither does half a number");
    }

    proptest! {
        #[test]
        fn every_row_is_found_again(steps in prop::collection::vec((1_u64..1 << 40, 0_u64..5), 1..200)) {
            let mut map = LineMap::default();
            let (mut line, mut of_batch) = (0, 0);
            let mut wanted = Vec::new();
            for (step, lines) in steps {
                let lines = lines.min(step);
                line += step;
                of_batch += lines;
                map.push(line, lines);
                if lines > 0 {
                    wanted.push((of_batch, line));
                }
            }
            for (of_batch, line) in wanted {
                prop_assert_eq!(line_of_input(map.bytes(), of_batch), line);
            }
        }

        #[test]
        fn heads_and_counts_come_back(
            shard: u32, staging: u32, rows: u64, lines in prop::collection::vec(any::<u8>(), 0..40)
        ) {
            let head = Head { shard, bytes: rows, lines: &lines };
            let message = [&head.fixed()[..], &lines[..]].concat();
            prop_assert_eq!(Head::read(&message), Some(head));
            let filled = Filled { shard, staging, rows };
            let two = [filled.bytes(), filled.bytes()].concat();
            prop_assert_eq!(Filled::read_all(&two), vec![filled, filled]);
        }
    }
}
