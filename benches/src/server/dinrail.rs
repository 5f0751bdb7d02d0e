//! dinrail as a server: two callbacks over the store, every check of the specification, and the options as they come
//! but for the number of connections.

use std::sync::Arc;

use anyhow::Result;
use dinrail::server::{Options, Server};
use dinrail::service::{Failure, Read, ValuesMut, Write, callbacks};
use dinrail::{Area, ExceptionCode, Service};

use super::store::Store;
use super::{announce, runtime};

/// Serves until standard input closes.
pub(super) fn serve(port: u16) -> Result<()> {
    runtime()?.block_on(async {
        let options = Options::default().with_max_connections(100_000usize);
        let server = Server::tcp(format_args!("127.0.0.1:{port}"), registers()).with_options(options);
        announce(server.start().await?.port())?;
        Ok(server.serve().await?)
    })
}

/// What a user would write who holds registers in memory.
fn registers() -> impl Service {
    let store = Arc::new(Store::new());
    let written = store.clone();
    let on_read = move |read: Read, out: &mut ValuesMut<'_>| -> Result<(), Failure> {
        if read.area != Area::HoldingRegister {
            return Err(ExceptionCode::IllegalDataAddress.into());
        }
        out.set(&store.registers()[read.range()])
    };
    let on_write = move |write: Write| -> Result<(), Failure> {
        let values = write.values.as_registers().ok_or(ExceptionCode::IllegalDataAddress)?;
        let mut registers = written.registers();
        for (register, value) in registers[write.range()].iter_mut().zip(values.iter()) {
            *register = value;
        }
        Ok(())
    };
    callbacks(on_read, on_write)
}
