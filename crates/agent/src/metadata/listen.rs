//! Listening at the address of the metadata endpoint. It is on the machine's loopback device, so that containers reach it through
//! whatever gateway they have, and processes on the machine's own network directly. All agents of a machine share it.

use std::net::{Ipv4Addr, SocketAddrV4};

use tokio::net::{TcpListener, TcpSocket};

/// Where ECS's containers ask (ECS developer guide: task metadata endpoint).
pub(crate) const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 170, 2), 80);
/// The loopback device's number in each network namespace.
const LOOPBACK: u32 = 1;
const WAITING: u32 = 256;

/// Listens there, beside the machine's other agents.
///
/// # Errors
/// What stands in the way, and what to do.
pub(super) async fn listen() -> Result<TcpListener, String> {
    match bind() {
        Ok(listener) => return Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {}
        Err(error) => return Err(advice(&error)),
    }
    add_address().await.map_err(|error| {
        format!("cannot give this machine the address: {error}; run the agent as root or with CAP_NET_ADMIN")
    })?;
    bind().map_err(|error| advice(&error))
}

fn advice(error: &std::io::Error) -> String {
    use std::io::ErrorKind::{AddrInUse, PermissionDenied};
    match error.kind() {
        AddrInUse => "another program listens there; end it".to_owned(),
        PermissionDenied => {
            "port 80 is not for this user; run the agent as root or with CAP_NET_BIND_SERVICE".to_owned()
        }
        _ => error.to_string(),
    }
}

fn bind() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(ADDRESS.into())?;
    socket.listen(WAITING)
}

/// Stays when the agent is gone: another may use it, and without a listener it harms nobody.
async fn add_address() -> Result<(), String> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| error.to_string())?;
    let talking = tokio::spawn(connection);
    let request = handle.address().add(LOOPBACK, (*ADDRESS.ip()).into(), 32).replace();
    let added = request.execute().await;
    talking.abort();
    added.map_err(|error| error.to_string())
}
