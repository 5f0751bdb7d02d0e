//! Runs the script on standard input with tokio-modbus' client.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use dinrail_peer::script::{self, Before, NOT_OFFERED, Outcome, Step};
use tokio::time::timeout;
use tokio_modbus::Error;
use tokio_modbus::client::{Context, tcp};
use tokio_modbus::prelude::*;

const TIMEOUT: Duration = Duration::from_secs(2);

type Called = Result<Result<String, ExceptionCode>, Error>;

fn written<E>(done: Result<(), E>) -> Result<String, E> {
    done.map(|()| "written".to_owned())
}

/// FC 43/14: the library reads one reply, the stream is followed here.
async fn identity(context: &mut Context, code: u16, first: u16) -> Called {
    let Some(code) = u8::try_from(code).ok().and_then(ReadCode::try_from_value) else {
        return Ok(Ok(NOT_OFFERED.to_owned()));
    };
    let mut next = u8::try_from(first).unwrap_or_default();
    let mut found = BTreeMap::new();
    for _ in 0..10 {
        let reply = match context.read_device_identification(code, next).await? {
            Ok(reply) => reply,
            Err(exception) => return Ok(Err(exception)),
        };
        for object in reply.device_id_objects {
            found.insert(object.id, String::from_utf8_lossy(&object.value).into_owned());
        }
        if !reply.more_follows {
            break;
        }
        next = reply.next_object_id;
    }
    Ok(Ok(script::objects(&found.into_iter().collect::<Vec<_>>())))
}

/// Any function code with any body. A known code's exception comes back as a mismatch, because the
/// library compares `Custom(3)` with `ReadHoldingRegisters`; the exception is in the error.
async fn raw(context: &mut Context, step: &Step) -> Called {
    let code = u8::try_from(step.number(0)).unwrap_or_default();
    let reply = match context.call(Request::Custom(code, Cow::Owned(step.hex(1)))).await {
        Err(Error::Protocol(ProtocolError::FunctionCodeMismatch { result: Err(refused), .. })) => {
            Err(refused.exception)
        }
        other => other?,
    };
    Ok(reply.map(|response| match response {
        Response::Custom(_, body) => format!("reply {}", script::hex(&body)),
        other => format!("reply {other:?}"),
    }))
}

async fn call(context: &mut Context, step: &Step) -> Called {
    let (a, n) = (step.number(0), step.number(1));
    Ok(match step.op.as_str() {
        "coils" => context.read_coils(a, n).await?.map(|values| script::digits(&values)),
        "discrete" => context.read_discrete_inputs(a, n).await?.map(|values| script::digits(&values)),
        "holding" => context.read_holding_registers(a, n).await?.map(|values| script::words(&values)),
        "input" => context.read_input_registers(a, n).await?.map(|values| script::words(&values)),
        "write-coil" => written(context.write_single_coil(a, n == 1).await?),
        "write-register" => written(context.write_single_register(a, n).await?),
        "write-coils" => written(context.write_multiple_coils(a, &step.bits(1)).await?),
        "write-registers" => written(context.write_multiple_registers(a, &step.numbers(1)).await?),
        "mask" => written(context.masked_write_register(a, n, step.number(2)).await?),
        "read-write" => context
            .read_write_multiple_registers(a, n, step.number(2), &step.numbers(3))
            .await?
            .map(|values| script::words(&values)),
        "server-id" => context.call(Request::ReportServerId).await?.map(|response| match response {
            Response::ReportServerId(id, running, additional) => {
                let state = if running { "on" } else { "off" };
                format!("id {id:02x} {state} {}", script::hex(&additional))
            }
            other => format!("{other:?}"),
        }),
        "device-id" => return identity(context, a, n).await,
        "raw" => return raw(context, step).await,
        _ => Ok(NOT_OFFERED.to_owned()),
    })
}

fn seen(called: Called) -> Outcome {
    match called {
        Ok(Ok(detail)) if detail == NOT_OFFERED => Outcome::failure(detail),
        Ok(Ok(detail)) => Outcome::answer(detail),
        Ok(Err(exception)) => Outcome::exception(exception.into()),
        Err(Error::Transport(error)) => match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Outcome::failure("closed"),
            // The stream ended: the library reports whatever errno was last.
            _ if error.raw_os_error().is_some() => Outcome::failure("closed"),
            _ => Outcome::failure(format!("error: {error}")),
        },
        Err(error) => Outcome::failure(format!("error: {error}")),
    }
}

/// Runs every step.
pub(crate) async fn run(server: &str) -> io::Result<()> {
    let address: SocketAddr = server.parse().map_err(io::Error::other)?;
    let mut context = tcp::connect(address).await?;
    let mut before = Before::default();
    for step in script::steps() {
        if before.wants_fresh(&step) {
            context = tcp::connect(address).await?;
        }
        context.set_slave(Slave(step.unit));
        let outcome = match timeout(TIMEOUT, call(&mut context, &step)).await {
            Ok(called) => seen(called),
            Err(_) => Outcome::failure("timeout"),
        };
        outcome.print(&step.case)?;
        before.remember(&step, &outcome);
    }
    Ok(())
}
