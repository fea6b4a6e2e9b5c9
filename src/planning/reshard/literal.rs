//! Split points as a person writes them: values, row literals and array
//! literals, in the forms that PostgreSQL itself reads.
//!
//! Not here: whether a value is one of its column's type; PostgreSQL is asked
//! for that with all values at once ([`Cuts::values`]).

use crate::model::bound::RangeDatum;
use crate::model::bound::RangePoint;
use crate::planning::reshard::Method;
use crate::planning::reshard::error::ReshardError;
use crate::planning::reshard::error::shown;

/// Where a shard is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cuts {
    /// Points of a range, in the order in which they were written.
    Points(Vec<RangePoint>),
    /// The values of each new shard; none is NULL.
    Lists(Vec<Vec<Option<String>>>),
}

impl Cuts {
    /// Reads what was written, for a key of these columns.
    ///
    /// # Errors
    /// [`ReshardError`] if it has not the form.
    pub fn read(method: Method, columns: &[String], written: &[String]) -> Result<Self, ReshardError> {
        match method {
            Method::List => {
                let list = |(at, text): (usize, &String)| list_of(at + 1, text);
                Ok(Self::Lists(written.iter().enumerate().map(list).collect::<Result<_, _>>()?))
            }
            Method::Range | Method::Hash => Ok(Self::Points(
                written.iter().map(|text| point_of(text, columns)).collect::<Result<_, _>>()?,
            )),
        }
    }

    /// The values that it has of a column of the key.
    #[must_use]
    pub fn values(&self, column: usize) -> Vec<&str> {
        match self {
            Self::Lists(lists) if column == 0 => {
                lists.iter().flatten().filter_map(Option::as_deref).collect()
            }
            Self::Lists(_) => Vec::new(),
            Self::Points(points) => points.iter().filter_map(|point| value_of(point.get(column)?)).collect(),
        }
    }
}

/// The value of one column of a point.
#[must_use]
pub fn value_of(datum: &RangeDatum) -> Option<&str> {
    match datum {
        RangeDatum::Value(text) => Some(text),
        RangeDatum::MinValue | RangeDatum::MaxValue => None,
    }
}

fn open_end(word: &str) -> Option<RangeDatum> {
    match word {
        "MINVALUE" => Some(RangeDatum::MinValue),
        "MAXVALUE" => Some(RangeDatum::MaxValue),
        _ => None,
    }
}

/// One value for a key of one column, a row literal for one of several.
fn point_of(text: &str, columns: &[String]) -> Result<RangePoint, ReshardError> {
    if columns.len() == 1 {
        return Ok(vec![open_end(text).unwrap_or_else(|| RangeDatum::Value(text.to_owned()))]);
    }
    let point = || shown(text);
    let fields = row_of(text).map_err(|why| ReshardError::NotARow {
        point: point(),
        why,
        columns: columns.to_vec(),
    })?;
    if fields.len() != columns.len() {
        return Err(ReshardError::Fields { point: point(), found: fields.len(), columns: columns.to_vec() });
    }
    let mut data: RangePoint = Vec::with_capacity(fields.len());
    for field in fields {
        let datum = match field {
            None => return Err(ReshardError::NullInPoint { point: point() }),
            Some(Word { text, quoted: false }) => open_end(&text).unwrap_or(RangeDatum::Value(text)),
            Some(Word { text, quoted: true }) => RangeDatum::Value(text),
        };
        let open = data.last().filter(|last| value_of(last).is_none());
        if open.is_some_and(|last| *last != datum) {
            return Err(ReshardError::AfterOpenEnd { point: point() });
        }
        data.push(datum);
    }
    Ok(data)
}

/// A word of a literal, and whether a part of it was in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    quoted: bool,
}

/// The fields of a row literal, as `record_in` reads them; none is NULL.
fn row_of(text: &str) -> Result<Vec<Option<Word>>, &'static str> {
    const OPEN: &str = "It does not begin with a left parenthesis.";
    const CLOSE: &str = "It does not end with a right parenthesis.";
    let mut rest = text.trim_start().strip_prefix('(').ok_or(OPEN)?;
    let mut fields = Vec::new();
    loop {
        let (field, after) = word_of(rest, &[',', ')'], true).ok_or(CLOSE)?;
        fields.push(Some(field).filter(|field| field.quoted || !field.text.is_empty()));
        let ends = after.starts_with(')');
        rest = &after[1..];
        if ends {
            return if rest.trim().is_empty() { Ok(fields) } else { Err(CLOSE) };
        }
    }
}

/// The elements of an array literal of one dimension; none is NULL.
fn array_of(text: &str) -> Result<Vec<Option<String>>, &'static str> {
    const OPEN: &str = "It does not begin with a left brace.";
    const CLOSE: &str = "It does not end with a right brace.";
    const EMPTY: &str = "An element is empty and not in quotes.";
    const NESTED: &str = "It has more than one dimension.";
    let mut rest = text.trim().strip_prefix('{').ok_or(OPEN)?;
    let mut elements = Vec::new();
    if rest.trim() == "}" {
        return Ok(elements);
    }
    loop {
        if rest.trim_start().starts_with('{') {
            return Err(NESTED);
        }
        let (word, after) = word_of(rest, &[',', '}'], false).ok_or(CLOSE)?;
        elements.push(match word {
            Word { text, quoted: true } => Some(text),
            Word { text, .. } if text.is_empty() => return Err(EMPTY),
            Word { text, .. } if text.eq_ignore_ascii_case("null") => None,
            Word { text, .. } => Some(text),
        });
        let ends = after.starts_with('}');
        rest = &after[1..];
        if ends {
            return if rest.is_empty() { Ok(elements) } else { Err(CLOSE) };
        }
    }
}

fn list_of(number: usize, text: &str) -> Result<Vec<Option<String>>, ReshardError> {
    let elements = array_of(text).map_err(|why| ReshardError::NotAList { number, text: shown(text), why })?;
    if elements.is_empty() { Err(ReshardError::EmptyList { number }) } else { Ok(elements) }
}

/// A word up to one of the ends, and the rest from it on. Spaces around it
/// count in a row, where quotes may also be doubled, and not in an array.
fn word_of<'a>(text: &'a str, ends: &[char; 2], in_row: bool) -> Option<(Word, &'a str)> {
    let mut word = String::new();
    // Up to here spaces at the end are part of the word.
    let mut kept = 0;
    let (mut quoted, mut inside) = (false, false);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                word.push(chars.next()?.1);
                kept = word.len();
            }
            '"' if inside && in_row && chars.peek().is_some_and(|(_, next)| *next == '"') => {
                chars.next();
                word.push('"');
                kept = word.len();
            }
            '"' => {
                (quoted, inside) = (true, !inside);
                kept = word.len();
            }
            c if !inside && ends.contains(&c) => {
                if !in_row {
                    word.truncate(kept);
                }
                return Some((Word { text: word, quoted }, &text[at..]));
            }
            c => {
                let skipped = !in_row && !inside && c.is_ascii_whitespace();
                if !skipped || !word.is_empty() {
                    word.push(c);
                }
                if !skipped {
                    kept = word.len();
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> RangeDatum {
        RangeDatum::Value(text.to_owned())
    }

    fn keys(columns: &[&str]) -> Vec<String> {
        columns.iter().map(|column| (*column).to_owned()).collect()
    }

    fn points(columns: &[&str], text: &str) -> Result<RangePoint, ReshardError> {
        point_of(text, &keys(columns))
    }

    #[test]
    fn one_column_takes_values_as_they_are() {
        for text in ["100", "", "(a,b)", "{a}", "NULL", " 7 ", "minvalue"] {
            assert_eq!(points(&["k"], text), Ok(vec![value(text)]));
        }
        assert_eq!(points(&["k"], "MINVALUE"), Ok(vec![RangeDatum::MinValue]));
        assert_eq!(points(&["k"], "MAXVALUE"), Ok(vec![RangeDatum::MaxValue]));
    }

    #[test]
    fn several_columns_take_row_literals() {
        for (text, expected) in [
            ("(a,b)", vec![value("a"), value("b")]),
            (" (a, b) ", vec![value("a"), value(" b")]),
            (r#"("a,""b""",")")"#, vec![value("a,\"b\""), value(")")]),
            (r#"(a"b"c,\,)"#, vec![value("abc"), value(",")]),
            (r#"("",7)"#, vec![value(""), value("7")]),
            ("(7,MINVALUE)", vec![value("7"), RangeDatum::MinValue]),
            ("(7,\"MINVALUE\")", vec![value("7"), value("MINVALUE")]),
            ("(MAXVALUE,MAXVALUE)", vec![RangeDatum::MaxValue, RangeDatum::MaxValue]),
            ("(ü,ß)", vec![value("ü"), value("ß")]),
        ] {
            assert_eq!(points(&["a", "b"], text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn points_that_have_not_the_form_are_refused() {
        for text in ["", "a", "a,b", "(a,b", "(a,b) c", "(\"a,b)", "(a,b\\"] {
            assert!(matches!(points(&["a", "b"], text), Err(ReshardError::NotARow { .. })), "{text}");
        }
        for (text, fields) in [("(a)", 1), ("(a,b,c)", 3)] {
            let error = points(&["a", "b"], text);
            assert!(matches!(error, Err(ReshardError::Fields { found, .. }) if found == fields), "{text}");
        }
        for text in ["(a,)", "(,b)"] {
            assert!(matches!(points(&["a", "b"], text), Err(ReshardError::NullInPoint { .. })), "{text}");
        }
        for text in ["(MINVALUE,7)", "(MINVALUE,MAXVALUE)"] {
            assert!(matches!(points(&["a", "b"], text), Err(ReshardError::AfterOpenEnd { .. })), "{text}");
        }
    }

    #[test]
    fn lists_are_array_literals() {
        let some = |text: &str| Some(text.to_owned());
        for (text, expected) in [
            ("{a,b}", vec![some("a"), some("b")]),
            (" { a b , NULL,null , \"NULL\" } ", vec![some("a b"), None, None, some("NULL")]),
            (
                r#"{"a,}","\"",\{,"" , " x "}"#,
                vec![some("a,}"), some("\""), some("{"), some(""), some(" x ")],
            ),
            (r"{a\ ,b}", vec![some("a "), some("b")]),
            ("{it's,ü}", vec![some("it's"), some("ü")]),
        ] {
            assert_eq!(list_of(1, text), Ok(expected), "{text}");
        }
        for text in ["", "a", "{a", "{a,}", "{,a}", "{a}b", "{{a},{b}}", "[0:1]={a,b}", "{\"a}", "{a\\"] {
            let error = list_of(2, text);
            assert!(matches!(error, Err(ReshardError::NotAList { number: 2, .. })), "{text}: {error:?}");
        }
        assert_eq!(list_of(3, "{}"), Err(ReshardError::EmptyList { number: 3 }));
        assert_eq!(list_of(3, "{ }"), Err(ReshardError::EmptyList { number: 3 }));
    }

    #[test]
    fn values_are_told_by_column() {
        let written = keys(&["(1,a)", "(2,MINVALUE)"]);
        let cuts = Cuts::read(Method::Range, &keys(&["n", "t"]), &written);
        let cuts = cuts.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((cuts.values(0), cuts.values(1)), (vec!["1", "2"], vec!["a"]));
        let written = keys(&["{a,NULL}", "{b}"]);
        let cuts =
            Cuts::read(Method::List, &keys(&["t"]), &written).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((cuts.values(0), cuts.values(1)), (vec!["a", "b"], vec![]));
    }
}
