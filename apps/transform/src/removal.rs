//! `delpaths`, and with it `del`: as in jq, all paths are those of the value as it was, and what stays keeps its order. Jaq's own
//! removes one after the other, and puts an object's last field in the place of the one that it removes.

use jaq_core::path::Opt;
use jaq_core::{Error, ValR, ValT, ValX};
use jaq_json::{Rc, Val};
use jaq_std::ValT as _;

/// The value without what lies at the paths.
pub(crate) fn remove(value: Val, paths: Val) -> ValR<Val> {
    let mut paths = elements(paths)?
        .into_iter()
        .map(elements)
        .collect::<Result<Vec<_>, _>>()?;
    // From the last to the first, so that none moves what another names.
    paths.sort();
    paths.dedup();
    paths.iter().rev().try_fold(value, |value, path| without(value, path))
}

fn elements(value: Val) -> Result<Vec<Val>, Error<Val>> {
    value.into_seq().map_err(|value| Error::typ(value, "array"))
}

fn without(value: Val, path: &[Val]) -> ValR<Val> {
    match (path, value) {
        // There is nothing to remove.
        (_, Val::Null) | ([], _) => Ok(Val::Null),
        ([last], value) => without_child(value, last),
        ([next, rest @ ..], value) => match value.clone().index(next)? {
            Val::Null => Ok(value),
            _ => changed(value.map_index(next, Opt::Essential, |child| {
                std::iter::once(without(child, rest).map_err(Into::into))
            })),
        },
    }
}

fn without_child(mut value: Val, key: &Val) -> ValR<Val> {
    match (&mut value, key) {
        (Val::Obj(fields), _) => {
            if fields.contains_key(key) {
                Rc::make_mut(fields).shift_remove(key);
            }
            Ok(value)
        }
        // It reaches past the end.
        (Val::Arr(elements), Val::Num(_)) if !is_within(key, elements.len()) => Ok(value),
        (_, key) => {
            let key = key.clone();
            changed(value.map_index(&key, Opt::Essential, |_| std::iter::empty()))
        }
    }
}

fn is_within(index: &Val, length: usize) -> bool {
    let Some(index) = index.as_isize() else { return false };
    let distance = index.unsigned_abs();
    if index < 0 {
        distance <= length
    } else {
        distance < length
    }
}

/// Nothing here breaks out or ends the program, so an exception is an error.
fn changed(result: ValX<'_, Val>) -> ValR<Val> {
    result.map_err(|exception| exception.get_err().unwrap_or_else(|_| Error::str("it was broken off")))
}
