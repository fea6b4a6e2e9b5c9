//! Sizes of a table that was just restored, estimated from a sample of its rows.
//!
//! The arithmetic is that of PostgreSQL's pages: headers, null bitmaps,
//! alignment, fill factors, and values that move into TOAST. Bloat is not in
//! a dump, and how well values compress is not known: sizes of TOAST are
//! those of values that do not.

use crate::model::profile::Index;
use crate::model::profile::TypeName;

use super::row::VALUE_BYTES_MAX;

const PAGE_BYTES: f64 = 8192.0;
const PAGE_HEADER: f64 = 24.0;
const ITEM_POINTER: f64 = 4.0;
const TUPLE_HEADER: usize = 23;
/// The header of a tuple of an index.
const INDEX_TUPLE_HEADER: usize = 8;
/// What a btree's leaf keeps free, and its own part of a page.
const LEAF_FILL: f64 = 0.9;
const LEAF_SPECIAL: f64 = 16.0;
/// A row of more bytes has values moved into TOAST until it has fewer.
const TOAST_THRESHOLD: usize = 2032;
/// What stays in the row of a value in TOAST.
const TOAST_POINTER: usize = 18;
/// Bytes of a value in one row of TOAST, and the bytes of such a row.
const TOAST_CHUNK: f64 = 1996.0;
const TOAST_CHUNK_BYTES: f64 = 2048.0;
/// Of a row of TOAST in its index.
const TOAST_INDEX_BYTES: f64 = 22.0;

const fn aligned(size: usize, align: usize) -> usize {
    size.div_ceil(align) * align
}

/// How the values of a column are kept in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    form: Form,
    align: usize,
}

/// How long a value is, by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Fixed(usize),
    Text,
    Numeric,
    /// Two hexadecimal digits a byte.
    Bytea,
    Bits,
    Network,
    /// Elements of so many bytes; 0 = as long as their text.
    Array(usize),
    /// Bounds of so many bytes, likewise.
    Range(usize),
    Composite,
}

impl Storage {
    /// Of a type of this name, length (negative = it varies) and alignment.
    /// For an array these are its element's.
    #[must_use]
    pub fn new(name: &TypeName, length: i16, align: u8) -> Self {
        let fixed = usize::try_from(length).ok();
        let align = usize::from(align.max(1));
        if name.array {
            return Self { form: Form::Array(fixed.unwrap_or(0)), align: align.max(4) };
        }
        let form = match (fixed, name.schema.as_str(), name.name.as_str()) {
            (Some(length), ..) => Form::Fixed(length),
            (None, "pg_catalog", "numeric") => Form::Numeric,
            (None, "pg_catalog", "bytea") => Form::Bytea,
            (None, "pg_catalog", "bit" | "varbit") => Form::Bits,
            (None, "pg_catalog", "inet" | "cidr") => Form::Network,
            (None, "pg_catalog", "int4range" | "daterange") => Form::Range(4),
            (None, "pg_catalog", "int8range" | "tsrange" | "tstzrange") => Form::Range(8),
            _ => Form::Text,
        };
        Self { form, align }
    }

    /// Of a range over values of this length.
    #[must_use]
    pub fn range(length: i16, align: u8) -> Self {
        Self { form: Form::Range(usize::try_from(length).unwrap_or(0)), align: usize::from(align) }
    }

    /// Of a composite type.
    #[must_use]
    pub const fn composite() -> Self {
        Self { form: Form::Composite, align: 8 }
    }

    /// Bytes of a value of a type whose values are all as long; else 0.
    #[must_use]
    pub const fn fixed(&self) -> usize {
        match self.form {
            Form::Fixed(bytes) => bytes,
            _ => 0,
        }
    }

    /// Bytes of a value in a row with its own header, from the length of its
    /// text and as much of the text as is known.
    #[must_use]
    pub fn bytes(&self, length: u64, text: &[u8]) -> usize {
        let length = usize::try_from(length).unwrap_or(usize::MAX >> 1);
        let data = match self.form {
            Form::Fixed(bytes) => return bytes,
            Form::Text => length,
            Form::Numeric => numeric_bytes(text),
            Form::Bytea => length.saturating_sub(2) / 2,
            Form::Bits => 4 + length.div_ceil(8),
            Form::Network => {
                if text.contains(&b':') {
                    18
                } else {
                    6
                }
            }
            Form::Array(element) => {
                let elements = if length <= 2 { 0 } else { 1 + memchr::memchr_iter(b',', text).count() };
                // A value of which only the beginning is known goes on like it.
                let known = text.len().clamp(1, VALUE_BYTES_MAX);
                let elements = elements * (length / known).max(1);
                // Without braces and commas, each with a header, aligned.
                let mean = length.saturating_sub(1 + elements) / elements.max(1);
                20 + elements * if element > 0 { element } else { 4 + aligned(mean, 4) }
            }
            // The type, two bounds, and a byte of flags.
            Form::Range(0) => 5 + length,
            Form::Range(bound) => 5 + 2 * bound,
            // A header as that of a row; numbers are longer than their text.
            Form::Composite => 20 + 2 * length,
        };
        // A short value has a header of one byte.
        if data <= 126 { data + 1 } else { data + 4 }
    }

    const fn placed(&self, offset: usize, bytes: usize) -> usize {
        let short = !matches!(self.form, Form::Fixed(_)) && (bytes <= 127 || bytes == TOAST_POINTER);
        (if short { offset } else { aligned(offset, self.align) }) + bytes
    }

    const fn is_fixed(&self) -> bool {
        matches!(self.form, Form::Fixed(_))
    }
}

/// Groups of four decimal digits, each two bytes, after a header of two; not
/// stored are groups of zeros at either end.
fn numeric_bytes(text: &[u8]) -> usize {
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let fraction = text.get(point + 1..).unwrap_or_default();
    let zeros = |digits: &mut dyn Iterator<Item = &u8>| digits.take_while(|digit| **digit == b'0').count();
    let whole: Vec<u8> = text[..point].iter().copied().filter(u8::is_ascii_digit).collect();
    let whole_digits = whole.len() - zeros(&mut whole.iter());
    let fraction_digits = fraction.len() - zeros(&mut fraction.iter().rev());
    let groups = if fraction_digits == 0 {
        whole_digits.div_ceil(4) - zeros(&mut whole.iter().rev()).min(whole_digits) / 4
    } else if whole_digits == 0 {
        fraction_digits.div_ceil(4) - zeros(&mut fraction.iter()) / 4
    } else {
        whole_digits.div_ceil(4) + fraction_digits.div_ceil(4)
    };
    2 + 2 * groups
}

/// A row's size in the main fork, and what of it is in TOAST. No size = null.
fn row_bytes(storage: &[Storage], sizes: &mut [Option<usize>]) -> (usize, Vec<usize>) {
    let bitmap = if sizes.iter().any(Option::is_none) { storage.len().div_ceil(8) } else { 0 };
    let header = aligned(TUPLE_HEADER + bitmap, 8);
    let data = |sizes: &[Option<usize>]| {
        let placed = storage.iter().zip(sizes).filter_map(|(storage, size)| Some((storage, (*size)?)));
        header + placed.fold(0, |offset, (storage, size)| storage.placed(offset, size))
    };
    let mut moved = Vec::new();
    while data(sizes) > TOAST_THRESHOLD {
        let widest = (0..sizes.len())
            .filter(|at| !storage[*at].is_fixed())
            .max_by_key(|at| sizes[*at])
            .filter(|at| sizes[*at] > Some(TOAST_POINTER + 14));
        let Some(widest) = widest else { break };
        moved.extend(sizes[widest].replace(TOAST_POINTER));
    }
    (data(sizes), moved)
}

/// Sizes of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TableSize {
    pub heap: f64,
    pub toast: f64,
}

/// Fills pages with rows, and counts them up to a whole table.
#[derive(Debug, Clone)]
pub struct Pages {
    storage: Vec<Storage>,
    /// Bytes of a page that are filled.
    usable: f64,
    free: f64,
    rows: f64,
    pages: f64,
    chunks: f64,
}

impl Pages {
    #[must_use]
    pub fn new(storage: Vec<Storage>, fillfactor: Option<f64>) -> Self {
        let fill = fillfactor.unwrap_or(100.0).clamp(10.0, 100.0) / 100.0;
        let usable = PAGE_HEADER.mul_add(-1.0, PAGE_BYTES) - PAGE_BYTES * (1.0 - fill);
        Self { storage, usable, free: usable, rows: 0.0, pages: 0.0, chunks: 0.0 }
    }

    /// Bytes of every value of a column, if they are all as long; else 0.
    #[must_use]
    pub fn fixed_bytes(&self, column: usize) -> usize {
        self.storage[column].fixed()
    }

    /// Bytes of a column's value.
    #[must_use]
    pub fn value_bytes(&self, column: usize, length: u64, text: &[u8]) -> usize {
        self.storage[column].bytes(length, text)
    }

    /// Adds a row by the sizes of its values; none = null.
    pub fn add(&mut self, sizes: &mut [Option<usize>]) {
        let (bytes, moved) = row_bytes(&self.storage, sizes);
        let needed = aligned(bytes, 8) as f64 + ITEM_POINTER;
        if self.free < needed && self.free < self.usable {
            self.pages += 1.0;
            self.free = self.usable;
        }
        self.free -= needed;
        self.rows += 1.0;
        self.chunks += moved.iter().map(|bytes| (*bytes as f64 / TOAST_CHUNK).ceil()).sum::<f64>();
    }

    /// The size of a table of `total` such rows.
    #[must_use]
    pub fn size(&self, total: f64) -> TableSize {
        if self.rows == 0.0 {
            return TableSize::default();
        }
        let share = total / self.rows;
        let pages = self.pages + (self.usable - self.free) / self.usable;
        let toast = self.chunks * share;
        let toast_pages = (toast * TOAST_CHUNK_BYTES / (PAGE_BYTES - PAGE_HEADER)).ceil();
        let toast_index =
            if toast > 0.0 { 1.0 + (toast * TOAST_INDEX_BYTES / PAGE_BYTES).ceil() } else { 0.0 };
        TableSize {
            heap: (pages * share).ceil() * PAGE_BYTES,
            toast: (toast_pages + toast_index) * PAGE_BYTES,
        }
    }
}

/// What a column adds to an index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeyColumn {
    /// Mean bytes of a value.
    pub width: f64,
    pub align: usize,
    pub null_fraction: f64,
    /// Different values in the table.
    pub distinct: f64,
}

/// Bytes of a newly built index over these key columns; of an expression
/// nothing is known, and one of a number's size is assumed.
#[must_use]
pub fn index_bytes(index: &Index, columns: &[Option<KeyColumn>], rows: f64, heap_bytes: f64) -> f64 {
    let unknown = KeyColumn { width: 8.0, align: 8, null_fraction: 0.0, distinct: rows };
    let columns: Vec<KeyColumn> = columns.iter().map(|column| column.unwrap_or(unknown)).collect();
    let mut key = 0.0_f64;
    for column in &columns {
        let align = column.align.max(1) as f64;
        key = (key / align).ceil() * align + column.width * (1.0 - column.null_fraction);
    }
    let usable = PAGE_BYTES - PAGE_HEADER - LEAF_SPECIAL;
    let tuple = aligned(INDEX_TUPLE_HEADER + key.round() as usize, 8) as f64 + ITEM_POINTER;
    let pages = match index.method.as_str() {
        "brin" => 3.0,
        "hash" => 2.0 + rows * (aligned(INDEX_TUPLE_HEADER + 4, 8) as f64 + ITEM_POINTER) / (usable * 0.75),
        "gin" => 2.0 + rows * key.max(8.0) / usable,
        "gist" | "spgist" => 1.0 + rows * tuple / (usable * 0.6),
        _ => {
            // Equal keys share a tuple with six bytes a row, up to a third of a page.
            let distinct = columns.iter().map(|c| c.distinct.max(1.0)).product::<f64>().min(rows.max(1.0));
            let each = rows / distinct;
            let leaf = if index.unique || each < 2.0 {
                rows * tuple
            } else {
                let lists = (each * 6.0 / (usable / 6.0)).ceil();
                distinct * (lists * tuple + each * 6.0)
            };
            let leaves = (leaf / (usable * LEAF_FILL)).ceil();
            // The levels above hold one tuple for each page below.
            let above = leaves * tuple / (usable * 0.7);
            if rows > 0.0 { 1.0 + leaves + if leaves > 1.0 { above.ceil() } else { 0.0 } } else { 1.0 }
        }
    };
    let brin_more =
        if index.method == "brin" { heap_bytes / PAGE_BYTES / 128.0 * tuple * 2.0 / usable } else { 0.0 };
    (pages + brin_more).ceil() * PAGE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str, array: bool) -> TypeName {
        TypeName { schema: "pg_catalog".to_owned(), name: name.to_owned(), text: name.to_owned(), array }
    }

    fn storage(of: &str, length: i16, align: u8) -> Storage {
        Storage::new(&name(of, false), length, align)
    }

    #[test]
    fn values_are_as_long_as_the_server_keeps_them() {
        // pg_column_size() of stored values.
        for (kind, text, bytes) in [
            ("numeric", "0", 3),
            ("numeric", "1", 5),
            ("numeric", "12345.67", 9),
            ("numeric", "10000", 5),
            ("numeric", "0.5", 5),
            ("numeric", "0.00", 3),
            ("numeric", "0.00001", 5),
            ("text", "abc", 4),
            ("bytea", "\\x0102", 3),
            ("inet", "10.0.0.1", 7),
            ("bit", "0101", 6),
        ] {
            let found = storage(kind, -1, 4).bytes(text.len() as u64, text.as_bytes());
            assert_eq!(found, bytes, "{kind} {text}");
        }
        let text = "x".repeat(200);
        assert_eq!(storage("text", -1, 4).bytes(200, text.as_bytes()), 204);
        assert_eq!(Storage::new(&name("int4", true), 4, 4).bytes(7, b"{1,2,3}"), 33);
        assert_eq!(Storage::new(&name("varchar", true), -1, 4).bytes(5, b"{x,y}"), 37);
        assert_eq!(Storage::new(&name("text", true), -1, 4).bytes(2, b"{}"), 21);
        assert_eq!(Storage::range(8, 8).bytes(5, b"[1,2)"), 22);
    }

    #[test]
    fn a_narrow_table_has_the_pages_that_it_has() {
        // int4, int8: 24 + 4 + 4 + 8 = 40, with its pointer 44: 185 in a page.
        let mut pages = Pages::new(vec![storage("int4", 4, 4), storage("int8", 8, 8)], None);
        for _ in 0..1000 {
            pages.add(&mut [Some(4), Some(8)]);
        }
        let heap = pages.size(1_000_000.0).heap;
        let expected = (1_000_000.0_f64 / 185.0).ceil() * 8192.0;
        assert!((heap / expected - 1.0).abs() < 0.02, "{heap} {expected}");
        assert_eq!(Pages::new(vec![], None).size(5.0), TableSize::default());
    }

    #[test]
    fn a_wide_value_goes_into_toast() {
        let mut pages = Pages::new(vec![storage("int4", 4, 4), storage("text", -1, 4)], None);
        pages.add(&mut [Some(4), Some(100_004)]);
        let size = pages.size(100.0);
        assert!(size.heap < 20_000.0);
        assert!((size.toast / 1.05e7 - 1.0).abs() < 0.1, "{size:?}");
    }

    #[test]
    fn an_index_has_the_size_of_its_keys() {
        let index = |unique: bool, method: &str| Index {
            name: "i".to_owned(),
            method: method.to_owned(),
            unique,
            columns: vec![Some("a".to_owned())],
            partial: false,
            of_constraint: false,
        };
        let column = KeyColumn { width: 8.0, align: 8, null_fraction: 0.0, distinct: 1e6 };
        // A million of bigint: 22,487,040 bytes on a server.
        let bytes = index_bytes(&index(true, "btree"), &[Some(column)], 1e6, 5e7);
        assert!((bytes / 22_487_040.0 - 1.0).abs() < 0.03, "{bytes}");
        // Ten values in a million rows: 6,946,816 to 7,086,080 bytes.
        let few = KeyColumn { distinct: 10.0, ..column };
        let bytes = index_bytes(&index(false, "btree"), &[Some(few)], 1e6, 5e7);
        assert!((bytes / 7_000_000.0 - 1.0).abs() < 0.08, "{bytes}");
        assert!(index_bytes(&index(false, "brin"), &[Some(column)], 1e6, 5e7) < 100_000.0);
    }
}
