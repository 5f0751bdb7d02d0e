//! dinrail as a server: two callbacks over the store, every check of the specification, and the options as they come
//! but for the number of connections.

use anyhow::Result;
use dinrail::server::{Metrics, Options, Server};
use dinrail::service::{Failure, Read, ValuesMut, Write, callbacks};
use dinrail::{Area, ExceptionCode, Service};

use super::{announce, runtime, store};

/// Serves until standard input closes: on one loop of its own, or with `None` in this runtime; counting where there are metrics.
pub(super) fn serve(port: u16, threads: Option<usize>, metrics: Option<Metrics>) -> Result<()> {
    runtime()?.block_on(async {
        let options = Options::default().with_max_connections(100_000usize).with_threads(threads).with_metrics(metrics);
        let server = Server::tcp(format_args!("127.0.0.1:{port}"), registers()).with_options(options);
        announce(server.start().await?.port())?;
        Ok(server.serve().await?)
    })
}

/// What a user would write who holds registers in memory.
fn registers() -> impl Service {
    let on_read = |read: Read, out: &mut ValuesMut<'_>| -> Result<(), Failure> {
        if read.area != Area::HoldingRegister {
            return Err(ExceptionCode::IllegalDataAddress.into());
        }
        store::read(|registers| out.set(&registers[read.range()]))
    };
    let on_write = |write: Write| -> Result<(), Failure> {
        let values = write.values.as_registers().ok_or(ExceptionCode::IllegalDataAddress)?;
        store::write(|registers| values.copy_to(&mut registers[write.range()]));
        Ok(())
    };
    callbacks(on_read, on_write)
}
