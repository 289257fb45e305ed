use serde_json::json;

use crate::fake::Fake;
use crate::serve;

#[tokio::test]
async fn a_copy_is_begun_read_piece_by_piece_and_ended() {
    let served = serve(Fake::leading()).await;
    let begun = served.browser.post("/v1/copies", "").await.json();
    assert_eq!(
        (&begun["copy"], &begun["first"]),
        (&json!("00000000000000c0"), &json!(1))
    );
    assert_eq!((&begun["last"], &begun["applied"]), (&json!(10), &json!(10)));
    assert_eq!(begun["snapshots"][0]["bytes"], 8);
    let second = served.browser.post("/v1/copies", "").await;
    assert_eq!(second.problem(), (503, "copy_under_way".into()));

    let copy = "/v1/copies/00000000000000c0";
    let mut whole = Vec::new();
    loop {
        let path = format!("{copy}/snapshots/10?from={}", whole.len());
        let piece = served.browser.get(&path).await;
        assert_eq!(
            (piece.status, piece.headers["content-type"].as_str()),
            (200, "application/octet-stream")
        );
        if piece.body.is_empty() {
            break;
        }
        whole.extend_from_slice(&piece.body);
    }
    assert_eq!(whole, b"all of i");
    let entries = served.browser.get(&format!("{copy}/log?from=7")).await;
    assert_eq!((entries.status, &entries.body[..]), (200, &b"entries from 7"[..]));

    for (wrong, status, code) in [
        (format!("{copy}/snapshots/9"), 404, "unknown_snapshot"),
        (format!("{copy}/snapshots/10?form=1"), 400, "malformed"),
        (format!("{copy}/log?from=-1"), 400, "malformed"),
        (format!("{copy}/log?from=1"), 410, "entries_purged"),
        ("/v1/copies/c1/log?from=7".to_owned(), 404, "unknown_copy"),
        ("/v1/copies/..%2Fx/snapshots/10".to_owned(), 404, "unknown_copy"),
    ] {
        assert_eq!(
            served.browser.get(&wrong).await.problem(),
            (status, code.into()),
            "{wrong}"
        );
    }
    for _ in 0..2 {
        let ended = served.browser.call("DELETE", copy, &[], b"").await;
        assert_eq!(ended.status, 204);
    }
    let gone = served.browser.get(&format!("{copy}/log?from=7")).await;
    assert_eq!(gone.problem(), (404, "unknown_copy".into()));
    assert_eq!(served.browser.post("/v1/copies", "").await.status, 200);
}
