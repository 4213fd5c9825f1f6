//! Which connections are open to a port of this machine, as the kernel says: a proof of what was closed that nobody's own
//! counters have a part in.

use std::collections::BTreeSet;
use std::fs;
use std::io;

const TABLE: &str = "/proc/net/tcp";
const ESTABLISHED: &str = "01";

/// The local ports of all established connections to `port`.
pub(super) fn open_to(port: u16) -> io::Result<BTreeSet<u16>> {
    Ok(read(&fs::read_to_string(TABLE)?, port))
}

fn read(table: &str, port: u16) -> BTreeSet<u16> {
    let connections = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (local, remote, state) = (columns.next()?, columns.next()?, columns.next()?);
        let port_of = |address: &str| u16::from_str_radix(address.split_once(':')?.1, 16).ok();
        (state == ESTABLISHED && port_of(remote)? == port).then(|| port_of(local))?
    });
    connections.collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_seen_from_its_beginning_to_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(open_to(address.port()).unwrap().is_empty());
        let connection = TcpStream::connect(address).unwrap();
        let port = connection.local_addr().unwrap().port();
        assert_eq!(open_to(address.port()).unwrap(), BTreeSet::from([port]));
        drop(connection);
        assert!(open_to(address.port()).unwrap().is_empty());
    }

    #[test]
    fn only_established_connections_to_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
                     0: 0100007F:1F90 00000000:0000 0A 0:0\n\
                     1: 0100007F:C001 0100007F:1F90 01 0:0\n\
                     2: 0100007F:C002 0100007F:1F90 06 0:0\n\
                     3: 0100007F:1F90 0100007F:C001 01 0:0\n";
        assert_eq!(read(table, 8080), BTreeSet::from([0xc001]));
    }
}
