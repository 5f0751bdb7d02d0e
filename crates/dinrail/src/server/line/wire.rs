//! How bytes travel on a connection or line.

use std::time::Duration;

use crate::proto::adu::CustomLength;
use crate::proto::server::Units;
use crate::proto::{Framing, UnitId};
use crate::server::DiagnosticsMode;
use crate::server::options::{MissingUnit, Options};
use crate::transport::{Burst, patience};

/// How long a stream may pause within a frame whose length nothing tells: a segment of TCP that was lost comes again sooner.
const STALLED: Duration = Duration::from_millis(500);

/// How bytes travel, and what that means for a server.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Wire {
    pub(in crate::server) framing: Framing,
    pub(super) burst: Burst,
    /// Whether unit 0 means every unit. If not, it is nobody's on a shared line, and a unit like others elsewhere.
    pub(super) broadcast: bool,
    /// Whether other devices answer on the same line; whose units these are, nobody else knows.
    pub(super) is_shared: bool,
    pub(super) units: Units,
    pub(super) custom_lengths: &'static [CustomLength],
    /// Who answers FC 8, 11 and 12.
    pub(super) diagnostics: DiagnosticsMode,
    /// Frames must be whole between two silences, without a gap of this length inside.
    pub(in crate::server) strict: Option<Duration>,
    /// The line repeats what is sent.
    pub(in crate::server) echo: bool,
    /// Whether silences are kept by the kernel's clock.
    pub(in crate::server) exact: bool,
    /// How long a byte takes.
    pub(in crate::server) byte_time: Duration,
    /// How long the rest of a frame may be in coming.
    pub(super) patience: Duration,
}

impl Wire {
    pub(in crate::server) fn new(options: &Options, burst: Burst) -> Self {
        let is_bus = matches!(burst, Burst::Silence(_));
        // Who ignores the units of others leaves them to others.
        let is_shared = is_bus || options.missing_units == MissingUnit::Ignore;
        let mut units: Units = match &options.units {
            Some(units) if is_shared => units.iter().copied().collect(),
            _ => Units::ALL,
        };
        let broadcast = options.broadcast.unwrap_or(is_bus || options.framing.is_shared_line());
        if broadcast {
            // It is nobody else's, whatever the framing makes of it.
            units.insert(UnitId::BROADCAST);
        }
        Self {
            framing: options.framing,
            burst,
            broadcast,
            is_shared,
            units,
            custom_lengths: options.custom_lengths,
            diagnostics: options.diagnostics.unwrap_or(if is_bus {
                DiagnosticsMode::Live
            } else {
                DiagnosticsMode::Off
            }),
            strict: None,
            echo: false,
            exact: false,
            byte_time: Duration::ZERO,
            patience: if burst == Burst::Never {
                patience(options.framing).max(STALLED)
            } else {
                patience(options.framing)
            },
        }
    }

    /// Whether it is Modbus TCP with nothing unusual about it, which has a faster way of its own.
    pub(in crate::server) fn is_plain_tcp(&self) -> bool {
        self.framing == Framing::Tcp && self.burst == Burst::Never && !self.broadcast
    }
}
