/// Chance with a seed: splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
///
/// Each use has dice of its own, split off by name, so that one more throw in one place changes nothing in another.
#[derive(Debug, Clone)]
pub struct Dice(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Dice {
    /// Dice for one use of a seed.
    #[must_use]
    pub fn new(seed: u64, use_for: &str) -> Dice {
        let name = use_for
            .bytes()
            .fold(seed, |name, byte| mix(name.wrapping_add(STEP) ^ u64::from(byte)));
        Dice(name)
    }

    /// Dice of their own for one of several of the same use.
    #[must_use]
    pub fn split(&self, number: u64) -> Dice {
        Dice(mix(self.0 ^ mix(number.wrapping_add(STEP))))
    }

    /// Sixty-four random bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Whether something happens that happens `times` in a thousand.
    pub fn per_mille(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    /// A place among `count`; 0 when there is none.
    pub fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap_or(0)
    }

    /// Dice of their own, whose throws depend on how often these were thrown before.
    pub fn fork(&mut self) -> Dice {
        Dice(self.draw())
    }

    /// Puts them in another order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.index(at + 1));
        }
    }

    /// Heads or tails.
    pub fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.index(all.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_use_give_the_same_throws_and_others_give_others() {
        let throws = |seed, name: &str| {
            let mut dice = Dice::new(seed, name);
            [dice.draw(), dice.draw(), dice.below(10), dice.between(3, 4)]
        };
        assert_eq!(throws(1, "network"), throws(1, "network"));
        assert_ne!(throws(1, "network"), throws(2, "network"));
        assert_ne!(throws(1, "network"), throws(1, "disk"));
        let dice = Dice::new(1, "clients");
        assert_ne!(dice.split(1).draw(), dice.split(2).draw());
        assert_eq!(Dice::new(1, "none").pick::<u8>(&[]), None);
        assert_eq!(Dice::new(1, "none").below(0), 0);
    }
}
