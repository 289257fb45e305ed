use sdk::Refusal;

/// What the query takes: `u32 length of the program, program` (little-endian), and the document, which is the rest.
///
/// The host writes it: `transform::payload` of crate `host` is this layout's other half.
pub(crate) struct Payload<'a> {
    pub(crate) program: &'a str,
    pub(crate) document: &'a [u8],
}

impl<'a> Payload<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let short = || {
            Refusal::coded(
                "malformed",
                "the payload is too short: give the program's length in four bytes, the program, and the document",
            )
        };
        let (length, rest) = bytes.split_first_chunk().ok_or_else(short)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| short())?;
        let (program, document) = rest.split_at_checked(length).ok_or_else(short)?;
        match std::str::from_utf8(program) {
            Ok(program) => Ok(Payload { program, document }),
            Err(error) => Err(Refusal::coded(
                "bad_program",
                format!(
                    "the program is not UTF-8 after its first {} bytes: send it as such",
                    error.valid_up_to()
                ),
            )),
        }
    }
}
