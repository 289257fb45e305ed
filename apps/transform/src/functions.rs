//! Those of jq's functions that are code: chosen by name from what jaq has, so that a newer jaq brings none unseen, and a few of
//! our own.

use jaq_core::native::{Filter as Named, Fun, bome, run, v};
use jaq_core::{Cv, RunPtr, ValR, ValXs};
use jaq_json::Val;

use crate::program::Data;
use crate::{removal, search};

/// What a transform has of jaq's. Left out are `halt` (ends the process) and functions whose results are no JSON.
const CHOSEN: &[&str] = &[
    "ascii_downcase",
    "ascii_upcase",
    "bsearch",
    "ceil",
    "contains",
    "endswith",
    "error_empty",
    "explode",
    "first",
    "floor",
    "fromjson",
    "group_by",
    "has",
    "implode",
    "indices",
    "key_values",
    "keys_unsorted",
    "last",
    "length",
    "limit",
    "ltrim",
    "ltrimstr",
    "max_by_or_empty",
    "min_by_or_empty",
    "path",
    "path_value",
    "range",
    "reverse",
    "round",
    "rtrim",
    "rtrimstr",
    "skip",
    "sort",
    "sort_by",
    "startswith",
    "tojson",
    "trim",
    "utf8bytelength",
];

/// Every function.
pub(crate) fn all() -> impl Iterator<Item = Fun<Data>> {
    let theirs = jaq_core::funs()
        .chain(jaq_std::base_funs())
        .chain(jaq_json::funs())
        .filter(|(name, ..)| CHOSEN.contains(name));
    theirs.chain(ours().map(|ours| run::<Data>(ours)))
}

fn ours() -> impl Iterator<Item = Named<RunPtr<Data>>> {
    let searches: [Named<RunPtr<Data>>; 3] = [
        ("matches", v(2), |cv| searched(cv, search::Wanted::Matches)),
        ("split_", v(2), |cv| searched(cv, search::Wanted::Between)),
        ("split_matches", v(2), |cv| searched(cv, search::Wanted::Both)),
    ];
    let removals: [Named<RunPtr<Data>>; 1] = [("delpaths", v(1), |cv| bome(removed(cv)))];
    searches.into_iter().chain(removals)
}

fn searched(mut cv: Cv<'_, Data>, wanted: search::Wanted) -> ValXs<'_, Val> {
    let flags = cv.0.pop_var();
    let expression = cv.0.pop_var();
    bome(search::search(&cv.1, &expression, &flags, wanted))
}

fn removed(mut cv: Cv<'_, Data>) -> ValR<Val> {
    let paths = cv.0.pop_var();
    removal::remove(cv.1, paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_were_chosen_are_there() {
        let found: Vec<&str> = all().map(|(name, ..)| name).collect();
        for name in CHOSEN {
            assert!(found.contains(name), "{name}");
        }
        assert_eq!(found.len(), CHOSEN.len() + 4);
    }
}
