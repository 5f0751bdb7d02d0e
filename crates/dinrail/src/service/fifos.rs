//! Queues of registers, FC 24, in front of any service (AP 6.18).

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Call, Part, Reply};
use crate::proto::pdu::{FunctionCode, Registers};
use crate::proto::{ExceptionCode, Request, Response};

/// The most values that FC 24 returns.
const MOST: usize = 31;

/// Queues of registers, each named by the holding register that counts it, its *pointer*. The application pushes and pops;
/// clients read, which takes nothing away. A clone is another handle on the same queues.
///
/// FC 24 answers with the count and the values, the oldest first. A pointer that counts no queue is exception 0x02. While a
/// queue holds more than 31 values it is exception 0x03, as the specification asks for: the values stay, and can be read
/// once the application has popped some.
///
/// The pointer is a register like others: where the service behind has holding registers, FC 3 and 23 read the count at the
/// pointer and the values (31 at most) behind it, in place of what stands there. For devices whose queues have numbers of
/// their own, [`apart`](Self::apart) leaves the registers alone.
///
/// ```
/// use dinrail::service::{Fifos, Memory, Service};
///
/// let fifos = Fifos::new().with_queue(0x04DE, [0x01B8, 0x1284]);
/// let service = Memory::new().with_part(fifos.clone());
/// fifos.push(0x04DE, 0x1322);
/// assert_eq!(fifos.pop(0x04DE), Some(0x01B8));
/// # let _ = service;
/// ```
#[derive(Clone, Default)]
pub struct Fifos {
    queues: Arc<RwLock<ByPointer>>,
    apart: bool,
}

type ByPointer = BTreeMap<u16, VecDeque<u16>>;

impl Fifos {
    /// No queue yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a queue that the holding register `pointer` counts, and that holds these values, the oldest first.
    #[must_use]
    pub fn with_queue(self, pointer: u16, values: impl IntoIterator<Item = u16>) -> Self {
        self.write().insert(pointer, values.into_iter().collect());
        self
    }

    /// Leaves the holding registers at the pointers, and behind them, to the service: only FC 24 reads queues.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// Puts a value at the end of a queue; a queue that was not there is there then.
    pub fn push(&self, pointer: u16, value: u16) {
        self.write().entry(pointer).or_default().push_back(value);
    }

    /// Takes the oldest value out of a queue; `None` when it has none or is not there. An empty queue is still there.
    pub fn pop(&self, pointer: u16) -> Option<u16> {
        self.write().get_mut(&pointer)?.pop_front()
    }

    /// How many values a queue holds; 0 when it is not there.
    pub fn len(&self, pointer: u16) -> usize {
        self.read().get(&pointer).map_or(0, VecDeque::len)
    }

    /// Whether a queue holds no values, or is not there.
    pub fn is_empty(&self, pointer: u16) -> bool {
        self.len(pointer) == 0
    }

    fn read_queue(&self, pointer: u16, call: &mut Call<'_>) -> Result<Reply, ExceptionCode> {
        let queues = self.read();
        let queue = queues.get(&pointer).ok_or(ExceptionCode::IllegalDataAddress)?;
        if queue.len() > MOST {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let mut values = [0; MOST];
        values.iter_mut().zip(queue).for_each(|(value, queued)| *value = *queued);
        let response = Response::FifoQueue(Registers::from(&values[..queue.len()]));
        call.respond(&response).map_err(|_| ExceptionCode::ServerDeviceFailure)
    }

    /// Sets the registers that belong to queues, in a response whose values stand from byte 2 on.
    fn overlay(&self, first: u16, count: u16, out: &mut [u8]) {
        let (first, end) = (usize::from(first), usize::from(first) + usize::from(count));
        for (pointer, queue) in self.read().iter() {
            let pointer = usize::from(*pointer);
            let length = u16::try_from(queue.len()).unwrap_or(u16::MAX);
            let registers = [&length].into_iter().chain(queue.iter().take(MOST));
            for (at, register) in (pointer..).zip(registers).filter(|(at, _)| (first..end).contains(at)) {
                let byte = 2 + 2 * (at - first);
                out[byte..byte + 2].copy_from_slice(&register.to_be_bytes());
            }
        }
    }

    /// A panic while the lock was held leaves a queue whole: every change is one push or pop.
    fn read(&self) -> RwLockReadGuard<'_, ByPointer> {
        self.queues.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, ByPointer> {
        self.queues.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Part for Fifos {
    fn answer(&self, call: &mut Call<'_>) -> Option<Reply> {
        if call.pdu()[0] != FunctionCode::READ_FIFO_QUEUE.code() {
            return None;
        }
        let answered = match call.request() {
            Ok(Request::ReadFifoQueue { address }) => self.read_queue(address, call),
            Ok(_) => return None,
            Err(code) => Err(code),
        };
        Some(answered.unwrap_or_else(Reply::Exception))
    }

    fn amend(&self, call: &mut Call<'_>, reply: Reply) -> Reply {
        let Reply::Response(written) = &reply else { return reply };
        if self.apart || !matches!(call.pdu()[0], 3 | 23) || call.parts().1[0] != call.pdu()[0] {
            return reply;
        }
        let (first, count) = match call.request() {
            Ok(Request::Read { address, count, .. }) => (address, count),
            Ok(Request::ReadWriteMultipleRegisters { read_address, read_count, .. }) => (read_address, read_count),
            _ => return reply,
        };
        // A service may answer anything; what is no whole answer is not touched.
        if written.length() == 2 + 2 * usize::from(count) {
            self.overlay(first, count, call.parts().1);
        }
        reply
    }
}

impl fmt::Debug for Fifos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fifos")?;
        f.debug_map().entries(self.read().iter().map(|(pointer, queue)| (pointer, queue.len()))).finish()
    }
}
