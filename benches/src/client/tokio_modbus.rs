//! tokio-modbus as a client. A context takes one call at a time, so calls that share a connection queue for it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_modbus::client::{Context, Reader, tcp};
use tokio_modbus::slave::Slave;

use super::ClientReport;
use super::tasks::{BLOCK, Caller, measure};
use crate::frame::UNIT;
use crate::load::Until;
use crate::peer::Shape;

pub(super) fn call(target: SocketAddr, shape: Shape, until: Until) -> Result<ClientReport> {
    if shape.calls == 1 {
        return measure(|| connect(target, shape.connections), until);
    }
    let queueing = || async {
        let contexts = connect(target, shape.connections).await?;
        let shared = contexts.into_iter().map(|Alone(context)| Arc::new(Mutex::new(context)));
        Ok(shared.flat_map(|context| (0..shape.calls).map(move |_| Queueing(context.clone()))).collect())
    };
    measure(queueing, until)
}

async fn connect(target: SocketAddr, connections: usize) -> Result<Vec<Alone>> {
    let mut callers = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = TcpStream::connect(target).await?;
        stream.set_nodelay(true)?;
        callers.push(Alone(tcp::attach_slave(stream, Slave(UNIT))));
    }
    Ok(callers)
}

struct Alone(Context);

impl Caller for Alone {
    async fn read(&mut self, address: u16) -> Option<Vec<u16>> {
        self.0.read_holding_registers(address, BLOCK).await.ok()?.ok()
    }
}

struct Queueing(Arc<Mutex<Context>>);

impl Caller for Queueing {
    async fn read(&mut self, address: u16) -> Option<Vec<u16>> {
        self.0.lock().await.read_holding_registers(address, BLOCK).await.ok()?.ok()
    }
}
