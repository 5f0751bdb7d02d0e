//! The blocking client: the asynchronous one, and a wait around each call.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::runtime::Handle;

use super::runtime::{handle, wait};
use crate::Error;
use crate::client::{CommEventCounter, CommEventLog, Options, RateLimit, Retry, Stats};
use crate::point::Point;
use crate::proto::pdu::device_id::ReadDeviceId;
use crate::proto::pdu::diagnostics::Diagnostic;
use crate::proto::pdu::file_record::{FileRead, FileWrite};
use crate::proto::value::Value;
use crate::proto::{Framing, FunctionCode, Pdu, Request, UnitId};
use crate::transport::{Connect, Stream, Tcp};

/// A client of one server, gateway or serial line, as [`crate::Client`], without `async`. Clones share the connection
/// and may be used from several threads at a time.
#[derive(Clone, Debug)]
pub struct Client {
    inner: crate::Client,
    runtime: &'static Handle,
}

impl Client {
    /// Connects to a Modbus TCP server: `host:port`, or `host` alone for port 502. Tries once.
    ///
    /// # Errors
    /// [`Error::Connect`] when nobody answers there.
    pub fn connect(server: impl Into<Tcp>) -> Result<Self, Error> {
        Self::connect_with(server.into(), Options::default())
    }

    /// Connects over any transport. Tries once; when the connection is lost later, it is made again as
    /// [`Options::reconnect`] says.
    ///
    /// # Errors
    /// [`Error::Connect`] when it cannot, and [`Error::Option`] for an option that cannot be.
    pub fn connect_with(connector: impl Connect, options: Options) -> Result<Self, Error> {
        let runtime = handle()?;
        let inner = wait(runtime, crate::Client::connect_with(connector, options))?;
        Ok(Self { inner, runtime })
    }

    /// A client that connects when it is first used, and from then on stays connected.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn lazy(connector: impl Connect, options: Options) -> Result<Self, Error> {
        let runtime = handle()?;
        let _inside = runtime.enter();
        Ok(Self { inner: crate::Client::lazy(connector, options), runtime })
    }

    /// A client over a stream that is already there. When that ends, so does the client.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn over(stream: impl Stream, framing: Framing, options: Options) -> Result<Self, Error> {
        let runtime = handle()?;
        let _inside = runtime.enter();
        Ok(Self { inner: crate::Client::over(stream, framing, options), runtime })
    }

    /// A blocking handle on a connection of the process's runtime.
    pub(super) fn of(inner: crate::Client, runtime: &'static Handle) -> Self {
        Self { inner, runtime }
    }

    /// Where it lives.
    pub(super) fn runtime(&self) -> &'static Handle {
        self.runtime
    }

    /// The asynchronous client over the same connection. Its retries need a runtime around them, as all of tokio does.
    pub fn as_async(&self) -> &crate::Client {
        &self.inner
    }

    /// A handle on the same connection whose calls go to `unit`; which unit this handle's go to says
    /// [`unit_id`](Self::unit_id).
    #[must_use]
    pub fn unit(&self, unit: impl Into<UnitId>) -> Self {
        Self { inner: self.inner.unit(unit), ..*self }
    }

    /// A handle on the same connection whose calls wait for an answer for so long.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { inner: self.inner.with_timeout(timeout), ..*self }
    }

    /// A handle on the same connection with other retries.
    #[must_use]
    pub fn with_retry(&self, retry: Retry) -> Self {
        Self { inner: self.inner.with_retry(retry), ..*self }
    }

    /// A handle on the same connection that sends its requests no faster than `limit` says, as
    /// [`crate::Client::with_rate_limit`].
    #[must_use]
    pub fn with_rate_limit(&self, limit: RateLimit) -> Self {
        Self { inner: self.inner.with_rate_limit(limit), ..*self }
    }

    /// The unit that this handle's calls go to.
    pub fn unit_id(&self) -> UnitId {
        self.inner.unit_id()
    }

    /// How long this handle's calls wait for an answer.
    pub fn timeout(&self) -> Duration {
        self.inner.timeout()
    }

    /// Who is at the other end, as errors name it.
    pub fn peer(&self) -> &str {
        self.inner.peer()
    }

    /// How frames are laid on the line.
    pub fn framing(&self) -> Framing {
        self.inner.framing()
    }

    /// Whether there is a connection, as far as is known.
    pub fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }

    /// What was seen so far.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// Closes the connection, for all clones. Closing again does nothing.
    pub fn close(&self) {
        self.inner.close();
    }
}

macro_rules! waiting {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*) => {
        /// Calls. Each waits for its answer; see the method of the same name of [`crate::Client`].
        impl Client {
            $(
                #[doc = concat!("[`crate::Client::", stringify!($name), "`], waiting for the answer.")]
                pub fn $name(&self, $($argument: $type),*) -> Result<$output, Error> {
                    wait(self.runtime, self.inner.$name($($argument),*))
                }
            )*
        }
    };
}

// A test holds this list against the asynchronous client's source.
waiting! {
    fn call(request: &Request<'_>) -> Option<Pdu>;
    fn call_pdu(request: &Pdu) -> Option<Pdu>;
    fn read_coils(address: u16, count: u16) -> Vec<bool>;
    fn read_coils_into(address: u16, values: &mut [bool]) -> ();
    fn read_discrete_inputs(address: u16, count: u16) -> Vec<bool>;
    fn read_discrete_inputs_into(address: u16, values: &mut [bool]) -> ();
    fn read_holding_registers(address: u16, count: u16) -> Vec<u16>;
    fn read_holding_registers_into(address: u16, values: &mut [u16]) -> ();
    fn read_input_registers(address: u16, count: u16) -> Vec<u16>;
    fn read_input_registers_into(address: u16, values: &mut [u16]) -> ();
    fn write_coil(address: u16, value: bool) -> ();
    fn write_register(address: u16, value: u16) -> ();
    fn write_coils(address: u16, values: &[bool]) -> ();
    fn write_registers(address: u16, values: &[u16]) -> ();
    fn mask_write_register(address: u16, and_mask: u16, or_mask: u16) -> ();
    fn read_write_registers(read_address: u16, read_count: u16, write_address: u16, values: &[u16]) -> Vec<u16>;
    fn read_file_record(file: u16, record: u16, length: u16) -> Vec<u16>;
    fn read_file_records(reads: &[FileRead]) -> Vec<Vec<u16>>;
    fn write_file_record(file: u16, record: u16, values: &[u16]) -> ();
    fn write_file_records(writes: &[FileWrite<'_>]) -> ();
    fn read_fifo_queue(address: u16) -> Vec<u16>;
    fn custom(function: FunctionCode, data: &[u8]) -> Vec<u8>;
    fn read_device_identification(level: ReadDeviceId) -> BTreeMap<u8, Vec<u8>>;
    fn read_device_object(object: u8) -> Vec<u8>;
    fn report_server_id() -> Vec<u8>;
    fn read_exception_status() -> u8;
    fn comm_event_counter() -> CommEventCounter;
    fn comm_event_log() -> CommEventLog;
    fn diagnostics(sub_function: Diagnostic, data: &[u8]) -> Vec<u8>;
    fn return_query_data(data: &[u8]) -> ();
    fn diagnostic_counter(sub_function: Diagnostic) -> u16;
    fn clear_diagnostic_counters() -> ();
    fn restart_communications(clear_event_log: bool) -> ();
    fn force_listen_only() -> ();
    fn read_point(point: &Point) -> Value;
    fn write_point(point: &Point, value: impl Into<Value>) -> ();
}

impl Client {
    /// [`crate::Client::read_points`], waiting for the answers.
    pub fn read_points(&self, points: &[Point]) -> Vec<Result<Value, Error>> {
        wait(self.runtime, self.inner.read_points(points))
    }
}
