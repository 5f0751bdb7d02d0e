//! What a reader learns of a device that has holes and limits of its own: everything that there is to be had is had, the
//! holes are remembered, and what is left is not far from the best that somebody could do who knows the device.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dinrail::point::{Point, Reader};
use dinrail::proto::value::{DataType, Value};
use dinrail::service::{Failure, Read, read_only};
use dinrail::{Area, Client, Error, ExceptionCode, Server};
use proptest::prelude::*;

/// A device with 64 holding registers, of which some are not there, that gives at most so many at a time.
#[derive(Clone, Copy, Debug)]
struct Device {
    /// A bit for each register that is there.
    there: u64,
    longest: u16,
}

impl Device {
    /// As the specification has it: too many are 0x03, and what is not there is 0x02.
    fn read(self, read: &Read) -> Result<Vec<u16>, Failure> {
        if read.count > self.longest {
            return Err(ExceptionCode::IllegalDataValue.into());
        }
        if read.range().any(|address| !self.has(address)) {
            return Err(ExceptionCode::IllegalDataAddress.into());
        }
        Ok(read.range().map(|address| address as u16 + 1000).collect())
    }

    fn has(self, address: usize) -> bool {
        address < 64 && self.there >> address & 1 == 1
    }

    /// The fewest requests that get all of these that there are: each begins where the one before could not go on.
    fn fewest(self, points: &[(u16, u16)]) -> usize {
        let mut spans: Vec<_> =
            points.iter().copied().filter(|(first, count)| self.gives(*first, first + count)).collect();
        spans.sort_unstable();
        let (mut requests, mut block) = (0, None);
        for (first, count) in spans {
            let end = first + count;
            block = match block {
                Some((begin, until)) if self.gives(begin, end.max(until)) => Some((begin, end.max(until))),
                _ => {
                    requests += 1;
                    Some((first, end))
                }
            };
        }
        requests
    }

    fn gives(self, first: u16, end: u16) -> bool {
        end - first <= self.longest && (first..end).all(|address| self.has(address.into()))
    }
}

/// Reads all points again and again, until twice the same was asked: how much, and how much of it was refused, each time.
async fn learn(device: Device, points: &[(u16, u16)]) -> Vec<(usize, usize)> {
    let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counter = counts.clone();
    let server = Server::tcp(
        "127.0.0.1:0",
        read_only(move |read: Read| {
            let reply = device.read(&read);
            counter.0.fetch_add(1, Ordering::Relaxed);
            counter.1.fetch_add(usize::from(reply.is_err()), Ordering::Relaxed);
            reply
        }),
    );
    let client = Client::connect(server.start().await.expect("it starts")).await.expect("it connects");
    let named = points.iter().map(|(address, count)| {
        let data_type = if *count == 2 { DataType::U32 } else { DataType::U16 };
        Point::new("point", Area::HoldingRegister, *address).with_type(data_type)
    });
    let mut reader = Reader::new(client, named.collect::<Vec<_>>());
    let mut readings: Vec<(usize, usize)> = Vec::new();
    while readings.len() < 2 || readings[readings.len() - 1] != readings[readings.len() - 2] {
        assert!(readings.len() < 40, "it learns for ever: {readings:?}");
        for ((address, count), value) in points.iter().zip(reader.read().await) {
            let word = u32::from(*address) + 1000;
            match value {
                Ok(Value::U16(value)) => assert_eq!((u32::from(value), *count), (word, 1)),
                Ok(Value::U32(value)) => assert_eq!((value, *count), (word << 16 | (word + 1), 2)),
                Ok(other) => panic!("{other}"),
                Err(error) => {
                    assert!(matches!(error, Error::Exception(_)), "{error}");
                    assert!(!device.gives(*address, address + count), "{address} is there: {error}");
                }
            }
        }
        let (asked, refused) = (counts.0.swap(0, Ordering::Relaxed), counts.1.swap(0, Ordering::Relaxed));
        readings.push((asked, refused));
    }
    readings
}

/// A reader of registers 0 to 9 of a device that can be changed, and how often that was asked.
async fn reader_of(device: Arc<Mutex<Device>>) -> (Reader, Arc<AtomicUsize>, Server<impl dinrail::Service>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let service = read_only(move |read: Read| {
        counter.fetch_add(1, Ordering::Relaxed);
        device.lock().expect("nothing panics with it").read(&read)
    });
    let server = Server::tcp("127.0.0.1:0", service);
    let client = Client::connect(server.start().await.expect("it starts")).await.expect("it connects");
    let points = (0..10).map(|address| Point::new("point", Area::HoldingRegister, address));
    (Reader::new(client, points.collect::<Vec<_>>()), asked, server)
}

#[tokio::test]
async fn what_a_device_refused_while_it_started_is_forgotten_when_it_answers() {
    for there in [0, 0b11_0110_0101] {
        let whole = Device { there: u64::MAX, longest: 125 };
        let device = Arc::new(Mutex::new(Device { there, ..whole }));
        let (mut reader, asked, _server) = reader_of(device.clone()).await;
        for _ in 0..3 {
            let absent = reader.read().await.iter().filter(|value| value.is_err()).count();
            assert_eq!(absent, 10 - there.count_ones() as usize);
        }
        *device.lock().expect("nothing panics with it") = whole;
        assert!(reader.read().await.iter().all(Result::is_ok));
        asked.store(0, Ordering::Relaxed);
        assert!(reader.read().await.iter().all(Result::is_ok));
        assert_eq!(asked.load(Ordering::Relaxed), 1, "one block, as before");
    }
}

#[tokio::test]
async fn what_was_learned_can_be_forgotten() {
    let whole = Device { there: u64::MAX, longest: 125 };
    let device = Arc::new(Mutex::new(Device { longest: 3, ..whole }));
    let (mut reader, _, _server) = reader_of(device.clone()).await;
    for _ in 0..3 {
        assert!(reader.read().await.iter().all(Result::is_ok));
    }
    *device.lock().expect("nothing panics with it") = whole;
    assert!(reader.read().await.iter().all(Result::is_ok));
    assert!(reader.blocks().count() > 1, "no answer tells that it gives more at a time");
    reader.forget();
    assert_eq!(reader.blocks().count(), 1);
    assert!(reader.read().await.iter().all(Result::is_ok));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn holes_and_limits_are_learned_once(
        there in prop::collection::vec(any::<u64>(), 2),
        longest in 2u16..40,
        points in prop::collection::vec((0u16..64, 1u16..3), 1..30),
    ) {
        // Three registers of four are there.
        let device = Device { there: there[0] | there[1], longest };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let readings = runtime.block_on(learn(device, &points));
        let absent: std::collections::HashSet<_> =
            points.iter().filter(|(first, count)| !device.gives(*first, first + count)).collect();
        let (asked, refused) = readings[readings.len() - 1];
        // Only what is not there is still refused, each for itself.
        prop_assert!(refused <= absent.len(), "{:?} {} absent", readings, absent.len());
        let fewest = device.fewest(&points);
        prop_assert!(asked >= fewest, "{:?}", readings);
        // Halves need not end where the best block would, so there may be one request more for each that is needed.
        prop_assert!(asked <= 2 * fewest + absent.len(), "{:?}, {} at best", readings, fewest);
        prop_assert!(asked <= readings[0].0, "{:?}", readings);
    }
}
