//! The hash shard of a key that is written plainly, found without asking the
//! server to read it: an integer or a uuid, as dumps have them.
//!
//! What is written in any other way than the strict one here, or may be no
//! value of its type, is left to the server; the hash is the server's too.

use crate::model::ranges::integer;

/// What a key column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// With the least and the greatest value.
    Integer(i64, i64),
    Uuid,
}

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    Integer(i64),
    Uuid([u8; 16]),
}

/// Which shards have which remainders.
#[derive(Debug)]
pub struct Remainders {
    plain: Plain,
    shards: Vec<Option<usize>>,
}

impl Remainders {
    /// None yet, of a modulus above zero.
    #[must_use]
    pub fn new(plain: Plain, modulus: usize) -> Option<Self> {
        (modulus > 0).then(|| Self { plain, shards: vec![None; modulus] })
    }

    /// A key in plain writing; none if the server has to read it.
    #[inline]
    #[must_use]
    pub fn value(&self, key: &[u8]) -> Option<Value> {
        match self.plain {
            Plain::Integer(least, greatest) => {
                integer(key).filter(|value| (least..=greatest).contains(value)).map(Value::Integer)
            }
            Plain::Uuid => uuid(key).map(Value::Uuid),
        }
    }

    /// The remainder of a hash.
    #[inline]
    #[must_use]
    pub fn remainder(&self, hash: u64) -> usize {
        (hash % self.shards.len() as u64) as usize
    }

    /// The shard of a remainder, once it is known.
    #[inline]
    #[must_use]
    pub fn shard(&self, remainder: usize) -> Option<usize> {
        self.shards.get(remainder).copied().flatten()
    }

    /// Remembers the shard of a remainder.
    pub fn learn(&mut self, remainder: usize, shard: usize) {
        if let Some(known) = self.shards.get_mut(remainder) {
            *known = Some(shard);
        }
    }
}

/// `a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11`.
#[inline]
fn uuid(key: &[u8]) -> Option<[u8; 16]> {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let key: &[u8; 36] = key.try_into().ok()?;
    let (mut value, mut at) = ([0; 16], 0);
    for byte in &mut value {
        if DASHES.contains(&at) {
            if key[at] != b'-' {
                return None;
            }
            at += 1;
        }
        *byte = digit(key[at])? << 4 | digit(key[at + 1])?;
        at += 2;
    }
    Some(value)
}

#[inline]
fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::Plain;
    use super::Remainders;
    use super::Value;

    const UUID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

    fn value(plain: Plain, key: &str) -> Option<Value> {
        Remainders::new(plain, 4)?.value(key.as_bytes())
    }

    #[test]
    fn what_dumps_have_is_read() {
        let small = Plain::Integer(-32_768, 32_767);
        for (plain, key, wanted) in [
            (small, "0", 0),
            (small, "-0", 0),
            (small, "007", 7),
            (small, "-32768", -32_768),
            (small, "32767", 32_767),
            (Plain::Integer(i64::MIN, i64::MAX), "-999999999999999999", -999_999_999_999_999_999),
        ] {
            assert_eq!(value(plain, key), Some(Value::Integer(wanted)), "{key}");
        }
        let bytes =
            [0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11];
        assert_eq!(value(Plain::Uuid, UUID), Some(Value::Uuid(bytes)));
        assert_eq!(value(Plain::Uuid, &UUID.to_uppercase()), Some(Value::Uuid(bytes)));
    }

    #[test]
    fn the_rest_is_left_to_the_server() {
        let small = Plain::Integer(-32_768, 32_767);
        for key in
            ["", "-", "32768", "-32769", " 1", "1 ", "+1", "1_000", "0x10", "1.0", "-9223372036854775808"]
        {
            assert_eq!(value(small, key), None, "{key}");
        }
        for key in [
            "",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            &UUID.replace('-', ""),
            &UUID.replace('1', "g"),
            &UUID.replace("-9", "9-"),
            &UUID[1..],
            &format!("{UUID} "),
        ] {
            assert_eq!(value(Plain::Uuid, key), None, "{key}");
        }
    }

    #[test]
    fn a_shard_is_learnt_by_its_remainder() {
        assert!(Remainders::new(Plain::Uuid, 0).is_none());
        let Some(mut remainders) = Remainders::new(Plain::Uuid, 3) else { return };
        assert_eq!([0, 5, u64::MAX].map(|hash| remainders.remainder(hash)), [0, 2, 0]);
        remainders.learn(2, 7);
        remainders.learn(3, 8);
        assert_eq!([0, 2, 3].map(|remainder| remainders.shard(remainder)), [None, Some(7), None]);
    }
}
