//! What may pass from whom to whom.

use tokio::sync::watch;

use crate::plan::{NODES, Way};

/// Who sends first on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Node(usize),
    /// A client, or a node that passes a client's request on.
    Client,
    /// A node that has no id yet: it is joining.
    Nobody,
}

/// What passes on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Open,
    /// Nothing is read and nothing is lost: as with a network that drops every packet for a while.
    Held,
    /// Connections end, and new ones end at once.
    Cut,
}

/// How one link is, and how often its connections were ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub flow: Flow,
    pub resets: u32,
}

type Table = [[Link; NODES + 2]; NODES];

/// All links, by who is called and who calls.
pub struct Links(watch::Sender<Table>);

/// One link as a connection sees it.
#[derive(Clone)]
pub struct Watched {
    table: watch::Receiver<Table>,
    to: usize,
    from: usize,
}

impl Caller {
    fn column(self) -> usize {
        match self {
            Caller::Node(number) => number.min(NODES + 1),
            Caller::Client => NODES,
            Caller::Nobody => NODES + 1,
        }
    }
}

impl Links {
    pub fn new() -> Links {
        let open = Link {
            flow: Flow::Open,
            resets: 0,
        };
        Links(watch::Sender::new([[open; NODES + 2]; NODES]))
    }

    pub fn watch(&self, from: Caller, to: usize) -> Watched {
        Watched {
            table: self.0.subscribe(),
            to,
            from: from.column(),
        }
    }

    /// Sets the links between a node and its peers.
    pub fn set_peers(&self, node: usize, way: Way, flow: Flow) {
        self.each_peer_link(node, way, |link| link.flow = flow);
    }

    /// Ends the connections between a node and its peers.
    pub fn reset_peers(&self, node: usize) {
        self.each_peer_link(node, Way::Both, |link| link.resets += 1);
    }

    fn each_peer_link(&self, node: usize, way: Way, change: impl Fn(&mut Link)) {
        self.0.send_modify(|table| {
            for other in (0..NODES).filter(|other| *other != node) {
                if way != Way::Outbound {
                    change(&mut table[node][other]);
                }
                if way != Way::Inbound {
                    change(&mut table[other][node]);
                }
            }
        });
    }

    /// Holds what passes between a node and the clients.
    pub fn hold_clients(&self, node: usize) {
        self.0
            .send_modify(|table| table[node][Caller::Client.column()].flow = Flow::Held);
    }

    /// Ends the connections between a node and the clients.
    pub fn reset_clients(&self, node: usize) {
        self.0
            .send_modify(|table| table[node][Caller::Client.column()].resets += 1);
    }

    pub fn open_all(&self) {
        self.0.send_modify(|table| {
            for link in table.iter_mut().flatten() {
                link.flow = Flow::Open;
            }
        });
    }
}

impl Watched {
    pub fn now(&mut self) -> Link {
        self.table.borrow_and_update()[self.to][self.from]
    }

    /// Ends when any link has changed since [`Watched::now`]. Nobody changes links once the table is gone.
    pub async fn changed(&mut self) {
        if self.table.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[test]
fn a_way_is_cut_and_the_other_stays_open() {
    let links = Links::new();
    let flow = |from, to| links.watch(from, to).now().flow;
    links.set_peers(1, Way::Inbound, Flow::Cut);
    assert_eq!(flow(Caller::Node(0), 1), Flow::Cut);
    assert_eq!(flow(Caller::Node(1), 0), Flow::Open);
    assert_eq!(flow(Caller::Node(0), 2), Flow::Open);
    assert_eq!(flow(Caller::Client, 1), Flow::Open);
    links.set_peers(1, Way::Both, Flow::Held);
    assert_eq!([flow(Caller::Node(2), 1), flow(Caller::Node(1), 2)], [Flow::Held; 2]);
    links.open_all();
    assert_eq!(flow(Caller::Node(2), 1), Flow::Open);
    links.reset_peers(1);
    assert_eq!(links.watch(Caller::Node(1), 2).now().resets, 1);
}
