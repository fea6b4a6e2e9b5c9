//! The scanner against the slow reader of `tests/copy_reference`, on inputs that
//! libFuzzer grows: the first bytes choose the options, the others are data.

#![no_main]

#[path = "../../tests/copy_reference/mod.rs"]
mod copy_reference;

use libfuzzer_sys::fuzz_target;
use pg_presplit::planning::routing::format::CopyFormat;
use pg_presplit::planning::routing::format::KeyColumn;
use pg_presplit::planning::routing::format::Kind;
use pg_presplit::planning::routing::format::Source;
use pg_presplit::planning::routing::format::check;

fuzz_target!(|input: &[u8]| {
    let Some(([choices, piece, delimiter, quote, escape], data)) = input.split_first_chunk() else { return };
    let kind = if choices & 1 == 0 { Kind::Text } else { Kind::Csv };
    let mut format = CopyFormat::new(kind, 15 + u32::from(choices >> 1 & 3), 3);
    format.source = if choices & 8 == 0 { Source::Client } else { Source::Server };
    format.header = choices & 16 != 0;
    let (force_not_null, force_null) = (choices & 32 != 0, choices & 64 != 0);
    if choices & 128 != 0 {
        (format.delimiter, format.quote, format.escape) = (*delimiter, *quote, *escape);
    }
    // What PostgreSQL itself would not accept.
    let of_text = b"\\.abcdefghijklmnopqrstuvwxyz0123456789";
    if (kind == Kind::Text && of_text.contains(&format.delimiter))
        || (kind == Kind::Csv && format.delimiter == format.quote)
        || [format.delimiter, format.quote, format.escape].contains(&0)
        || format.null.contains(&format.delimiter)
    {
        return;
    }
    let keys: Vec<KeyColumn> =
        (0..3).map(|field| KeyColumn { field: Some(field), force_not_null, force_null }).collect();
    if check(&format, &keys).is_ok() {
        let expected = copy_reference::read(&format, &keys, data);
        let scanned = copy_reference::scan(&format, &keys, data.chunks(usize::from(*piece).max(1)));
        assert_eq!(scanned.read, expected);
    }
});
