//! Serving a serial port. There are no connections: the port is one line for as long as it is there, and is opened again
//! when it comes back.

use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, error, info, warn};

use super::accept::Listening;
use super::connection::{self, Known};
use super::entry::Keeper;
use super::line::Wire;
use super::medium::{Medium, Start};
use super::options::{MissingUnit, Options};
use super::shaped::Around;
use super::shared::Shared;
use super::threads;
use crate::Error;
use crate::backoff::Backoff;
use crate::proto::Framing;
use crate::service::{Peer, Service};
use crate::transport::{Connect, Link, Role, Serial, SerialPort, Tapped, Trace};

impl Medium for Serial {}

impl Start for Serial {
    type Local = Arc<str>;

    fn prepare(&self, options: &mut Options) {
        options.framing = Connect::framing(self);
        options.missing_units = MissingUnit::Ignore;
        // A line is no connection that somebody else might want.
        options.idle_timeout = None;
    }

    #[allow(private_interfaces)]
    async fn start<S: Service>(&self, service: &Arc<S>, shared: &Arc<Shared>) -> Result<Arc<str>, Error> {
        start(self, None::<()>, service, shared)
    }
}

/// Opens a port and serves it, with something around it if so wanted.
pub(super) fn start<S: Service>(
    port: &Serial,
    around: Option<impl Around>,
    service: &Arc<S>,
    shared: &Arc<Shared>,
) -> Result<Arc<str>, Error> {
    let name: Arc<str> = port.to_string().into();
    let failed = |source: std::io::Error| Error::Bind { address: name.clone(), source: Arc::new(source) };
    let line = SerialLine { port: port.clone(), around, service: service.clone(), shared: shared.clone() };
    let listening = Listening::new(shared);
    match shared.options.threads {
        None => {
            let stream = port.open(Some(&shared.options.name)).map_err(failed)?;
            tokio::spawn(line.run(stream, listening));
        }
        // One line needs one thread.
        Some(_) => {
            let (opened, result) = std::sync::mpsc::sync_channel(1);
            threads::spawn_one(shared, move || async move {
                match line.port.open(Some(&line.shared.options.name)) {
                    Ok(stream) => {
                        let _ = opened.send(Ok(()));
                        line.run(stream, listening).await;
                    }
                    Err(error) => drop(opened.send(Err(error))),
                }
            })?;
            // Opening a port is a matter of microseconds.
            result.recv().unwrap_or_else(|_| Err(std::io::ErrorKind::BrokenPipe.into())).map_err(failed)?;
        }
    }
    Ok(name)
}

struct SerialLine<S, A> {
    around: Option<A>,
    port: Serial,
    service: Arc<S>,
    shared: Arc<Shared>,
}

impl<S: Service, A: Around> SerialLine<S, A> {
    /// Serves until the server stops, however often the port goes away meanwhile.
    async fn run(self, stream: SerialPort, listening: Listening) {
        let mut next = Some(stream);
        let (server, port) = (&self.shared.options.name, &self.port);
        let mut tries = 0;
        while let Some(stream) = next {
            let since = Instant::now();
            self.serve(stream).await;
            if self.shared.is_stopping() {
                break;
            }
            let Some(waits) = self.shared.options.reconnect else {
                error!(target: "dinrail::server", %server, %port, "the serial port is gone, and the server ends");
                // Nobody else says why it has ended.
                let _ = self.shared.failure.set(Error::Gone { port: port.to_string().into() });
                self.shared.abort();
                break;
            };
            warn!(
                target: "dinrail::server", %server, %port,
                "the serial port is gone; it is opened again when it is back"
            );
            // A port that is there and gone at once is no reason to hurry.
            if since.elapsed() > waits.max {
                tries = 0;
            }
            tokio::select! {
                () = self.shared.until_stopping() => break,
                stream = self.open_again(waits, &mut tries) => next = Some(stream),
            }
        }
        drop(listening);
    }

    async fn open_again(&self, waits: Backoff, tries: &mut u32) -> SerialPort {
        loop {
            let pause = waits.wait(*tries);
            *tries = tries.saturating_add(1);
            tokio::time::sleep(pause).await;
            match self.port.open(Some(&self.shared.options.name)) {
                Ok(stream) => {
                    info!(
                        target: "dinrail::server", server = %self.shared.options.name, port = %self.port,
                        "the serial port is back"
                    );
                    return stream;
                }
                Err(error) => debug!(
                    target: "dinrail::server", server = %self.shared.options.name, port = %self.port, %error,
                    "cannot open the serial port; trying again"
                ),
            }
        }
    }

    /// Serves the port until it is gone.
    async fn serve(&self, stream: SerialPort) {
        let Ok(entry) = self.shared.admit(Peer::on(&self.port.to_string())) else {
            return;
        };
        // A stop that came before this was in the table does not know of it.
        if self.shared.is_stopping() {
            return self.shared.release(&entry);
        }
        let mut wire = Wire::new(&self.shared.options, self.port.burst());
        wire.strict = (self.port.is_strict() && wire.framing == Framing::Rtu).then(|| self.port.tear());
        wire.echo = self.port.has_local_echo();
        wire.exact = self.port.is_real_time();
        wire.byte_time = self.port.byte_time();
        let known = Known::new(self.shared.clone(), entry.clone());
        // A task of its own, since a stop ends a line as it ends a connection.
        let service = self.service.clone();
        let task = match &self.around {
            None => tokio::spawn(connection::run(stream, wire, service, known)),
            Some(around) => {
                let mut link = Link::new(Role::Server, &self.port.to_string(), wire.framing);
                link.burst = self.port.burst();
                let seen = Tapped::new(stream, link, Trace::new().with_hex());
                tokio::spawn(connection::run(around.stream(seen), wire, service, known))
            }
        };
        entry.set_keeper(Keeper::Task(task.abort_handle()));
        let _ = task.await;
    }
}
