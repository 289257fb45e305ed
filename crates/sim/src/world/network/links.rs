use super::{Host, State};
use crate::world::{MICROSECOND, MILLISECOND, Nanos};

/// One way between two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Nothing comes through.
    pub cut: bool,
    /// What it takes at least.
    pub latency: Nanos,
    /// What it may take beyond that.
    pub jitter: Nanos,
    /// How many pieces in a thousand are lost, and sent again later.
    pub loss_per_mille: u64,
    /// Nanoseconds for each byte.
    pub byte_time: Nanos,
}

impl Default for Link {
    fn default() -> Self {
        Link {
            cut: false,
            latency: 50 * MICROSECOND,
            jitter: 200 * MICROSECOND,
            loss_per_mille: 0,
            byte_time: 1,
        }
    }
}

/// The first wait of a sender for the acknowledgement of a piece; it doubles with each that is lost.
const RESEND: Nanos = 200 * MILLISECOND;

impl State {
    pub(super) fn link(&self, from: Host, to: Host) -> Link {
        self.links.get(&(from, to)).copied().unwrap_or_default()
    }

    /// What one piece takes from one host to another, when nothing is lost.
    pub(super) fn travel(&mut self, from: Host, to: Host, bytes: usize) -> Nanos {
        if from == to {
            return 5 * MICROSECOND;
        }
        let link = self.link(from, to);
        link.latency + self.dice.below(link.jitter + 1) + link.byte_time * bytes as Nanos
    }

    /// How much later a piece comes because the link loses some.
    pub(super) fn resend(&mut self, from: Host, to: Host) -> Option<Nanos> {
        let link = self.link(from, to);
        if link.loss_per_mille == 0 || !self.dice.per_mille(link.loss_per_mille) {
            return None;
        }
        let mut wait = RESEND;
        while self.dice.per_mille(link.loss_per_mille) && wait < 16 * RESEND {
            wait *= 2;
        }
        Some(wait)
    }

    pub(super) fn is_dark(&self, host: Host) -> bool {
        self.dark.contains(&host)
    }

    /// Whether a piece comes through now.
    pub(super) fn passes(&self, from: Host, to: Host) -> bool {
        !self.link(from, to).cut && !self.is_dark(from) && !self.is_dark(to)
    }
}
