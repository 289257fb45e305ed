//! Snapshots and log, copied off a node that runs and replayed elsewhere.

use std::path::Path;

use bytes::Bytes;
use machine::{Cluster, CopyId, CopyListing, Index, ReadError};
use node::StartError;
use node::replay::{Archive, Error, LogCopy, Proof, SnapshotCopy, Witness, start};
use store::format::Said;

use crate::replay::{lived, proofs, run};
use crate::snapshots::{eager, purged};
use crate::world::{World, registry};

/// Begins a copy with the snapshot that it takes to see entries from `from` on.
async fn begin(
    world: &World,
    cluster: &dyn Cluster,
    directory: &Path,
    from: Option<Index>,
) -> (CopyListing, SnapshotCopy, Index) {
    let listing = cluster.begin_copy().await.expect("nobody else copies");
    let nothing = (listing.first <= Index(1)).then_some(Index(0));
    let goes_on = |index: &Index| index.next() >= listing.first;
    let snapshots = listing.snapshots.iter().map(|snapshot| snapshot.index).filter(goes_on);
    let starts: Vec<Index> = nothing.into_iter().chain(snapshots).collect();
    let start = start(&starts, listing.last, from, None).expect("it is there");
    let start = start.expect("there is one");
    let copy = SnapshotCopy::begin(&world.environment, directory, (listing.cluster, listing.node), start);
    (listing, copy.expect("the directory is empty"), start)
}

/// Takes all of a copy.
pub async fn take(world: &World, cluster: &dyn Cluster, directory: &Path, from: Option<Index>) -> CopyListing {
    let (listing, mut snapshot, start) = begin(world, cluster, directory, from).await;
    while start > Index(0) {
        let piece = cluster
            .copy_snapshot(listing.copy, start, snapshot.bytes())
            .await
            .expect("it is kept");
        if piece.is_empty() {
            break;
        }
        snapshot.put(&piece).expect("there is room");
    }
    let mut log = snapshot.end().await.expect("that is the snapshot");
    while log.next() <= listing.last {
        let page = cluster
            .copy_entries(listing.copy, log.next())
            .await
            .expect("they are kept");
        log.put(&page, listing.last).await.expect("those are the entries");
    }
    let said = Said {
        index: listing.applied,
        digest: listing.digest,
    };
    log.end(listing.last, vec![said]).await.expect("there is room");
    cluster.end_copy(listing.copy);
    listing
}

fn replayed(world: &World, directory: &Path) -> Vec<Proof> {
    let archive = Archive::open(&world.environment, directory, None).expect("it is a copy");
    assert_eq!(archive.warnings(), [] as [&str; 0]);
    let replay = archive.replay(&registry(&[1, 2]), None, None).expect("it begins");
    let mut all = replay.proofs_here();
    all.extend(proofs(&run(replay).1));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_runs_is_replayed_to_the_digest_that_it_names() {
    let world = World::new();
    let (a, mark) = lived(&world).await;
    let whole = world.data("whole");
    let listing = take(&world, &*a.cluster, &whole, None).await;
    assert_eq!((listing.first, listing.snapshots.len()), (Index(1), 1));
    let proofs = replayed(&world, &whole);
    assert!(proofs.iter().all(Proof::is_equal), "{proofs:#?}");
    let last = proofs.last().expect("there are some");
    assert_eq!(
        (last.index, last.witness, last.ours),
        (listing.applied, Witness::Asked, listing.digest)
    );
    assert!(proofs.iter().any(|proof| proof.index == mark), "{proofs:?}");

    // From the snapshot on it is less, and comes to the same.
    let later = world.data("later");
    let snapshot = listing.snapshots[0].index;
    take(&world, &*a.cluster, &later, Some(snapshot.next())).await;
    let archive = Archive::open(&world.environment, &later, None).expect("it is a copy");
    let too_old = archive.replay(&registry(&[1, 2]), Some(snapshot), None).err();
    assert!(
        matches!(too_old, Some(Error::TooOld { oldest, .. }) if oldest == snapshot),
        "{too_old:?}"
    );
    drop(archive);
    assert_eq!(replayed(&world, &later).last(), Some(last));

    // What the node did not say is found out, and nobody serves from a copy.
    store::format::copied::write(
        &*world.environment.disk,
        &whole,
        &store::format::Copied {
            cluster: listing.cluster,
            node: listing.node,
            last: listing.last,
            said: vec![Said {
                index: listing.applied,
                digest: Default::default(),
            }],
        },
    )
    .expect("there is room");
    assert!(!replayed(&world, &whole).last().expect("there are some").is_equal());
    let served = world.try_start("later", &[1, 2], None).await.err();
    assert!(
        matches!(&served, Some(StartError::Store(why)) if why.contains("nobody may serve")),
        "{served:?}"
    );
    a.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_copies_at_a_time_and_what_was_purged_is_refused_by_name() {
    let world = eager();
    let a = world.start("a", &[1], None).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    for _ in 0..150 {
        world.add(&[&a], 1).await;
    }
    purged(&world, &a, Index(20)).await;
    let cluster = &*a.cluster;
    let listing = cluster.begin_copy().await.expect("nobody else copies");
    let copy = listing.copy;
    let second = cluster.begin_copy().await.err();
    assert!(
        matches!(&second, Some(ReadError::CopyUnderWay(why)) if why.contains("one copy at a time")),
        "{second:?}"
    );
    let gone = cluster.copy_entries(copy, Index(0)).await.err();
    assert!(
        matches!(gone, Some(ReadError::EntriesPurged { wanted: Index(1), first }) if first > Index(20)),
        "{gone:?}"
    );
    let other = CopyId(copy.0 ^ 1);
    cluster.end_copy(other);
    assert_eq!(
        cluster.copy_entries(other, listing.last).await,
        Err(ReadError::UnknownCopy)
    );
    assert_eq!(
        cluster.copy_snapshot(other, listing.last, 0).await,
        Err(ReadError::UnknownCopy)
    );
    assert!(cluster.begin_copy().await.is_err(), "ended by a stranger");
    let unknown = cluster.copy_snapshot(copy, Index(3), 0).await;
    assert!(matches!(unknown, Err(ReadError::UnknownSnapshot(_))), "{unknown:?}");
    assert_eq!(cluster.copy_entries(copy, listing.last.next()).await, Ok(Bytes::new()));
    cluster.end_copy(copy);
    assert_eq!(
        cluster.copy_entries(copy, listing.last).await,
        Err(ReadError::UnknownCopy)
    );

    let place = world.data("place");
    let listing = take(&world, cluster, &place, None).await;
    assert!(listing.first > Index(20));
    let proofs = replayed(&world, &place);
    assert!(proofs.iter().all(Proof::is_equal), "{proofs:#?}");
    assert!(proofs.iter().any(|proof| proof.witness == Witness::Asked), "{proofs:?}");
    a.node.shutdown().await;
}

async fn refused(copy: impl Future<Output = Result<LogCopy, Error>>) -> String {
    copy.await.err().expect("that is no copy").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_node_would_send_is_refused_and_leaves_no_copy() {
    let world = World::new();
    let (a, _) = lived(&world).await;
    let cluster = &*a.cluster;
    let place = |name: &str| world.data(name);
    let (listing, snapshot, start) = begin(&world, cluster, &place("one"), None).await;
    assert_eq!(start, Index(0));
    let page = cluster
        .copy_entries(listing.copy, Index(1))
        .await
        .expect("they are kept");
    let behind = cluster
        .copy_entries(listing.copy, Index(2))
        .await
        .expect("they are kept");
    let index = listing.snapshots[0].index;
    let mut bytes = cluster
        .copy_snapshot(listing.copy, index, 0)
        .await
        .expect("it is kept")
        .to_vec();
    cluster.end_copy(listing.copy);
    let mut log = snapshot.end().await.expect("there is none");
    let mut flipped = page.to_vec();
    flipped[8] ^= 1;
    for (wrong, why) in [
        (Bytes::new(), "gave no entry 1"),
        (flipped.into(), "checksum"),
        (behind, "entry 2 came where entry 1"),
        (page.slice(1..), "damaged at byte 0"),
    ] {
        let error = log
            .put(&wrong, listing.last)
            .await
            .expect_err("those are no entries")
            .to_string();
        assert!(error.contains(why), "{error}");
    }
    let past = log
        .put(&page, Index(3))
        .await
        .expect_err("it is past the last")
        .to_string();
    assert!(past.contains("of 3 was to come"), "{past}");
    log.put(&page, listing.last).await.expect("those are the entries");
    drop(log);
    let open = |name: &str| Archive::open(&world.environment, &place(name), None).err();
    assert_eq!(open("one"), Some(Error::NoNode(place("one"))), "it came to no end");

    let other = |name: &str, start: Index| {
        SnapshotCopy::begin(&world.environment, &place(name), (listing.cluster, listing.node), start).expect("new")
    };
    let mut wrong = other("two", index.next());
    wrong.put(&bytes).expect("there is room");
    assert!(refused(wrong.end()).await.contains("was asked for"));
    let mut short = other("three", index);
    short.put(&bytes[..20]).expect("there is room");
    assert!(refused(short.end()).await.contains("damaged"));
    bytes[30] ^= 1;
    let mut damaged = other("four", index);
    damaged.put(&bytes).expect("there is room");
    assert!(refused(damaged.end()).await.contains("damaged"));
    a.node.shutdown().await;
}
