//! What stands behind a server, as the console sees it: values are read as clients read them, and set in the data itself,
//! inputs included.

use std::time::Duration;

use dinrail::proto::error::ReplyError;
use dinrail::proto::pdu::{Bits, Registers};
use dinrail::proto::{Request, Response};
use dinrail::service::{BoxService, Call, Memory, Peer, Reply, Service, Sparse};
use dinrail::{Area, ExceptionCode, UnitId};
use tokio::time::timeout;

use super::command::Place;

/// The longest PDU, AP 4.1.
const PDU: usize = 253;
/// How long a service that waits for something else may take for one request.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a console reads from and writes to for one server. Clones are the same.
#[derive(Clone, Debug)]
pub struct Station {
    service: BoxService,
    units: Option<Vec<UnitId>>,
    store: Option<Store>,
}

/// Data that is the server's own.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    Memory(Memory),
    Sparse(Sparse),
}

impl Store {
    pub(crate) fn boxed(&self) -> BoxService {
        match self {
            Self::Memory(memory) => memory.clone().boxed(),
            Self::Sparse(sparse) => sparse.clone().boxed(),
        }
    }
}

impl Station {
    /// A server that asks `service`, for all units. Give what is behind rules and other limits for clients: the console is
    /// the operator's own. Coils and holding registers are set by writing to the service, and inputs cannot be set.
    pub fn new(service: impl Service) -> Self {
        Self { service: service.boxed(), units: None, store: None }
    }

    /// Of these units only, as [`Options::units`](dinrail::server::Options::units) says.
    #[must_use]
    pub fn with_units(mut self, units: Option<Vec<UnitId>>) -> Self {
        self.units = units;
        self
    }

    /// With data of its own in this store, where values of all four areas are set.
    #[must_use]
    pub fn with_memory(mut self, memory: Memory) -> Self {
        self.store = Some(Store::Memory(memory));
        self
    }

    /// As [`with_memory`](Self::with_memory); addresses that are not there cannot be set.
    #[must_use]
    pub fn with_sparse(mut self, sparse: Sparse) -> Self {
        self.store = Some(Store::Sparse(sparse));
        self
    }

    pub(crate) fn with_store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    pub(super) fn check_unit(&self, unit: UnitId) -> Result<(), String> {
        match &self.units {
            Some(units) if !units.contains(&unit) => {
                Err(format!("unit {unit} is not served here: take {}", ranges(units)))
            }
            _ => Ok(()),
        }
    }

    /// Reads registers, or bits as 0 and 1, in as many requests as it takes. A value is never torn between two of them.
    pub(super) async fn read(&self, unit: UnitId, peer: &Peer, place: Place, items: usize) -> Result<Vec<u16>, String> {
        let most = usize::from(place.area.max_read());
        let step = if place.width() <= most { most - most % place.width() } else { most };
        let mut values = Vec::with_capacity(items);
        while values.len() < items {
            let address = usize::from(place.address) + values.len();
            let count = step.min(items - values.len());
            // Both are in their limits: the place was checked when it was understood.
            let request = Request::Read { area: place.area, address: address as u16, count: count as u16 };
            let refused = |why: String| {
                let last = address + count - 1;
                if count == 1 {
                    format!("{} cannot be read: {why}", place.name(address))
                } else {
                    format!("{} to {} cannot be read: {why}", place.name(address), place.name(last))
                }
            };
            self.ask(unit, peer, &request, |response| match response {
                Response::ReadBits { values: bits, .. } => values.extend(bits.iter().map(u16::from)),
                Response::ReadRegisters { values: registers, .. } => values.extend(registers.iter()),
                _ => {}
            })
            .await
            .map_err(|failed| refused(failed.why))?;
        }
        Ok(values)
    }

    /// Sets registers, or bits, all or none.
    pub(super) async fn write(&self, unit: UnitId, peer: &Peer, place: Place, values: &[u16]) -> Result<(), String> {
        let (area, address) = (place.area, place.address);
        let set = match &self.store {
            Some(Store::Memory(memory)) => memory.set(area, address, values),
            Some(Store::Sparse(sparse)) => sparse.update(area, address, values),
            None => return self.forward(unit, peer, place, values).await,
        };
        set.map_err(|_| {
            let (first, last) = (usize::from(address), usize::from(address) + values.len() - 1);
            if first == last {
                format!("there is no {} in this server's data: take an address that can be read", place.name(first))
            } else {
                let (first, last) = (place.name(first), place.name(last));
                format!("not all of {first} to {last} are in this server's data, and none was set: take fewer")
            }
        })
    }

    /// Writes to a service that has its data elsewhere, as a client does.
    async fn forward(&self, unit: UnitId, peer: &Peer, place: Place, values: &[u16]) -> Result<(), String> {
        let (address, most) = (place.address, usize::from(place.area.max_write()));
        if !place.area.is_writable() {
            let sentence = "this server has no data of its own: inputs are set where they come from";
            return Err(sentence.to_owned());
        }
        if values.len() > most {
            let sentence = "this server has no data of its own, and one request carries";
            return Err(format!("{sentence} up to {most} values: set them in parts"));
        }
        let bits: Vec<bool> = values.iter().map(|value| *value != 0).collect();
        let request = if place.area == Area::Coil {
            Request::WriteMultipleCoils { address, values: Bits::from(&bits[..]) }
        } else {
            Request::WriteMultipleRegisters { address, values: Registers::from(values) }
        };
        let name = place.name(address.into());
        self.ask(unit, peer, &request, |_| {}).await.map_err(|Failed { why, is_unknown }| match is_unknown {
            true => format!("nobody knows whether {name} was set: {why}; read it before you set it again"),
            false => format!("{name} was not set: {why}"),
        })
    }

    async fn ask(
        &self,
        unit: UnitId,
        peer: &Peer,
        request: &Request<'_>,
        answered: impl FnOnce(Response<'_>),
    ) -> Result<(), Failed> {
        let pdu = request.encode().map_err(|error| Failed::surely(error.to_string()))?;
        let mut room = [0; PDU];
        let mut call = Call::new(unit, peer, pdu.as_bytes(), &mut room);
        let reply = match self.service.call_now(&mut call) {
            Some(reply) => reply,
            None => timeout(DEADLINE, self.service.call(call)).await.map_err(|_| Failed {
                why: format!("no answer within {} s; see where the data comes from", DEADLINE.as_secs()),
                is_unknown: true,
            })?,
        };
        match reply {
            Reply::Response(written) => {
                answered(Response::decode(request, &room[..written.length()]).map_err(|error| match error {
                    ReplyError::Exception(code) => Failed::with(code),
                    _ => Failed { why: error.to_string(), is_unknown: true },
                })?);
                Ok(())
            }
            Reply::Exception(code) => Err(Failed::with(code)),
            Reply::Silent => Err(Failed { why: format!("unit {unit} does not answer"), is_unknown: true }),
        }
    }
}

/// Why something was not read or set.
struct Failed {
    why: String,
    /// It may have been set all the same.
    is_unknown: bool,
}

impl Failed {
    fn surely(why: String) -> Self {
        Self { why, is_unknown: false }
    }

    fn with(code: ExceptionCode) -> Self {
        // A device that failed, goes on by itself, or was not heard of may have done it (AP 7).
        let is_unknown = matches!(
            code,
            ExceptionCode::ServerDeviceFailure
                | ExceptionCode::Acknowledge
                | ExceptionCode::GatewayTargetFailedToRespond
        );
        Self { why: format!("exception {code}"), is_unknown }
    }
}

/// `1-3, 17`.
fn ranges(units: &[UnitId]) -> String {
    let mut numbers: Vec<u8> = units.iter().map(|unit| unit.0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let runs = numbers.chunk_by(|one, next| one + 1 == *next).map(|run| match run {
        [only] => only.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use dinrail::service::{Read, Write, callbacks};

    use super::*;

    fn place(area: Area, address: u16) -> Place {
        let name = if area.is_bits() { "bit:0" } else { "u16" };
        Place { area, address, data_type: name.parse().expect(name) }
    }

    #[tokio::test]
    async fn s002_13_what_is_set_is_read_in_all_areas_up_to_the_last_address() {
        let memory = Memory::new();
        let station = Station::new(memory.clone()).with_memory(memory);
        let (unit, peer) = (UnitId(1), Peer::on("console"));
        for area in Area::ALL {
            let most = usize::from(area.max_read());
            let first = place(area, (0x1_0000 - 2 * most) as u16);
            let values: Vec<u16> = (0..2 * most).map(|value| (value % 2) as u16).collect();
            station.write(unit, &peer, first, &values).await.expect("there is room");
            assert_eq!(station.read(unit, &peer, first, values.len()).await, Ok(values), "{area}");
            assert_eq!(station.read(unit, &peer, place(area, 0), 0x1_0000).await.map(|all| all.len()), Ok(0x1_0000));
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_said_and_nothing_is_set() {
        let memory = Memory::with_sizes(10, 10, 10, 10);
        let station = Station::new(memory.clone()).with_memory(memory.clone());
        let (unit, peer) = (UnitId(1), Peer::default());
        let hr = |address| place(Area::HoldingRegister, address);
        let error = station.write(unit, &peer, hr(9), &[1, 2]).await.expect_err("too long");
        assert!(error.starts_with("not all of hr:9 to hr:10 are in this server's data, and none was set"), "{error}");
        assert_eq!(memory.value(Area::HoldingRegister, 9), Some(0));
        let error = station.read(unit, &peer, hr(10), 1).await.expect_err("not there");
        assert_eq!(error, "hr:10 cannot be read: exception 0x02 (illegal data address)");

        let sparse = Sparse::new();
        sparse.set(Area::InputRegister, 5, &[1]);
        let station = Station::new(sparse.clone()).with_sparse(sparse.clone());
        station.write(unit, &peer, place(Area::InputRegister, 5), &[7]).await.expect("there");
        let error = station.write(unit, &peer, place(Area::InputRegister, 6), &[7]).await.expect_err("not there");
        assert!(error.starts_with("there is no ir:6 in this server's data"), "{error}");
        assert_eq!(sparse.value(Area::InputRegister, 5), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn who_sets_and_gets_no_answer_in_time_is_not_told_that_nothing_was_set() {
        let slow = callbacks(
            |_: Read| async { Ok(vec![0]) },
            |_: Write| async {
                std::future::pending::<()>().await;
                Ok(())
            },
        );
        let set = Station::new(slow).write(UnitId(1), &Peer::default(), place(Area::HoldingRegister, 1), &[1]).await;
        let error = set.expect_err("no answer");
        assert!(error.starts_with("nobody knows whether hr:1 was set: no answer within 10 s"), "{error}");
    }

    #[tokio::test]
    async fn s002_13_a_server_without_data_is_written_to_and_says_so_of_its_inputs() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let log = written.clone();
        let service = callbacks(
            |read: Read| Ok(vec![read.address; read.count.into()]),
            move |write: Write| {
                if write.address == 99 {
                    return Err(ExceptionCode::IllegalDataAddress.into());
                }
                log.lock().expect("nobody panics").push((write.area, write.address));
                Ok(())
            },
        );
        let station = Station::new(service).with_units(Some(vec![UnitId(3), UnitId(1), UnitId(2), UnitId(17)]));
        let (unit, peer) = (UnitId(1), Peer::default());
        station.write(unit, &peer, place(Area::HoldingRegister, 5), &[1, 2]).await.expect("taken");
        station.write(unit, &peer, place(Area::Coil, 6), &[1]).await.expect("taken");
        assert_eq!(*written.lock().expect("nobody panics"), [(Area::HoldingRegister, 5), (Area::Coil, 6)]);
        for (at, values, part) in [
            (place(Area::InputRegister, 0), vec![1], "no data of its own: inputs are set where they come from"),
            (place(Area::DiscreteInput, 0), vec![1], "no data of its own: inputs"),
            (place(Area::HoldingRegister, 0), vec![1; 124], "up to 123 values: set them in parts"),
            (place(Area::HoldingRegister, 99), vec![1], "hr:99 was not set: exception 0x02"),
        ] {
            let error = station.write(unit, &peer, at, &values).await.expect_err(part);
            assert!(error.contains(part), "{error}");
        }
        // What a device behind a gateway did is not known.
        for (code, part) in [
            (ExceptionCode::GatewayTargetFailedToRespond, "nobody knows whether hr:1 was set: exception 0x0b"),
            (ExceptionCode::ServerDeviceBusy, "hr:1 was not set: exception 0x06"),
        ] {
            let far = callbacks(|_: Read| Ok(vec![0]), move |_: Write| Err(code.into()));
            let error = Station::new(far).write(unit, &peer, place(Area::HoldingRegister, 1), &[1]).await;
            let error = error.expect_err(part);
            assert!(error.starts_with(part), "{error}");
        }
        let error = station.check_unit(UnitId(4)).expect_err("not served");
        assert_eq!(error, "unit 4 is not served here: take 1-3, 17");
    }
}
