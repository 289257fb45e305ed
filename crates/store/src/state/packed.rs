use bytes::{Bytes, BytesMut};

/// Bytes of a block.
const BLOCK_BYTES: usize = 64 << 10;
/// Larger pieces lie for themselves, so that little of a block is left over behind them.
const PIECE_BYTES_MAX: usize = BLOCK_BYTES / 16;
/// Bytes that may have been packed beside twice those that are still wanted.
const STALE_BYTES: usize = 8 << 20;

/// Memory for many small pieces that are let go of together: cut from one block after the other, so that none needs an
/// allocation, nor a release, of its own. Releases are what costs: one by one, by another thread, long after, each touches
/// memory that no cache holds any more.
///
/// A block lives as long as any piece of it.
#[derive(Default)]
pub(super) struct Packed {
    block: BytesMut,
    bytes: usize,
}

impl Packed {
    /// A copy of a piece. `wanted`: bytes that are still in use of all that was packed; where far more was, since pieces were
    /// replaced again and again, the copy lies for itself, and so keeps nothing else in memory.
    pub(super) fn copy(&mut self, piece: &[u8], wanted: usize) -> Bytes {
        if piece.len() > PIECE_BYTES_MAX || self.bytes / 2 > wanted + STALE_BYTES / 2 {
            return Bytes::copy_from_slice(piece);
        }
        if self.block.capacity() < piece.len() {
            self.block = BytesMut::with_capacity(BLOCK_BYTES);
        }
        self.bytes += piece.len();
        self.block.extend_from_slice(piece);
        self.block.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_to(one: &Bytes, other: &Bytes) -> bool {
        one.as_ptr().wrapping_add(one.len()) == other.as_ptr()
    }

    #[test]
    fn pieces_lie_behind_one_another_and_large_ones_for_themselves() {
        let mut packed = Packed::default();
        let wanted = usize::MAX / 2;
        let pieces: Vec<Vec<u8>> = (0..2_000_u32).map(|at| vec![at as u8; at as usize % 300]).collect();
        let copies: Vec<Bytes> = pieces.iter().map(|piece| packed.copy(piece, wanted)).collect();
        assert!(copies.iter().zip(&pieces).all(|(copy, piece)| copy == piece));
        let neighbours = copies.windows(2).filter(|two| next_to(&two[0], &two[1])).count();
        assert!(neighbours > 1_900, "{neighbours} of 2,000");
        let large = packed.copy(&[7; PIECE_BYTES_MAX + 1], wanted);
        let small = packed.copy(b"behind", wanted);
        assert!(!next_to(&large, &small) && large.len() > PIECE_BYTES_MAX);
    }

    #[test]
    fn what_is_replaced_again_and_again_is_packed_no_more() {
        let mut packed = Packed::default();
        let mut copies = 0;
        let mut last = packed.copy(&[0; 1_000], 1_000);
        for at in 1..20_000_u32 {
            let copy = packed.copy(&[at as u8; 1_000], 1_000);
            copies += u32::from(next_to(&last, &copy));
            last = copy;
        }
        assert!((8_000..9_000).contains(&copies), "{copies} of 1,000 bytes");
        assert!(packed.bytes <= STALE_BYTES + 4_000, "{}", packed.bytes);
    }
}
