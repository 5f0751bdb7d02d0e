//! What is known about a device, its state and its line.

use std::collections::BTreeMap;

use super::Client;
use super::exchange::{Asked, Exchange};
use crate::Error;
use crate::proto::pdu::device_id::ReadDeviceId;
use crate::proto::pdu::diagnostics::Diagnostic;
use crate::proto::{Request, Response};

/// How many replies of [`Client::read_device_identification`] are followed; 256 objects are at most so many.
const MAX_SEGMENTS: usize = 256;

/// The communication event counter of a device (FC 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommEventCounter {
    /// 0xFFFF while the device is still busy with an earlier command, else 0.
    pub status: u16,
    /// Requests done, exceptions and polls aside.
    pub events: u16,
}

/// The communication event log of a device (FC 12).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommEventLog {
    /// 0xFFFF while the device is still busy with an earlier command, else 0.
    pub status: u16,
    /// Requests done, exceptions and polls aside.
    pub events: u16,
    /// Messages handled since the last restart.
    pub messages: u16,
    /// Up to 64 events, the newest first (AP 6.10).
    pub log: Vec<u8>,
}

/// Identification, status and diagnostics. Devices on TCP often know only the first of them.
impl Client {
    /// Reads what a device says about itself (FC 43 / 14), object by object; asks again while it says that more follow.
    /// [`ReadDeviceId::Individual`] is [`read_device_object`](Self::read_device_object).
    pub async fn read_device_identification(&self, level: ReadDeviceId) -> Result<BTreeMap<u8, Vec<u8>>, Error> {
        let mut objects = BTreeMap::new();
        let mut next = Some(0);
        for _ in 0..MAX_SEGMENTS {
            let Some(object) = next else { break };
            let known = objects.len();
            next = self.read_objects(level, object, &mut objects).await?;
            // A device that repeats itself would go on for ever.
            if objects.len() == known {
                break;
            }
        }
        Ok(objects)
    }

    /// Reads one object of a device's identification (FC 43 / 14).
    pub async fn read_device_object(&self, object: u8) -> Result<Vec<u8>, Error> {
        let mut objects = BTreeMap::new();
        self.read_objects(ReadDeviceId::Individual, object, &mut objects).await?;
        Ok(objects.remove(&object).unwrap_or_default()) // the reply was checked to hold it
    }

    async fn read_objects(
        &self,
        code: ReadDeviceId,
        object: u8,
        objects: &mut BTreeMap<u8, Vec<u8>>,
    ) -> Result<Option<u8>, Error> {
        self.ask(Request::ReadDeviceIdentification { code, object }, |response| match response {
            Response::DeviceIdentification(reply) => {
                objects.extend(reply.objects().map(|(id, value)| (id, value.to_vec())));
                Some(reply.next)
            }
            _ => None,
        })
        .await
    }

    /// Reads a device's identification and run indicator, as it lays them out itself (FC 17).
    pub async fn report_server_id(&self) -> Result<Vec<u8>, Error> {
        self.ask(Request::ReportServerId, |response| match response {
            Response::ServerId(data) => Some(data.to_vec()),
            _ => None,
        })
        .await
    }

    /// Reads the eight exception status bits (FC 7); the device defines them.
    pub async fn read_exception_status(&self) -> Result<u8, Error> {
        self.ask(Request::ReadExceptionStatus, |response| match response {
            Response::ExceptionStatus(status) => Some(status),
            _ => None,
        })
        .await
    }

    /// Reads the communication event counter (FC 11).
    pub async fn comm_event_counter(&self) -> Result<CommEventCounter, Error> {
        self.ask(Request::GetCommEventCounter, |response| match response {
            Response::CommEventCounter { status, events } => Some(CommEventCounter { status, events }),
            _ => None,
        })
        .await
    }

    /// Reads the communication event log (FC 12).
    pub async fn comm_event_log(&self) -> Result<CommEventLog, Error> {
        self.ask(Request::GetCommEventLog, |response| match response {
            Response::CommEventLog { status, events, messages, log } => {
                Some(CommEventLog { status, events, messages, log: log.to_vec() })
            }
            _ => None,
        })
        .await
    }

    /// Calls any diagnostic sub-function (FC 8) and returns the data of the reply: two bytes, or for
    /// [`Diagnostic::RETURN_QUERY_DATA`] those that were sent; none after [`Diagnostic::FORCE_LISTEN_ONLY`], which no device
    /// answers.
    pub async fn diagnostics(&self, sub_function: Diagnostic, data: &[u8]) -> Result<Vec<u8>, Error> {
        let request = Asked::Request(Request::Diagnostics { sub_function, data });
        let take = |asked: &Asked<'_>, response: Option<&[u8]>| match response.and_then(|pdu| asked.response(pdu)) {
            Some(Response::Diagnostics { data, .. }) => Ok(data.to_vec()),
            // A broadcast, and what silences the device, have no reply and so no data.
            _ => Ok(Vec::new()),
        };
        Exchange::new(self, request, take).await
    }

    /// Has the device send `data` back (FC 8 / 0); it is checked that it comes back unchanged.
    pub async fn return_query_data(&self, data: &[u8]) -> Result<(), Error> {
        self.tell(Request::Diagnostics { sub_function: Diagnostic::RETURN_QUERY_DATA, data }).await
    }

    /// Reads a diagnostic counter or the diagnostic register (FC 8 / 2 and 8 / 0B to 12).
    pub async fn diagnostic_counter(&self, sub_function: Diagnostic) -> Result<u16, Error> {
        self.ask(Request::Diagnostics { sub_function, data: &[0, 0] }, |response| match response {
            Response::Diagnostics { data: &[high, low], .. } => Some(u16::from_be_bytes([high, low])),
            _ => None,
        })
        .await
    }

    /// Clears the diagnostic counters and the diagnostic register (FC 8 / 0A).
    pub async fn clear_diagnostic_counters(&self) -> Result<(), Error> {
        self.tell(Request::Diagnostics { sub_function: Diagnostic::CLEAR_COUNTERS, data: &[0, 0] }).await
    }

    /// Restarts the device's communication, which also ends listen-only mode (FC 8 / 1); a device in that mode does not
    /// answer.
    pub async fn restart_communications(&self, clear_event_log: bool) -> Result<(), Error> {
        let data = if clear_event_log { &[0xFF, 0] } else { &[0, 0] };
        self.tell(Request::Diagnostics { sub_function: Diagnostic::RESTART_COMMUNICATIONS, data }).await
    }

    /// Makes the device neither act nor answer until [`restart_communications`](Self::restart_communications)
    /// (FC 8 / 4); it does not answer this either.
    pub async fn force_listen_only(&self) -> Result<(), Error> {
        self.tell(Request::Diagnostics { sub_function: Diagnostic::FORCE_LISTEN_ONLY, data: &[0, 0] }).await
    }
}
