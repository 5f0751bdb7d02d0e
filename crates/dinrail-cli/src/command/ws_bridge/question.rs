//! What peers say and are told, as JSON.

use std::time::SystemTime;

use dinrail::point::Point;
use dinrail::proto::value::{DataType, Order, Value};
use dinrail::{Area, Client, Error};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio_tungstenite::tungstenite::Message;

use super::place::Place;
use crate::args::{Reference, parse, parse_area, short_name};
use crate::output::{JsonValue, timestamp};

/// What a peer may send.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    action: Action,
    area: Option<String>,
    address: u16,
    count: Option<u16>,
    value: Option<Json>,
    values: Option<Vec<Json>>,
    unit: Option<u8>,
    r#type: Option<String>,
    order: Option<String>,
    id: Option<Json>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Action {
    Read,
    Write,
}

/// What a peer is told.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Answer {
    Data(Found),
    Update(Found),
    Written {
        #[serde(flatten)]
        at: At,
        count: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Json>,
    },
    Error {
        error: String,
        /// The device's exception.
        #[serde(skip_serializing_if = "Option::is_none")]
        exception: Option<u8>,
        /// Of a write: "unknown", or "not done".
        #[serde(skip_serializing_if = "Option::is_none")]
        outcome: Option<&'static str>,
        /// What was asked for, where that is known.
        #[serde(flatten)]
        at: Option<At>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Json>,
    },
}

#[derive(Serialize)]
pub(super) struct Found {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(flatten)]
    at: At,
    values: Vec<JsonValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Json>,
}

#[derive(Serialize)]
pub(super) struct At {
    area: &'static str,
    address: u16,
    unit: u8,
}

impl From<Place> for At {
    fn from(Place { start: Reference { area, address }, unit, .. }: Place) -> Self {
        Self { area: short_name(area), address, unit }
    }
}

impl Answer {
    /// Values that somebody watches.
    pub(super) fn update(place: Place, values: Vec<JsonValue>, now: SystemTime) -> Self {
        Self::Update(Found { time: Some(timestamp(now)), at: place.into(), values, id: None })
    }

    /// A call that came to nothing.
    pub(super) fn failed(place: Option<Place>, error: &Error, is_write: bool, id: Option<Json>) -> Self {
        let outcome = is_write.then(|| if error.outcome_unknown() { "unknown" } else { "not done" });
        let exception = error.exception().map(|code| code.code());
        Self::Error { error: error.to_string(), exception, outcome, at: place.map(At::from), id }
    }

    /// A message that cannot be understood or is not allowed.
    pub(super) fn complaint(sentence: impl Into<String>, id: Option<Json>) -> Self {
        Self::Error { error: sentence.into(), exception: None, outcome: None, at: None, id }
    }

    pub(super) fn message(&self) -> Message {
        let text = serde_json::to_string(self);
        // All of it can be written as JSON; should it not, the peer is told that much.
        Message::text(text.unwrap_or_else(|_| r#"{"type":"error","error":"the answer is no JSON"}"#.to_owned()))
    }
}

/// Does what a message asks for, and says what happened.
pub(super) async fn answer(client: &Client, unit: u8, allow_writes: bool, text: &str) -> Answer {
    // First as any JSON, so that a complaint carries the id, too.
    let json: Json = match serde_json::from_str(text) {
        Ok(json) => json,
        Err(error) => return Answer::complaint(format!("the message is no JSON: {error}"), None),
    };
    let mut question = match Question::deserialize(&json) {
        Ok(question) => question,
        Err(error) => {
            return Answer::complaint(format!("the message is no question: {error}"), json.get("id").cloned());
        }
    };
    let id = question.id.take();
    match question.action {
        Action::Read => match question.place(unit) {
            Err(sentence) => Answer::complaint(sentence, id),
            Ok(place) => match place.read(client).await {
                Ok(values) => Answer::Data(Found { time: None, at: place.into(), values, id }),
                Err(error) => Answer::failed(Some(place), &error, false, id),
            },
        },
        Action::Write if !allow_writes => {
            Answer::complaint("writing is not allowed: start the bridge with --allow-writes", id)
        }
        Action::Write => match question.writing(unit) {
            Err(sentence) => Answer::complaint(sentence, id),
            Ok((place, values)) => match write(client, place, &values).await {
                Ok(()) => Answer::Written { at: place.into(), count: place.count, id },
                Err(error) => Answer::failed(Some(place), &error, true, id),
            },
        },
    }
}

impl Question {
    fn place(&self, unit: u8) -> Result<Place, String> {
        if self.value.is_some() || self.values.is_some() {
            return Err("a read has no values: leave them out, or write".to_owned());
        }
        let place = self.whatever(unit, self.count.unwrap_or(1))?;
        place.checked(place.start.area.max_read())
    }

    fn writing(&self, unit: u8) -> Result<(Place, Vec<Value>), String> {
        let values = match (&self.value, &self.values, self.count) {
            (Some(value), None, None) => std::slice::from_ref(value),
            (None, Some(values), None) => values,
            (_, _, Some(_)) => return Err("a write has as many values as it writes: leave the count out".to_owned()),
            _ => return Err("a write needs a value, or values in a list".to_owned()),
        };
        let count = u16::try_from(values.len()).map_err(|_| "too many values: write in parts".to_owned())?;
        let place = self.whatever(unit, count)?;
        let area = place.start.area;
        if !area.is_writable() {
            return Err(format!("{}: {area}s cannot be written, only co: and hr: can", place.start));
        }
        if matches!(place.data_type, DataType::Bit(_)) && count > 1 {
            return Err("of a register's bits, one is written at a time".to_owned());
        }
        let place = place.checked(area.max_write())?;
        let data_type = if area.is_bits() { DataType::Bit(0) } else { place.data_type };
        let values = values.iter().map(|value| value_of(data_type, value)).collect::<Result<_, _>>()?;
        Ok((place, values))
    }

    fn whatever(&self, unit: u8, count: u16) -> Result<Place, String> {
        let area = self.area.as_deref().map_or(Ok(Area::HoldingRegister), area)?;
        let data_type = match &self.r#type {
            None => DataType::U16,
            Some(_) if area.is_bits() => return Err(format!("{area}s are bits: leave the type out")),
            Some(name) => name.parse().map_err(|error| format!("{error}"))?,
        };
        let order = self.order.as_deref().map_or(Ok(Order::default()), str::parse);
        let order = order.map_err(|error| error.to_string())?;
        let start = Reference { area, address: self.address };
        Ok(Place { unit: self.unit.unwrap_or(unit), start, count, data_type, order })
    }
}

/// The two letters, or the whole name as programs write it.
fn area(name: &str) -> Result<Area, String> {
    let whole = Area::ALL.into_iter().find(|area| area.to_string().replace(' ', "_") == name);
    whole.map_or_else(|| parse_area(name), Ok)
}

/// Numbers, `true` and `false` as they are; everything else in the words of `dinrail write`.
fn value_of(data_type: DataType, json: &Json) -> Result<Value, String> {
    match json {
        Json::String(text) => parse(data_type, text),
        Json::Number(_) | Json::Bool(_) => parse(data_type, &json.to_string()),
        other => Err(format!("{other} is no value: write numbers, true, false or strings")),
    }
}

async fn write(client: &Client, place: Place, values: &[Value]) -> Result<(), Error> {
    let client = client.unit(place.unit);
    let Reference { area, address } = place.start;
    match values {
        // One bit of a register is not written with its neighbours.
        [value] => {
            let point = Point::new(place.start.to_string(), area, address);
            client.write_point(&point.with_type(place.data_type).with_order(place.order), *value).await
        }
        values if area.is_bits() => {
            let bits: Vec<bool> = values.iter().map(|value| *value == Value::Bit(true)).collect();
            client.write_coils(address, &bits).await
        }
        values => {
            let mut registers = vec![0; values.len() * place.width()];
            for (value, room) in values.iter().zip(registers.chunks_exact_mut(place.width())) {
                let error = |source| Error::Point { name: place.start.to_string().into(), source };
                place.data_type.encode(value, place.order, room).map_err(error)?;
            }
            client.write_registers(address, &registers).await
        }
    }
}
