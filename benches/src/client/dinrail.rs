//! dinrail as a client: one handle for each connection, cloned for the calls that share it. Depth 16 is the most there
//! is, and is asked for; everything else is as it comes.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use dinrail::Client;
use dinrail::client::{MAX_DEPTH, Options};
use dinrail::transport::Tcp;

use super::ClientReport;
use super::tasks::{BLOCK, Caller, measure};
use crate::frame::UNIT;
use crate::load::Until;
use crate::peer::Shape;

pub(super) fn call(target: SocketAddr, shape: Shape, until: Until) -> Result<ClientReport> {
    ensure!(shape.calls <= MAX_DEPTH, "dinrail keeps at most {MAX_DEPTH} requests in flight");
    let connect = || async {
        let mut callers = Vec::with_capacity(shape.connections * shape.calls);
        for _ in 0..shape.connections {
            let options = Options::default().with_unit(UNIT).with_depth(shape.calls);
            let client = Client::connect_with(Tcp::new(target), options).await?;
            callers.extend((0..shape.calls).map(|_| Calling(client.clone())));
        }
        Ok(callers)
    };
    measure(connect, until)
}

struct Calling(Client);

impl Caller for Calling {
    async fn read(&mut self, address: u16) -> Option<Vec<u16>> {
        self.0.read_holding_registers(address, BLOCK).await.ok()
    }
}
