//! Runs the script on standard input with dinrail's client.

use std::time::Duration;

use dinrail::client::{MAX_DEPTH, Options};
use dinrail::proto::client::Mismatch;
use dinrail::proto::error::ReplyError;
use dinrail::proto::pdu::device_id::ReadDeviceId;
use dinrail::proto::pdu::diagnostics::Diagnostic;
use dinrail::proto::pdu::file_record::FileRead;
use dinrail::transport::Endpoint;
use dinrail::{Client, Error, FunctionCode};
use dinrail_peer::script::{self, Before, NOT_OFFERED, Outcome, Step};
use tokio::task::JoinSet;

use crate::{LENGTHS, security};

const TIMEOUT: Duration = Duration::from_secs(2);

/// The first function code that is not the specification's.
const FIRST_OWN_CODE: u16 = 65;

type Called = Result<String, Error>;

fn written(done: Result<(), Error>) -> Called {
    done.map(|()| "written".to_owned())
}

/// The parts of `4:7:1711,190` as numbers.
fn parts(group: &str) -> Vec<u16> {
    group.split([':', ',']).filter_map(|part| part.parse().ok()).collect()
}

async fn read_file(client: &Client, step: &Step) -> Called {
    let reads: Vec<FileRead> = step
        .args
        .iter()
        .map(|group| parts(group))
        .filter_map(|parts| match parts[..] {
            [file, record, length] => Some(FileRead { file, record, length }),
            _ => None,
        })
        .collect();
    let groups = client.read_file_records(&reads).await?;
    Ok(groups.iter().map(|group| script::words(group)).collect::<Vec<_>>().join(" | "))
}

async fn write_file(client: &Client, step: &Step) -> Called {
    match parts(step.args.first().map_or("", String::as_str))[..] {
        [file, record, ref values @ ..] => written(client.write_file_record(file, record, values).await),
        _ => Ok(NOT_OFFERED.to_owned()),
    }
}

async fn server_id(client: &Client) -> Called {
    Ok(match client.report_server_id().await?[..] {
        [id, run, ref more @ ..] => {
            let state = if run == 0xFF { "on" } else { "off" };
            format!("id {id:02x} {state} {}", script::hex(more))
        }
        ref short => format!("id {}", script::hex(short)),
    })
}

async fn identity(client: &Client, step: &Step) -> Called {
    let object = u8::try_from(step.number(1)).unwrap_or_default();
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let level = match step.number(0) {
        1 => ReadDeviceId::Basic,
        2 => ReadDeviceId::Regular,
        3 => ReadDeviceId::Extended,
        _ => {
            let value = client.read_device_object(object).await?;
            return Ok(script::objects(&[(object, text(&value))]));
        }
    };
    let objects = client.read_device_identification(level).await?;
    let found: Vec<_> = objects.iter().map(|(&id, value)| (id, text(value))).collect();
    Ok(script::objects(&found))
}

async fn raw(client: &Client, step: &Step) -> Called {
    let code = step.number(0);
    let Some(function) = u8::try_from(code).ok().and_then(FunctionCode::new) else {
        return Ok(NOT_OFFERED.to_owned());
    };
    let reply = client.custom(function, &step.hex(1)).await?;
    Ok(if code < FIRST_OWN_CODE { "accepted".to_owned() } else { format!("reply {}", script::hex(&reply)) })
}

/// All calls are made at once; how many requests are on the line at a time is the client's depth.
async fn pipeline(client: &Client, step: &Step) -> Called {
    let (address, each, times) = (step.number(0), step.number(1), step.number(2));
    let mut calls = JoinSet::new();
    for index in 0..times {
        let client = client.clone();
        calls.spawn(async move { (index, client.read_holding_registers(address + index * each, each).await) });
    }
    let mut answers: Vec<_> = calls.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    let values = answers.into_iter().map(|(_, answer)| Ok(script::words(&answer?)));
    Ok(values.collect::<Result<Vec<_>, Error>>()?.join(" | "))
}

async fn call(client: &Client, step: &Step) -> Called {
    let (a, n) = (step.number(0), step.number(1));
    let registers = |values: Vec<u16>| script::words(&values);
    let bits = |values: Vec<bool>| script::digits(&values);
    match step.op.as_str() {
        "coils" => client.read_coils(a, n).await.map(bits),
        "discrete" => client.read_discrete_inputs(a, n).await.map(bits),
        "holding" => client.read_holding_registers(a, n).await.map(registers),
        "input" => client.read_input_registers(a, n).await.map(registers),
        "write-coil" => written(client.write_coil(a, n == 1).await),
        "write-register" => written(client.write_register(a, n).await),
        "write-coils" => written(client.write_coils(a, &step.bits(1)).await),
        "write-registers" => written(client.write_registers(a, &step.numbers(1)).await),
        "mask" => written(client.mask_write_register(a, n, step.number(2)).await),
        "read-write" => {
            let values = step.numbers(3);
            client.read_write_registers(a, n, step.number(2), &values).await.map(registers)
        }
        "fifo" => client
            .read_fifo_queue(a)
            .await
            .map(|queue| if queue.is_empty() { "empty".to_owned() } else { registers(queue) }),
        "file-read" => read_file(client, step).await,
        "file-write" => write_file(client, step).await,
        "status" => client.read_exception_status().await.map(|status| format!("status {status}")),
        "diagnostics" => {
            client.diagnostics(Diagnostic(a), &step.hex(1)).await.map(|data| format!("echo {}", script::hex(&data)))
        }
        "events" => client
            .comm_event_counter()
            .await
            .map(|counter| format!("status {} count {}", counter.status, counter.events)),
        "log" => client.comm_event_log().await.map(|log| {
            format!(
                "status {} count {} messages {} events {}",
                log.status,
                log.events,
                log.messages,
                script::hex(&log.log)
            )
        }),
        "server-id" => server_id(client).await,
        "device-id" => identity(client, step).await,
        "raw" => raw(client, step).await,
        "pipeline" => pipeline(client, step).await,
        _ => Ok(NOT_OFFERED.to_owned()),
    }
}

/// What came in the place of an answer, in words that do not change with the library's.
fn instead(mismatch: &Mismatch) -> String {
    match mismatch {
        Mismatch::Unit { .. } => "a reply of another unit".to_owned(),
        Mismatch::Reply(ReplyError::Function { received, .. }) => {
            format!("a reply of function {received:02x}")
        }
        Mismatch::Reply(ReplyError::Length { .. }) => "a reply of the wrong length".to_owned(),
        Mismatch::Reply(_) => "a reply that does not fit".to_owned(),
        other => format!("{other}"),
    }
}

fn seen(called: Called) -> Outcome {
    match called {
        Ok(detail) if detail == NOT_OFFERED => Outcome::failure(detail),
        Ok(detail) => Outcome::answer(detail),
        Err(Error::Exception(code)) => Outcome::exception(code.code()),
        Err(Error::Timeout { instead: None, .. }) => Outcome::failure("timeout"),
        Err(Error::Timeout { instead: Some(mismatch), .. }) => Outcome::failure(instead(&mismatch)),
        Err(Error::Lost { .. }) => Outcome::failure("closed"),
        Err(error) => Outcome::failure(format!("error: {error}")),
    }
}

async fn connect(end: &Endpoint) -> Result<Client, Error> {
    let options = Options::default().with_timeout(TIMEOUT).with_depth(MAX_DEPTH).with_custom_lengths(LENGTHS);
    Client::connect_with(end.clone(), options).await
}

/// Runs every step. Without a connection each says why there is none.
pub(crate) async fn run(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let end = security::client(url.parse()?);
    let mut connection = connect(&end).await;
    let mut before = Before::default();
    for step in script::steps() {
        if before.wants_fresh(&step) {
            if let Ok(client) = &connection {
                client.close();
            }
            connection = connect(&end).await;
        }
        let outcome = match &connection {
            Ok(client) => seen(call(&client.unit(step.unit), &step).await),
            Err(error) => Outcome::failure(format!("error: {error}")),
        };
        outcome.print(&step.case)?;
        before.remember(&step, &outcome);
    }
    Ok(())
}
