//! Where a page of rows ended, as a text that a client gives back: the direction, and the last key in hexadecimal
//! digits. It holds for any key, whatever bytes it has and whatever has become of its row.

use bytes::Bytes;
use machine::limits::KEY_BYTES_MAX;

use crate::codes::Refusal;

/// Keys from `start` (included) to `end` (excluded; none: to the end of the table).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub start: Bytes,
    pub end: Option<Bytes>,
}

/// The cursor of a page that ended with the row of `last`.
pub(super) fn at(last: &[u8], reverse: bool) -> String {
    let mut cursor = String::from(direction(reverse));
    last.iter().for_each(|byte| cursor.push_str(&format!("{byte:02x}")));
    cursor
}

/// What of `range` lies behind the cursor.
pub(super) fn behind(cursor: &str, range: Range, reverse: bool) -> Result<Range, Refusal> {
    let last = read(cursor, reverse).ok_or_else(|| {
        Refusal::malformed(format!(
            "{cursor:?} is no cursor of this scan: give the next of the page before, with all other parameters as they \
             were, reverse too"
        ))
    })?;
    let inside = last >= range.start && range.end.as_ref().is_none_or(|end| last < *end);
    if !inside {
        return Err(Refusal::malformed(
            "the cursor lies outside of the keys that are asked for: give the other parameters as they were",
        ));
    }
    Ok(match reverse {
        true => Range {
            end: Some(last),
            ..range
        },
        // No key lies between one and itself with a zero byte behind it.
        false => Range {
            start: [&last, &[0][..]].concat().into(),
            ..range
        },
    })
}

fn read(cursor: &str, reverse: bool) -> Option<Bytes> {
    let digits = cursor.strip_prefix(direction(reverse))?.as_bytes();
    if !digits.len().is_multiple_of(2) || digits.len() / 2 > KEY_BYTES_MAX {
        return None;
    }
    let nibble = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    digits
        .chunks(2)
        .map(|pair| Some(nibble(*pair.first()?)? << 4 | nibble(*pair.last()?)?))
        .collect::<Option<Vec<u8>>>()
        .map(Bytes::from)
}

fn direction(reverse: bool) -> char {
    match reverse {
        false => 'f',
        true => 'r',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &'static [u8], end: Option<&'static [u8]>) -> Range {
        Range {
            start: Bytes::from_static(start),
            end: end.map(Bytes::from_static),
        }
    }

    #[test]
    fn a_page_goes_on_right_behind_its_last_key() {
        for last in [&b"a"[..], b"\xff\x00", b"", "ü".as_bytes(), &[7; KEY_BYTES_MAX]] {
            let forward = behind(&at(last, false), range(b"", None), false).unwrap();
            assert_eq!(forward.start, [last, &[0]].concat());
            assert_eq!(forward.end, None);
            let back = behind(&at(last, true), range(b"", None), true).unwrap();
            assert_eq!(
                back,
                Range {
                    start: Bytes::new(),
                    end: Some(last.to_vec().into())
                }
            );
        }
    }

    #[test]
    fn what_is_no_cursor_of_the_scan_is_refused() {
        let all = || range(b"b", Some(b"d"));
        assert!(behind(&at(b"b", false), all(), false).is_ok());
        let long = at(&[7; KEY_BYTES_MAX + 1], false);
        for cursor in ["", "f6", "f6x", "x61", "r62", "f61", "f64", "ü", "f6ü", &long] {
            assert!(behind(cursor, all(), false).is_err(), "{cursor}");
        }
    }
}
