use serde_json::json;

use crate::fake::Fake;
use crate::serve;

#[tokio::test]
async fn a_snapshot_is_listed_and_its_files_are_read_piece_by_piece() {
    let served = serve(Fake::leading()).await;
    let answer = served.browser.post("/v1/snapshots", "").await.json();
    assert_eq!(answer["index"], 10);
    assert_eq!(answer["files"], json!([{"name": "snapshot", "bytes": 8}]));
    let mut whole = Vec::new();
    loop {
        let path = format!("/v1/snapshots/10/files/snapshot?from={}", whole.len());
        let piece = served.browser.get(&path).await;
        assert_eq!(piece.status, 200);
        if piece.body.is_empty() {
            break;
        }
        whole.extend_from_slice(&piece.body);
    }
    assert_eq!(whole, b"all of i");
    for wrong in [
        "/v1/snapshots/9/files/snapshot",
        "/v1/snapshots/10/files/streams%2F..%2Fx",
    ] {
        let answer = served.browser.get(wrong).await;
        assert_eq!(answer.problem(), (404, "unknown_snapshot".into()), "{wrong}");
    }
    let answer = served.browser.get("/v1/snapshots/10/files/snapshot?form=1").await;
    assert_eq!(answer.problem(), (400, "malformed".into()));
}

#[tokio::test]
async fn a_node_verifies_its_disk_when_asked() {
    let served = serve(Fake::leading()).await;
    let answer = served.browser.post("/v1/verify", "").await.json();
    assert_eq!((&answer["index"], &answer["rows"]), (&json!(10), &json!(7)));
}
