//! The options of a server: limits, times, and who may connect.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use dinrail::ExceptionCode;
use dinrail::server::{self, DiagnosticsMode, MissingUnit, Options};
use ipnet::IpNet;

use super::Checker;
use crate::config::problem::Problem;
use crate::config::read::At;
use crate::config::{Diagnostics, Limit, Ranges, Server, WhenFull};

/// The most threads that one server may have.
const MOST_THREADS: u16 = 256;

impl Checker<'_> {
    pub(super) fn options(&mut self, section: &Server) -> Options {
        let mut options = Options::default();
        if let Some(units) = &section.units {
            options = options.with_units(self.units(&units.value).into_iter().flatten());
        }
        if section.ignore_missing_units.as_ref().is_some_and(|ignore| ignore.value) {
            options = options.with_missing_units(MissingUnit::Ignore);
        }
        if let Some(limit) =
            self.at_least_one(&section.max_connections, "max_connections", "allow at least one connection")
        {
            options = options.with_max_connections(limit as usize);
        }
        if let Some(concurrency) =
            self.at_least_one(&section.concurrency, "concurrency", "allow at least one request at a time")
        {
            options = options.with_concurrency(concurrency as usize);
        }
        if let Some(rate) = self.at_least_one(&section.rate, "rate", "allow at least one request a second") {
            options = options.with_rate(rate);
        }
        if section.when_full.as_ref().is_some_and(|when| when.value == WhenFull::Refuse) {
            options = options.with_when_full(server::WhenFull::Refuse);
        }
        if let Some(Limit(time)) = section.idle_timeout.as_deref() {
            options = options.with_idle_timeout(*time);
        }
        if let Some(Limit(time)) = section.request_timeout.as_deref() {
            options = options.with_request_deadline(*time);
        }
        if let Some(code) = self.deadline_exception(section) {
            options = options.with_deadline_exception(code);
        }
        if let Some(Limit(time)) = section.keep_alive.as_deref() {
            options = options.with_keep_alive(*time);
        }
        if let Some(backlog) = self.at_least_one(&section.backlog, "backlog", "keep at least one new connection") {
            options = options.with_backlog(i32::try_from(backlog).unwrap_or(i32::MAX));
        }
        if let Some(reuse) = &section.reuse_address {
            options = options.with_reuse_address(reuse.value);
        }
        if let Some(reuse) = &section.reuse_port {
            options = options.with_reuse_port(reuse.value);
        }
        if let Some(interface) = &section.interface {
            if interface.value.is_empty() {
                let problem = Problem::new("`interface` is empty", &interface.span, "no name");
                self.add(problem.with_mend("name a network interface, or leave the key out for all"));
            } else {
                options = options.with_interface(interface.value.clone());
            }
        }
        if let Some(time) = self.time(&section.handshake_timeout, "a handshake has an end") {
            options = options.with_handshake_timeout(time);
        }
        if let Some(time) = self.time(&section.grace, "a stop has an end") {
            options = options.with_grace(time);
        }
        if let Some(broadcast) = &section.broadcast {
            options = options.with_broadcast(broadcast.value);
        }
        if let Some(diagnostics) = &section.diagnostics {
            options = options.with_diagnostics(match diagnostics.value {
                Diagnostics::Off => DiagnosticsMode::Off,
                Diagnostics::Live => DiagnosticsMode::Live,
                Diagnostics::Frozen => DiagnosticsMode::Frozen,
            });
        }
        if let Some(threads) = &section.threads {
            if (1..=MOST_THREADS).contains(&threads.value) {
                options = options.with_threads(usize::from(threads.value));
            } else {
                let problem =
                    Problem::new(format!("{} is no number of threads", threads.value), &threads.span, "1 to 256");
                self.add(problem.with_mend("take a number from 1 to 256, or leave the key out to share one"));
            }
        }
        options.with_allow(self.allowed(section))
    }

    fn at_least_one(&mut self, value: &Option<At<u32>>, name: &str, mend: &str) -> Option<u32> {
        let value = value.as_ref()?;
        if value.value == 0 {
            self.add(Problem::new(format!("`{name}` is 0"), &value.span, "0 allows nothing").with_mend(mend));
            return None;
        }
        Some(value.value)
    }

    /// Nobody knows what became of a request that takes too long: a code that says that nothing was done would be a lie.
    fn deadline_exception(&mut self, section: &Server) -> Option<ExceptionCode> {
        const MEND: &str = "take 0x04 (device failure) or 0x0B (the target does not answer)";
        let code = section.deadline_exception.as_ref()?;
        if code.value == 0 {
            self.add(Problem::new("0 is no exception code", &code.span, "1 to 255").with_mend(MEND));
            return None;
        }
        let exception = ExceptionCode::from(code.value);
        if code.value <= ExceptionCode::IllegalDataValue.code() {
            let title = format!("exception 0x{:02X} says that a request was wrong, not late", code.value);
            let problem = Problem::new(title, &code.span, exception.description());
            self.add(problem.with_mend(MEND));
        }
        if let Some(At { value: Limit(None), span }) = &section.request_timeout {
            let title = "no request takes too long for this server, so `deadline_exception` is never told";
            let problem = Problem::warning(title, &code.span, "never").with_other(span, "off");
            self.add(problem.with_mend("write a time, such as request_timeout = \"10s\", or take the key away"));
        }
        Some(exception)
    }

    fn time(&mut self, value: &Option<At<Limit>>, why: &str) -> Option<Duration> {
        let value = value.as_ref()?;
        if value.value.0.is_none() {
            self.add(
                Problem::new("\"off\" cannot be here", &value.span, why).with_mend("write a time, such as \"5s\""),
            );
        }
        value.value.0
    }

    fn allowed(&mut self, section: &Server) -> Vec<IpNet> {
        let mut nets = Vec::new();
        for text in section.allow.iter().flat_map(|allow| &allow.value) {
            let net = text.value.parse::<IpNet>().ok();
            match net.or_else(|| text.value.parse::<IpAddr>().ok().map(IpNet::from)) {
                Some(net) => nets.push(net),
                None => {
                    let title = format!("{:?} is no address and no network", text.value);
                    let problem = Problem::new(title, &text.span, "neither");
                    self.add(problem.with_mend("write one such as \"192.168.1.7\" or \"10.0.0.0/8\""));
                }
            }
        }
        nets
    }

    /// Each range of units; what is beyond 255 is said.
    pub(super) fn units(&mut self, Ranges(ranges): &Ranges) -> Vec<RangeInclusive<u8>> {
        let mut units: Vec<RangeInclusive<u8>> = Vec::new();
        for (index, range) in ranges.iter().enumerate() {
            let meets =
                |earlier: &&At<RangeInclusive<u16>>| earlier.start() <= range.end() && range.start() <= earlier.end();
            if let Some(earlier) = ranges[..index].iter().find(meets) {
                let unit = range.start().max(earlier.start());
                let problem = Problem::warning(format!("unit {unit} is named twice"), &range.span, "again")
                    .with_other(&earlier.span, "first here");
                self.add(problem.with_mend("name each unit once; if another one was meant, write that"));
            }
            match (u8::try_from(*range.start()), u8::try_from(*range.end())) {
                (Ok(first), Ok(last)) => units.push(first..=last),
                _ => {
                    let title = format!("units end at 255, not at {}", range.end());
                    self.add(Problem::new(title, &range.span, "too large").with_mend("take units from 0 to 255"));
                }
            }
        }
        units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(rest: &str) -> Options {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = directory.path().join("dinrail.toml");
        let text = format!("[[server]]\nname = \"plc\"\nlisten = \"tcp://127.0.0.1:0\"\n{rest}\n");
        std::fs::write(&path, text).expect("written");
        crate::load(path).expect(rest).servers[0].options.clone()
    }

    #[test]
    fn s004_11_a_file_says_what_a_late_request_is_told() {
        let late = options("request_timeout = \"250ms\"\ndeadline_exception = 0x04");
        assert_eq!(late.deadline_exception, ExceptionCode::ServerDeviceFailure);
        assert_eq!(late.request_deadline, Some(Duration::from_millis(250)));
        assert_eq!(options("deadline_exception = 255").deadline_exception, ExceptionCode::Other(255));
        assert_eq!(options("").deadline_exception, ExceptionCode::GatewayTargetFailedToRespond);
    }
}
