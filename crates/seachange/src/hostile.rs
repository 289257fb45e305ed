//! What an operator writes by hand, with every mistake: configuration files, addresses, and whole command lines.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::CommandFactory;
use proptest::prelude::*;

use crate::allocations::peak_bytes;
use crate::commands::{Arguments, Wanted};
use crate::config::{Address, Config};
use crate::mutations::{cases, hostile};

const CONFIG: &str = "name = \"a\"\ndata = \"./data\"\nhttp = \"127.0.0.1:7070\"\npeer = \"127.0.0.1:7071\"\n\
    join = \"node-1.example:7071\"\nlog = \"info,node=debug\"\nlog_json = true\n[limits]\nlog_segment_bytes = 67108864\n\
    cache_bytes = 16777216\n";

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn configurations_are_read(bytes in hostile(vec![CONFIG.as_bytes().to_vec()])) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (config, peak) = peak_bytes(|| Config::of_text(&text));
        prop_assert!(peak <= (64 << 10) + 256 * text.len(), "{peak} for {}", text.len());
        if let Ok(config) = config {
            prop_assert!(machine::manifest::is_name(&config.name));
            prop_assert!(config.insecure_network || config.http.is_loopback() && config.peer.is_loopback());
        }
    }

    #[test]
    fn addresses_are_read(bytes in hostile(vec![b"127.0.0.1:7070".to_vec(), b"[::1]:1".to_vec(), b"a-b.example:80".to_vec()])) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
        }
    }

    #[test]
    fn command_lines_are_understood_or_refused(bytes in hostile(vec![
        b"seachange\nsend\nledger\nopen\n{}\n--at\n127.0.0.1:1\n--json".to_vec(),
        b"seachange\n--color\nnever\nscan\nledger\naccounts\n--limit\n10\n--prefix\na".to_vec(),
        b"seachange\nserve\n--http\n127.0.0.1:0\n--cache-bytes\n16777216".to_vec(),
    ])) {
        let words: Vec<OsString> = bytes.split(|byte| *byte == b'\n').map(|word| OsString::from_vec(word.to_vec())).collect();
        let _ = Wanted::by(&words);
        // Only understood, never run.
        let _ = Arguments::command().try_get_matches_from(&words);
    }
}
