//! tokio-modbus as a server, on a current_thread runtime: with TCP_NODELAY, and as it comes, with Nagle's algorithm on.

use std::future::{Ready, ready};

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response};

use super::runtime;
use super::store;

/// Serves until standard input closes.
pub(super) fn serve(listener: std::net::TcpListener, nodelay: bool) -> Result<()> {
    runtime()?.block_on(async {
        let server = Server::new(TcpListener::from_std(listener)?);
        let connected = |stream: TcpStream, _| async move {
            if nodelay {
                stream.set_nodelay(true)?;
            }
            Ok(Some((Registers, stream)))
        };
        // A client that resets is no concern of the benchmark's; lost replies are counted at the other end.
        server.serve(&connected, |_error| {}).await?;
        Ok(())
    })
}

struct Registers;

impl Service for Registers {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        ready(match request {
            Request::ReadHoldingRegisters(address, count) => {
                let from = usize::from(address);
                store::read(|registers| {
                    let read = registers.get(from..from + usize::from(count));
                    read.map(|values| Response::ReadHoldingRegisters(values.to_vec()))
                        .ok_or(ExceptionCode::IllegalDataAddress)
                })
            }
            Request::WriteMultipleRegisters(address, values) => {
                let from = usize::from(address);
                store::write(|registers| {
                    let to = registers.get_mut(from..from + values.len()).ok_or(ExceptionCode::IllegalDataAddress)?;
                    to.copy_from_slice(&values);
                    Ok(Response::WriteMultipleRegisters(address, values.len() as u16))
                })
            }
            _ => Err(ExceptionCode::IllegalFunction),
        })
    }
}
