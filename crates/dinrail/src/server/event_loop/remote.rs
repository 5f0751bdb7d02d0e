//! What other threads tell an event loop.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use mio::{Registry, Token, Waker};
use tracing::error;

/// The event of a command.
pub(super) const COMMANDS: Token = Token(usize::MAX);

/// Says from another thread what a loop is to do.
#[derive(Clone)]
pub(in crate::server) struct Remote(Arc<Inbox>);

struct Inbox {
    /// `None` when the loop has ended.
    commands: Mutex<Option<Vec<Command>>>,
    waker: Waker,
    /// The server's name, for the log.
    server: Box<str>,
}

pub(super) enum Command {
    /// End a connection that has been marked to end.
    Close(usize),
    /// Accept no more connections.
    End,
}

impl Remote {
    pub(super) fn new(registry: &Registry, server: &str) -> io::Result<Self> {
        let waker = Waker::new(registry, COMMANDS)?;
        Ok(Self(Arc::new(Inbox { commands: Mutex::new(Some(Vec::new())), waker, server: server.into() })))
    }

    /// Ends the connection of this key, if it is marked to end.
    pub(in crate::server) fn close(&self, key: usize) {
        self.send(Command::Close(key));
    }

    pub(super) fn send(&self, command: Command) {
        let first = match &mut *self.0.commands.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(commands) => {
                commands.push(command);
                commands.len() == 1
            }
            // With the loop its connections have ended.
            None => false,
        };
        // The first command wakes the loop for all that come before it looks.
        if first && let Err(error) = self.0.waker.wake() {
            error!(target: "dinrail::server", server = %self.0.server, %error, "cannot wake the event loop");
        }
    }

    /// Those that have come.
    pub(super) fn commands(&self) -> Vec<Command> {
        let mut commands = self.0.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// No more commands are taken: the loop has ended.
    pub(super) fn end(&self) {
        self.0.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
