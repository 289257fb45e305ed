/// Randomness. Never reaches the deterministic half: what an application may draw is seeded from the log.
pub trait Chance: Send + Sync {
    /// Sixty-four random bits, unguessable in the real environment.
    fn next_u64(&self) -> u64;
}
