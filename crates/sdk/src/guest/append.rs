/// Slices up to this long are copied by plain loads and stores.
const SHORT: usize = 63;

/// Appends like `extend_from_slice`. JSON is written in pieces of a few bytes, and for those a guest's `memory.copy` costs
/// more than all else: engines call out of the guest's code for it.
#[inline]
pub(crate) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() > SHORT {
        out.extend_from_slice(bytes);
        return;
    }
    out.reserve(bytes.len());
    let len = out.len();
    // SAFETY: the room is reserved, and the pieces below are the parts of the length's binary form: together they are
    // exactly `bytes`, and lie within both.
    unsafe {
        let mut to = out.as_mut_ptr().add(len);
        let mut from = bytes.as_ptr();
        // Branches and not a loop, which the compiler would turn into `memory.copy` again.
        macro_rules! piece {
            ($bytes:literal: $($type:ident at $at:literal),+) => {
                if bytes.len() & $bytes != 0 {
                    $(to.add($at).cast::<$type>().write_unaligned(from.add($at).cast::<$type>().read_unaligned());)+
                    to = to.add($bytes);
                    from = from.add($bytes);
                }
            };
        }
        piece!(32: u64 at 0, u64 at 8, u64 at 16, u64 at 24);
        piece!(16: u64 at 0, u64 at 8);
        piece!(8: u64 at 0);
        piece!(4: u32 at 0);
        piece!(2: u16 at 0);
        piece!(1: u8 at 0);
        let _ = (to, from);
        out.set_len(len + bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::append;

    #[test]
    fn it_appends_what_extend_from_slice_appends() {
        let bytes: Vec<u8> = (0..200).collect();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for len in 0..bytes.len() {
            append(&mut ours, &bytes[bytes.len() - len..]);
            theirs.extend_from_slice(&bytes[bytes.len() - len..]);
            assert_eq!(ours, theirs, "{len} bytes");
        }
    }
}
