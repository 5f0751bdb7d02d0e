//! What a master is told when an upstream does not do what was asked.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use tracing::field::display;
use tracing::warn;

use crate::ExceptionCode;
use crate::point::Point;
use crate::service::{Failure, Target};

/// What became of a point, for the log and the master.
pub(super) struct Story<'a> {
    /// What was asked for, and by whom.
    pub(super) target: Target<'a>,
    /// "reading" or "writing".
    pub(super) doing: &'static str,
    pub(super) point: &'a Point,
    /// Points that the same request has written before.
    pub(super) written: &'a [&'a str],
}

impl Story<'_> {
    /// The failure with the exception that fits, and with one record for what nobody has meant.
    pub(super) fn ends(&self, failure: Failure) -> Failure {
        let Self { target: Target { unit, peer, .. }, doing, point, written } = self;
        let server = peer.server.as_deref().map(display);
        match failure {
            Failure::Exception(code) => {
                if !written.is_empty() {
                    warn!(
                        target: "dinrail::server",
                        server, %peer, %unit, point = point.name, ?written,
                        "{doing} was refused with exception {code}; what was written before stays"
                    );
                }
                Failure::Exception(code)
            }
            Failure::Error(error) => match exception(&*error) {
                Some(code) => {
                    warn!(
                        target: "dinrail::server",
                        server, %peer, %unit, point = point.name, ?written, error = &*error as &dyn StdError,
                        "{doing} failed: answered with exception {code}"
                    );
                    Failure::Exception(code)
                }
                None if written.is_empty() => Failure::message(format!("{doing} {}: {error}", point.name)),
                None => Failure::message(format!("{doing} {}: {error}; written before: {written:?}", point.name)),
            },
        }
    }
}

/// The exception for errors that say that somebody was not there, did not answer or is busy.
fn exception(error: &(dyn StdError + Send + Sync + 'static)) -> Option<ExceptionCode> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<tokio::time::error::Elapsed>() {
            return Some(ExceptionCode::GatewayTargetFailedToRespond);
        }
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(|error| of_kind(error.kind())) {
            return Some(code);
        }
        next = error.source();
    }
    None
}

fn of_kind(kind: ErrorKind) -> Option<ExceptionCode> {
    Some(match kind {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::NotConnected => ExceptionCode::GatewayPathUnavailable,
        ErrorKind::TimedOut
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => ExceptionCode::GatewayTargetFailedToRespond,
        ErrorKind::WouldBlock | ErrorKind::ResourceBusy => ExceptionCode::ServerDeviceBusy,
        _ => return None,
    })
}
