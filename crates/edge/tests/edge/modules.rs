use std::sync::Arc;

use edge::EdgeOptions;
use machine::limits::{MODULE_BYTES_MAX, MODULE_CHUNK_BYTES};
use machine::{Body, Digest, Module, TimeMs};
use serde_json::json;

use crate::fake::Fake;
use crate::{limits, serve, serve_with};

fn module() -> (Vec<u8>, String) {
    let bytes: Vec<u8> = (0..MODULE_CHUNK_BYTES * 2 + 100).map(|at| (at % 251) as u8).collect();
    let target = format!("/v1/modules/{}", Digest::of(&bytes));
    (bytes, target)
}

fn pieces(fake: &Fake) -> Vec<(u64, usize)> {
    let piece = |body: &Body| match body {
        Body::ModuleChunk(chunk) => (chunk.at, chunk.bytes.len()),
        other => panic!("{other:?}"),
    };
    fake.state.lock().bodies.iter().map(piece).collect()
}

#[tokio::test]
async fn a_module_goes_into_the_log_in_pieces_and_only_its_last_one_twice() {
    let served = serve(Fake::leading()).await;
    let (bytes, target) = module();
    let answer = served.browser.call("PUT", &target, &[], &bytes).await;
    assert_eq!(
        answer.json(),
        json!({"module": Digest::of(&bytes).to_string(), "bytes": bytes.len()})
    );
    let chunk = MODULE_CHUNK_BYTES;
    let all = [(0, chunk), (chunk as u64, chunk), (2 * chunk as u64, 100)];
    assert_eq!(pieces(&served.fake), all);
    let answer = served.browser.call("PUT", &target, &[], &bytes).await;
    assert_eq!(answer.status, 200);
    let again = [&all[..], &all[2..]].concat();
    assert_eq!(pieces(&served.fake), again, "so that it is not deleted before the plan");
}

#[tokio::test]
async fn a_module_that_came_in_part_goes_on_where_it_stopped() {
    let served = serve(Fake::leading()).await;
    let (bytes, target) = module();
    let begun = Module {
        bytes_total: bytes.len() as u64,
        bytes_here: MODULE_CHUNK_BYTES as u64,
        since: TimeMs(1),
    };
    served
        .fake
        .state
        .lock()
        .catalog
        .modules
        .insert(Digest::of(&bytes), begun);
    assert_eq!(served.browser.call("PUT", &target, &[], &bytes).await.status, 200);
    assert_eq!(pieces(&served.fake).len(), 2);
}

#[tokio::test]
async fn a_module_that_is_none_does_not_reach_the_log() {
    let check = |bytes: &[u8]| match bytes.starts_with(b"\0asm") {
        true => Ok(()),
        false => Err((
            "module_invalid".to_owned(),
            "it does not begin like a WASM module".to_owned(),
        )),
    };
    let options = EdgeOptions {
        limits: limits(),
        module_check: Some(Arc::new(check)),
        ..EdgeOptions::default()
    };
    let served = serve_with(Fake::leading(), options).await;
    let (bytes, target) = module();
    for (target, bytes, status, code) in [
        (target.as_str(), &bytes[..], 422, "module_invalid"),
        (target.as_str(), &bytes[1..], 422, "module_digest_mismatch"),
        (target.as_str(), b"", 422, "module_invalid"),
        ("/v1/modules/abc", &bytes[..], 400, "malformed"),
        (target.as_str(), &vec![0; MODULE_BYTES_MAX + 1][..], 413, "too_large"),
    ] {
        let answer = served.browser.call("PUT", target, &[], bytes).await;
        assert_eq!(answer.problem(), (status, code.into()), "{target}");
    }
    assert!(pieces(&served.fake).is_empty());
    let good = b"\0asm\x01\0\0\0";
    let answer = served
        .browser
        .call("PUT", &format!("/v1/modules/{}", Digest::of(good)), &[], good)
        .await;
    assert_eq!(answer.status, 200);
}
