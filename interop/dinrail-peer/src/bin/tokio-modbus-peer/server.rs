//! Serves the suite's data set with tokio-modbus.
//!
//! The library leaves all checks to the service; this one makes those of the specification that the
//! library's request still shows. What it refuses before the service is asked is its own behaviour.

use std::future::{self, Ready};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use dinrail_peer::cells::{self, Cells};
use tokio::net::{TcpListener, TcpStream};
use tokio_modbus::bytes::Bytes;
use tokio_modbus::prelude::*;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::{Server, accept_tcp_connection};

/// What fits an FC 43/14 reply: 253 bytes less function code and the six header bytes.
const IDENTITY_ROOM: usize = 246;

struct Units(Mutex<[Cells; 2]>);

type Answer = Result<Response, ExceptionCode>;

impl Service for Units {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Answer>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let mut units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        future::ready(match request.slave {
            unit @ (1 | 2) => answer(&mut units[usize::from(unit) - 1], request.request),
            _ => Err(ExceptionCode::GatewayTargetDevice),
        })
    }
}

fn at<T: Copy>(cells: &[T], address: u16, count: u16, limit: u16) -> Result<Vec<T>, ExceptionCode> {
    if count == 0 || count > limit {
        return Err(ExceptionCode::IllegalDataValue);
    }
    let range = cells::range(address, count.into()).ok_or(ExceptionCode::IllegalDataAddress)?;
    Ok(cells[range].to_vec())
}

fn put<T: Copy>(cells: &mut [T], address: u16, values: &[T]) -> Result<u16, ExceptionCode> {
    let range = cells::range(address, values.len()).ok_or(ExceptionCode::IllegalDataAddress)?;
    cells[range].copy_from_slice(values);
    u16::try_from(values.len()).map_err(|_| ExceptionCode::IllegalDataValue)
}

fn answer(unit: &mut Cells, request: Request<'_>) -> Answer {
    Ok(match request {
        Request::ReadCoils(a, n) => Response::ReadCoils(at(&unit.coils, a, n, 2000)?),
        Request::ReadDiscreteInputs(a, n) => Response::ReadDiscreteInputs(at(&unit.discretes, a, n, 2000)?),
        Request::ReadHoldingRegisters(a, n) => Response::ReadHoldingRegisters(at(&unit.holdings, a, n, 125)?),
        Request::ReadInputRegisters(a, n) => Response::ReadInputRegisters(at(&unit.inputs, a, n, 125)?),
        Request::WriteSingleCoil(a, on) => {
            put(&mut unit.coils, a, &[on])?;
            Response::WriteSingleCoil(a, on)
        }
        Request::WriteSingleRegister(a, value) => {
            put(&mut unit.holdings, a, &[value])?;
            Response::WriteSingleRegister(a, value)
        }
        Request::WriteMultipleCoils(a, values) => Response::WriteMultipleCoils(a, put(&mut unit.coils, a, &values)?),
        Request::WriteMultipleRegisters(a, values) => {
            Response::WriteMultipleRegisters(a, put(&mut unit.holdings, a, &values)?)
        }
        Request::MaskWriteRegister(a, and, or) => {
            let old = at(&unit.holdings, a, 1, 1)?[0];
            put(&mut unit.holdings, a, &[(old & and) | (or & !and)])?;
            Response::MaskWriteRegister(a, and, or)
        }
        Request::ReadWriteMultipleRegisters(from, count, to, values) => {
            at(&unit.holdings, from, count, 125)?;
            put(&mut unit.holdings, to, &values)?;
            Response::ReadWriteMultipleRegisters(at(&unit.holdings, from, count, 125)?)
        }
        Request::ReportServerId => Response::ReportServerId(cells::SERVER_ID, true, cells::SERVER_ADDITIONAL.to_vec()),
        Request::ReadDeviceIdentification(code, object) => Response::ReadDeviceIdentification(identity(code, object)?),
        Request::Custom(cells::CUSTOM_CODE, body) => {
            Response::Custom(cells::CUSTOM_CODE, body.iter().rev().copied().collect::<Bytes>())
        }
        Request::Custom(..) => return Err(ExceptionCode::IllegalFunction),
    })
}

/// The library leaves the choice of objects and the segmentation to the service as well.
fn identity(code: ReadCode, first: ObjectId) -> Result<ReadDeviceIdentificationResponse, ExceptionCode> {
    let last: ObjectId = match code {
        ReadCode::Basic => 0x02,
        ReadCode::Regular => 0x7F,
        ReadCode::Extended => 0xFF,
        ReadCode::Specific => first,
    };
    let all = cells::identity();
    let known = all.iter().any(|(id, _)| *id == first);
    if code == ReadCode::Specific && !known {
        return Err(ExceptionCode::IllegalDataAddress);
    }
    let first = if known { first } else { 0 };
    let mut reply = ReadDeviceIdentificationResponse {
        read_code: code,
        conformity_level: ConformityLevel::ExtendedIdentification,
        more_follows: false,
        next_object_id: 0,
        device_id_objects: Vec::new(),
    };
    let mut room = IDENTITY_ROOM;
    for (id, value) in all.into_iter().filter(|(id, _)| (first..=last).contains(id)) {
        if room < value.len() + 2 {
            reply.more_follows = true;
            reply.next_object_id = id;
            break;
        }
        room -= value.len() + 2;
        reply.device_id_objects.push(DeviceIdObject { id, value: Bytes::from(value) });
    }
    Ok(reply)
}

/// Listens on a free port, prints it, and serves until killed.
pub(crate) async fn run() -> io::Result<()> {
    let units = Arc::new(Units(Mutex::new(cells::UNITS.map(Cells::of_unit))));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    let on_connected = |stream: TcpStream, peer| {
        let units = Arc::clone(&units);
        async move {
            // The library leaves this to the application, too: without it a pipelined client
            // waits for delayed acknowledgements.
            stream.set_nodelay(true)?;
            accept_tcp_connection(stream, peer, |_| Ok(Some(Arc::clone(&units))))
        }
    };
    Server::new(listener).serve(&on_connected, |_| {}).await
}
