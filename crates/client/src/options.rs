use std::time::Duration;

use crate::{Error, limits};

/// How a client reaches a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `HOST:PORT` of HTTP of one or more members. The others are learnt.
    pub addresses: Vec<String>,
    /// For how long a request is tried. Reads and streams that are followed: how long they may be interrupted.
    pub deadline: Duration,
    /// Requests in flight at most, from 1 to [`limits::IN_FLIGHT_MAX`]; further ones wait.
    pub in_flight_max: usize,
    /// For people: what the client is called.
    pub name: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            addresses: Vec::new(),
            deadline: limits::DEADLINE,
            in_flight_max: limits::IN_FLIGHT_MAX,
            name: "client".into(),
        }
    }
}

impl Options {
    /// The default ones, to those addresses.
    pub fn new<A: Into<String>>(addresses: impl IntoIterator<Item = A>) -> Self {
        Options {
            addresses: addresses.into_iter().map(Into::into).collect(),
            ..Options::default()
        }
    }

    /// With another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// With another deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What contradicts.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<(), Error> {
        if self.addresses.is_empty() {
            return Err(Error::Invalid(
                "no address of the cluster: give HOST:PORT of one member at least".into(),
            ));
        }
        if self.addresses.len() > limits::ADDRESSES_MAX {
            return Err(Error::Invalid(format!("more than {} addresses", limits::ADDRESSES_MAX)));
        }
        if let Some(address) = self.addresses.iter().find(|address| !is_address(address)) {
            return Err(Error::Invalid(format!(
                "{address:?} is no address: give HOST:PORT, such as 127.0.0.1:7070"
            )));
        }
        if !(1..=limits::IN_FLIGHT_MAX).contains(&self.in_flight_max) {
            return Err(Error::Invalid(format!(
                "{} requests in flight: give 1 to {}",
                self.in_flight_max,
                limits::IN_FLIGHT_MAX
            )));
        }
        Ok(())
    }
}

/// Whether `address` has the form `HOST:PORT`.
fn is_address(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    !host.is_empty() && !host.contains(['/', ' ']) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in ["127.0.0.1:7070", "[::1]:7070", "node-1.example:80"] {
            assert!(Options::new([good]).check().is_ok(), "{good}");
        }
        for bad in ["", "7070", "host", ":7070", "host:0", "host:99999", "http://host:80"] {
            assert!(Options::new([bad]).check().is_err(), "{bad}");
        }
        assert!(Options::default().check().is_err());
    }

    #[test]
    fn addresses_and_requests_in_flight_are_bounded() {
        let many = |count: usize| Options::new((1..=count).map(|port| format!("127.0.0.1:{port}")));
        assert_eq!(many(limits::ADDRESSES_MAX).check(), Ok(()));
        assert!(many(limits::ADDRESSES_MAX + 1).check().is_err());
        for (in_flight_max, fits) in [
            (0, false),
            (1, true),
            (limits::IN_FLIGHT_MAX, true),
            (limits::IN_FLIGHT_MAX + 1, false),
        ] {
            let options = Options {
                in_flight_max,
                ..many(1)
            };
            assert_eq!(options.check().is_ok(), fits, "{in_flight_max}");
        }
        assert_eq!(many(1).deadline, limits::DEADLINE);
    }
}
