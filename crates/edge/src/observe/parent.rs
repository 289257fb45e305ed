use client::wire::TRACEPARENT_HEADER;
use environment::Chance;

use axum::http::HeaderMap;

/// The place of a request in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub trace: u128,
    /// The caller's span.
    pub parent: Option<u64>,
    /// This node's span.
    pub span: u64,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl Place {
    /// The place that a caller gave, continued here; a new trace where it gave none that can be read.
    pub fn of(given: Option<Parent>, chance: &dyn Chance) -> Place {
        // Zero stands for "none" in the format.
        let number = || chance.next_u64().max(1);
        match given {
            Some(parent) => Place {
                trace: parent.trace,
                parent: Some(parent.span),
                span: number(),
                sampled: parent.sampled,
            },
            None => Place {
                trace: (u128::from(number()) << 64) | u128::from(number()),
                parent: None,
                span: number(),
                sampled: false,
            },
        }
    }

    /// For a request that this one makes in its turn.
    pub fn to_header(self) -> String {
        format!(
            "00-{:032x}-{:016x}-{:02x}",
            self.trace,
            self.span,
            u8::from(self.sampled)
        )
    }
}

/// The span of a caller, as the header `traceparent` gives it (W3C Trace Context, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent {
    pub trace: u128,
    pub span: u64,
    pub sampled: bool,
}

impl Parent {
    /// None where there is none, or none that can be read: the standard says to begin a new trace then.
    pub fn of(headers: &HeaderMap) -> Option<Parent> {
        let mut given = headers.get_all(TRACEPARENT_HEADER).iter();
        let (only, more) = (given.next()?, given.next());
        match more {
            None => Parent::parse(only.to_str().ok()?.trim()),
            Some(_) => None,
        }
    }

    fn parse(text: &str) -> Option<Parent> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next()?;
            let sound = part.len() == digits
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
            sound.then(|| u128::from_str_radix(part, 16).ok()).flatten()
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        // Later versions may add fields; this one has none.
        let ends = parts.next().is_none() || version > 0;
        let sound = version != 0xff && trace != 0 && span != 0 && ends;
        sound.then_some(Parent {
            trace,
            span: span as u64,
            sampled: flags & 1 == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Chance for Fixed {
        fn next_u64(&self) -> u64 {
            0x0102_0304_0506_0708
        }
    }

    #[test]
    fn a_parent_is_read_and_continued() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = Parent::parse(text).unwrap();
        assert_eq!(parent.span, 0x00f0_67aa_0ba9_02b7);
        let place = Place::of(Some(parent), &Fixed);
        assert_eq!(place.parent, Some(parent.span));
        assert_eq!(
            place.to_header(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0102030405060708-01"
        );
        assert_eq!(
            Parent::parse(&place.to_header()).map(|next| next.trace),
            Some(parent.trace)
        );
    }

    #[test]
    fn what_is_no_parent_begins_a_new_trace() {
        for text in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Parent::parse(text), None, "{text}");
        }
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what-comes";
        assert_eq!(Parent::parse(later).map(|parent| parent.sampled), Some(false));
        let fresh = Place::of(None, &Fixed);
        assert_eq!((fresh.parent, fresh.sampled), (None, false));
    }
}
