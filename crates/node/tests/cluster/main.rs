//! Whole nodes in one process, over real sockets and real files: what a cluster does as its members come, go, differ, lag
//! behind, and lose what lay on their disks.

mod collection;
mod connections;
mod copy;
mod damage;
mod full_disk;
mod membership;
mod observe;
mod quarantine;
mod replay;
mod safeguards;
mod snapshots;
mod world;
