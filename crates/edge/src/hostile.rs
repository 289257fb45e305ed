//! What comes to the port before anybody knows what it is, and the parameters behind a question mark.

use axum::extract::FromRequestParts;
use axum::http::Request;
use client::wire::{EventsParameters, RowsParameters};
use futures::FutureExt;
use proptest::prelude::*;

use crate::allocations::peak_bytes;
use crate::http::TestedQuery as UrlQuery;
use crate::mutations::{cases, hostile};
use crate::sniff::{Protocol, judge};

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The parameters of a query string, if they can be read; none where it stands in no URI at all.
fn read<T>(query: &str) -> Option<Result<T, ()>>
where
    UrlQuery<T>: FromRequestParts<()>,
{
    let request = Request::builder().uri(format!("/v1/x?{query}")).body(()).ok()?;
    let (mut parts, ()) = request.into_parts();
    let read = UrlQuery::<T>::from_request_parts(&mut parts, &()).now_or_never()?;
    Some(read.map(|UrlQuery(value)| value).map_err(drop))
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn the_first_bytes_are_judged(bytes in hostile(texts(&["GET / HTTP/1.1\r\n", "SEACHNG1", "POST /v1/changes"]))) {
        // As they arrive: the judgement never changes once it is made, and is made after eight bytes.
        let judged: Vec<Option<Protocol>> = (0..=bytes.len().min(8)).map(|count| judge(&bytes[..count])).collect();
        let first = judged.iter().position(Option::is_some);
        prop_assert!(bytes.len() < 8 || first.is_some());
        let frames = bytes.starts_with(client::wire::frames::MAGIC);
        if let Some(Some(protocol)) = first.map(|first| &judged[first]) {
            prop_assert_eq!(frames, *protocol == Protocol::Frames);
        }
    }

    #[test]
    fn parameters_are_read(bytes in hostile(texts(&[
        "prefix=a&limit=10&reverse=true&consistency=stale",
        "start=%62%32&end=b%20c&limit=2",
        "from=300&follow=true",
        "limit=18446744073709551616&from=-1&prefix=%ff%",
    ]))) {
        let query = String::from_utf8_lossy(&bytes).into_owned();
        let (read, peak) = peak_bytes(|| (read::<RowsParameters>(&query), read::<EventsParameters>(&query)));
        prop_assert!(peak <= (64 << 10) + 64 * query.len(), "{peak} for {}", query.len());
        if let Some(Ok(rows)) = read.0 {
            prop_assert!(rows.prefix.is_none_or(|prefix| prefix.len() <= 3 * query.len()));
        }
    }
}
