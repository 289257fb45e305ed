use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// `HOST:PORT`, where the host is an IP address (version 6 in brackets) or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

/// The text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: write HOST:PORT, as in 127.0.0.1:7070 or [::1]:7070")]
pub struct InvalidAddress(pub String);

impl Address {
    /// A port of this machine that only this machine reaches.
    #[must_use]
    pub fn loopback(port: u16) -> Address {
        Address {
            host: Host::Ip(Ipv4Addr::LOCALHOST.into()),
            port,
        }
    }

    /// The port; 0 stands for any that is free.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same host at another port.
    #[must_use]
    pub fn with_port(self, port: u16) -> Address {
        Address { port, ..self }
    }

    /// Whether only this machine reaches it. A name other than `localhost` counts as reachable: what it resolves to
    /// can change.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Ip(ip) => ip.is_loopback(),
            Host::Name(name) => name == "localhost",
        }
    }

    /// Whether it stands for every address of the machine.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        match &self.host {
            Host::Ip(ip) => ip.is_unspecified(),
            Host::Name(_) => false,
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().map_err(|_| invalid())?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(ip) => Host::Ip(IpAddr::V6(ip.parse().map_err(|_| invalid())?)),
            None => match host.parse::<Ipv4Addr>() {
                Ok(ip) => Host::Ip(ip.into()),
                Err(_) if is_host_name(host) => Host::Name(host.to_owned()),
                Err(_) => return Err(invalid()),
            },
        };
        Ok(Address { host, port })
    }
}

fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    // All digits would be an address of version 4 written wrongly.
    text.len() <= 253 && text.split('.').all(is_label) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(formatter, "[{ip}]:{}", self.port),
            Host::Ip(IpAddr::V4(ip)) => write!(formatter, "{ip}:{}", self.port),
            Host::Name(name) => write!(formatter, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["127.0.0.1:7070", "[::1]:1", "localhost:0", "node-1.example.com:65535"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":1",
            "127.0.0.1",
            "127.0.0.1:65536",
            "::1:7070",
            "300.1.1.1:1",
            "a b:1",
            "http://a:1",
            "[::1:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
