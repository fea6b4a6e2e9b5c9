//! Raw rows that wait for their shard, within one budget whatever the number
//! of shards and the length of rows.
//!
//! Rows of one shard keep their order. When the budget is full, the shard with
//! the most bytes goes first.

use std::collections::VecDeque;

use crate::model::load::LineMap;
use crate::model::load::line_of_input;

/// Bytes of one shard's rows that make a batch, at least and at most. Each
/// batch is a COPY of its own for the worker, whose beginning and end should
/// not count.
pub const BATCH_BYTES: usize = 128 * 1024;
const BATCH_BYTES_MAX: usize = 512 * 1024;

/// What all shards may hold together with what is on its way to the workers,
/// whatever the setting says. Rows in the order of the shards can keep several
/// workers busy as far as it reaches ahead.
const BUDGET_BYTES: std::ops::RangeInclusive<usize> = 16 * 1024 * 1024..=256 * 1024 * 1024;

/// Up to so many shards, the setting is what is needed.
const SHARDS_FEW: usize = 16;

/// Bytes of rows that make workers worth their while: each shard costs some
/// time of its own, to make and to exchange its files.
#[must_use]
pub fn bytes_needed(setting: usize, shards: usize) -> usize {
    setting.saturating_mul(shards.max(SHARDS_FEW)) / SHARDS_FEW
}

/// The budget of a load, by `maintenance_work_mem`.
#[must_use]
pub fn budget_bytes(setting: usize) -> usize {
    setting.clamp(*BUDGET_BYTES.start(), *BUDGET_BYTES.end())
}

/// How large batches are to be for so many shards: all of them may be as good
/// as full at the same time.
#[must_use]
pub fn batch_bytes(budget: usize, shards: usize) -> usize {
    (budget / 2 / shards.max(1)).clamp(BATCH_BYTES, BATCH_BYTES_MAX)
}

/// Rows of one shard that travel together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub shard: usize,
    pub rows: Vec<u8>,
    pub lines: LineMap,
}

impl Batch {
    /// The line of the input that it begins with.
    #[must_use]
    pub fn first_line(&self) -> u64 {
        line_of_input(self.lines.bytes(), 1)
    }
}

/// All rows that wait.
#[derive(Debug)]
pub struct Gather {
    /// Bytes that make a batch.
    enough: usize,
    waiting: Vec<Batch>,
    spare: Vec<Batch>,
    bytes: usize,
}

impl Gather {
    /// Nothing yet; batches will be of that size.
    #[must_use]
    pub fn new(batch_bytes: usize) -> Self {
        Self { enough: batch_bytes, waiting: Vec::new(), spare: Vec::new(), bytes: 0 }
    }

    /// Adds a row; whether its shard has enough for a batch.
    #[inline]
    pub fn push(&mut self, shard: usize, row: &[u8], ending: &[u8], line: u64, lines: u64) -> bool {
        while self.waiting.len() <= shard {
            self.waiting.push(Batch::default());
        }
        let batch = &mut self.waiting[shard];
        batch.rows.extend_from_slice(row);
        batch.rows.extend_from_slice(ending);
        batch.lines.push(line, lines);
        self.bytes += row.len() + ending.len();
        batch.rows.len() >= self.enough
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows of one shard; none if none wait.
    pub fn take(&mut self, shard: usize) -> Option<Batch> {
        let waiting = self.waiting.get_mut(shard).filter(|batch| !batch.rows.is_empty())?;
        let mut batch = std::mem::replace(waiting, self.spare.pop().unwrap_or_default());
        batch.shard = shard;
        self.bytes -= batch.rows.len();
        Some(batch)
    }

    /// The rows of the shard that has most.
    pub fn take_largest(&mut self) -> Option<Batch> {
        let sizes = self.waiting.iter().map(|batch| batch.rows.len()).enumerate();
        let (shard, _) = sizes.max_by_key(|(shard, size)| (*size, std::cmp::Reverse(*shard)))?;
        self.take(shard)
    }

    /// Takes the memory of a batch back that has been sent.
    pub fn recycle(&mut self, mut batch: Batch) {
        if batch.rows.capacity() <= 2 * self.enough {
            batch.rows.clear();
            batch.lines.clear();
            self.spare.push(batch);
        }
    }
}

/// Which worker has which shard, and what is on its way to each.
#[derive(Debug)]
pub struct Deal {
    owner: Vec<Option<usize>>,
    /// Bytes that each worker has been given so far.
    given: Vec<u64>,
    pub queues: Vec<VecDeque<Batch>>,
    bytes: usize,
}

impl Deal {
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            owner: Vec::new(),
            given: vec![0; workers],
            queues: std::iter::repeat_with(VecDeque::new).take(workers).collect(),
            bytes: 0,
        }
    }

    /// Gives a batch to the worker of its shard; a shard seen for the first
    /// time goes to the worker that had least so far. Returns the worker.
    pub fn give(&mut self, batch: Batch) -> usize {
        while self.owner.len() <= batch.shard {
            self.owner.push(None);
        }
        let least = (0..self.given.len()).min_by_key(|worker| self.given[*worker]).unwrap_or_default();
        let worker = *self.owner[batch.shard].get_or_insert(least);
        self.given[worker] += batch.rows.len() as u64;
        self.bytes += batch.rows.len();
        self.queues[worker].push_back(batch);
        worker
    }

    /// Takes the first batch of a worker off, when it has been sent.
    pub fn sent(&mut self, worker: usize) -> Option<Batch> {
        let batch = self.queues[worker].pop_front()?;
        self.bytes -= batch.rows.len();
        Some(batch)
    }

    /// Bytes on their way.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::BATCH_BYTES;
    use super::Deal;
    use super::Gather;
    use super::batch_bytes;
    use super::budget_bytes;
    use super::bytes_needed;
    use crate::model::load::line_of_input;

    #[test]
    fn a_shard_is_ready_when_it_has_a_batch() {
        let mut gather = Gather::new(BATCH_BYTES);
        let row = vec![b'x'; BATCH_BYTES / 2];
        assert!(!gather.push(3, &row, b"", 1, 1));
        assert!(!gather.push(1, &row, b"", 2, 1), "another shard's rows do not count");
        assert!(gather.push(3, &row, b"", 3, 1));
        let batch = gather.take(3).unwrap_or_default();
        assert_eq!((batch.shard, batch.rows.len()), (3, BATCH_BYTES));
        assert_eq!(line_of_input(batch.lines.bytes(), 2), 3);
        assert_eq!(gather.bytes(), BATCH_BYTES / 2);
        assert_eq!(gather.take(3), None);
        assert_eq!(gather.take(77), None);
    }

    #[test]
    fn many_shards_have_small_batches() {
        let budget = budget_bytes(32 << 20);
        let sizes = [0, 16, 64, 128, 5000].map(|shards| batch_bytes(budget, shards) / 1024);
        assert_eq!(sizes, [512, 512, 256, 128, 128]);
        assert_eq!([0, 64 << 20, usize::MAX].map(|setting| budget_bytes(setting) >> 20), [16, 64, 256]);
    }

    #[test]
    fn many_shards_need_more_rows() {
        let needed = [1, 16, 17, 64, 256].map(|shards| bytes_needed(8 << 20, shards) >> 10);
        assert_eq!(needed, [8192, 8192, 8704, 32768, 131_072]);
        assert_eq!(bytes_needed(0, 5000), 0, "nothing is needed");
        assert_eq!(bytes_needed(usize::MAX, 5000), usize::MAX / 16, "no overflow");
    }

    #[test]
    fn a_shard_stays_with_its_worker_and_a_new_one_goes_to_the_idlest() {
        let mut gather = Gather::new(BATCH_BYTES);
        let mut deal = Deal::new(2);
        let mut give = |shard, bytes| {
            gather.push(shard, &vec![0; bytes], b"", 1, 1);
            deal.give(gather.take(shard).unwrap_or_default())
        };
        assert_eq!([give(0, 100), give(1, 10), give(2, 10), give(0, 1), give(3, 1)], [0, 1, 1, 0, 1]);
    }

    proptest! {
        #[test]
        fn every_row_leaves_once_in_the_order_of_its_shard(
            rows in prop::collection::vec((0_usize..9, 1_usize..40), 0..300),
            workers in 1_usize..4,
        ) {
            let (mut gather, mut deal) = (Gather::new(BATCH_BYTES), Deal::new(workers));
            let mut wanted = vec![Vec::new(); 9];
            for (at, (shard, length)) in rows.iter().enumerate() {
                let row = vec![at as u8; *length];
                wanted[*shard].extend_from_slice(&row);
                wanted[*shard].push(b'\n');
                gather.push(*shard, &row, b"\n", at as u64 + 1, 1);
                if gather.bytes() > 200 {
                    let largest = gather.take_largest();
                    prop_assert!(largest.is_some());
                    deal.give(largest.unwrap_or_default());
                }
            }
            while let Some(batch) = gather.take_largest() {
                deal.give(batch);
            }
            prop_assert_eq!(gather.bytes(), 0);
            let mut found = vec![Vec::new(); 9];
            for worker in 0..workers {
                while let Some(batch) = deal.sent(worker) {
                    found[batch.shard].extend_from_slice(&batch.rows);
                    gather.recycle(batch);
                }
            }
            prop_assert_eq!(deal.bytes(), 0);
            prop_assert_eq!(found, wanted);
        }
    }
}
