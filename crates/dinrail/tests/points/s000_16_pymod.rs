//! Row S000-16: what the examples of pymod do, with `Client`, the planner and the values: connect, read and write typed
//! items; many of them by few requests, of which one that is refused spoils no other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dinrail::client::{Options, Retry};
use dinrail::point::Point;
use dinrail::proto::Pdu;
use dinrail::proto::value::{DataType, Order, Value};
use dinrail::server::Hooks;
use dinrail::service::{Memory, Peer, Sparse};
use dinrail::transport::Tcp;
use dinrail::{Area, Client, Error, ExceptionCode, Server, Service, UnitId};

/// The requests that a server was asked.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<Vec<u8>>>>);

impl Hooks for Asked {
    fn request(&self, _: &Peer, unit: UnitId, pdu: &[u8]) {
        assert_eq!(unit, UnitId(1), "unless another one is named");
        self.0.lock().expect("no panic").push(pdu.to_vec());
    }
}

impl Asked {
    fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }

    fn functions(&self) -> Vec<u8> {
        self.take().iter().map(|pdu| pdu[0]).collect()
    }
}

async fn device<S: Service>(service: S) -> (Server<S>, Client, Asked) {
    let asked = Asked::default();
    let server = Server::tcp("127.0.0.1:0", service).with_hooks(asked.clone());
    let address = server.start().await.expect("it starts");
    let options = Options::default().with_timeout(Duration::from_secs(20)).with_retry(Retry::attempts(2));
    let client = Client::connect_with(Tcp::new(address), options).await.expect("it connects");
    (server, client, asked)
}

fn holding(name: &str, address: u16, data_type: DataType) -> Point {
    Point::new(name, Area::HoldingRegister, address).with_type(data_type)
}

#[tokio::test]
async fn s000_16_quickstart() {
    let (_server, client, asked) = device(Memory::new()).await;
    assert!(client.is_connected());

    client.write_registers(0, &[1, 2, 3]).await.expect("written");
    assert_eq!(client.read_holding_registers(0, 3).await.expect("read"), [1, 2, 3]);
    client.write_coil(7, true).await.expect("written");
    assert_eq!(client.read_coils(6, 3).await.expect("read"), [false, true, false]);

    // A float, low word first, as many devices have it.
    let level = holding("level", 10, DataType::F32).with_order(Order::Cdab);
    client.write_point(&level, 21.5).await.expect("written");
    assert_eq!(client.read_point(&level).await.expect("read"), Value::F32(21.5));
    assert_eq!(client.read_holding_registers(10, 2).await.expect("read"), [0x0000, 0x41AC]);

    // The bits of a register, the lowest first; and any PDU, as it is.
    client.write_register(20, 0b1000_0000_0000_0001).await.expect("written");
    for (bit, expected) in [(0, true), (1, false), (15, true)] {
        let bit = holding("bit", 20, DataType::Bit(bit));
        assert_eq!(client.read_point(&bit).await.expect("read"), Value::Bit(expected));
    }
    asked.take();
    let request = Pdu::new(&[3, 0, 0, 0, 1]).expect("short");
    let reply = client.call_pdu(&request).await.expect("answered").expect("not a broadcast");
    assert_eq!((reply.as_ref(), asked.take()), (&[3, 2, 0, 1][..], vec![vec![3, 0, 0, 0, 1]]));

    // One value goes by FC 5 or 6, several by 15 or 16.
    client.write_register(0, 1).await.expect("written");
    client.write_coil(0, true).await.expect("written");
    client.write_registers(0, &[1, 2]).await.expect("written");
    client.write_coils(0, &[true, false]).await.expect("written");
    client.write_point(&holding("one", 0, DataType::U16), 7u16).await.expect("written");
    client.write_point(&holding("two", 0, DataType::U32), 7u32).await.expect("written");
    assert_eq!(asked.functions(), [6, 5, 16, 15, 6, 16]);
    client.close();
}

#[tokio::test]
async fn s000_16_a_batch_is_few_requests_and_a_refused_item_spoils_no_other() {
    let sparse = Sparse::new();
    let ramp: Vec<u16> = (0..300).collect();
    sparse.set(Area::HoldingRegister, 0, &ramp);
    sparse.set(Area::InputRegister, 0, &[0x41AC, 0, 0xFFFF]);
    sparse.set(Area::Coil, 0, &vec![1; 2100]);
    sparse.set(Area::DiscreteInput, 5, &[0, 1]);
    let (_server, client, asked) = device(sparse).await;

    // What lies side by side is read together, each area apart.
    let few = [
        holding("a", 0, DataType::U16),
        holding("b", 1, DataType::U32),
        holding("c", 3, DataType::I16),
        Point::new("d", Area::InputRegister, 0).with_type(DataType::F32),
        Point::new("e", Area::InputRegister, 2).with_type(DataType::I16),
        Point::new("f", Area::DiscreteInput, 6),
    ];
    let values: Vec<_> = client.read_points(&few).await.into_iter().map(|value| value.expect("read")).collect();
    let expected =
        [Value::U16(0), Value::U32(0x0001_0002), Value::I16(3), Value::F32(21.5), Value::I16(-1), Value::Bit(true)];
    assert_eq!(values, expected);
    let mut requests = asked.take();
    requests.sort();
    assert_eq!(requests, [vec![2, 0, 6, 0, 1], vec![3, 0, 0, 0, 4], vec![4, 0, 0, 0, 3]]);

    // No request is longer than 125 registers or 2000 bits.
    let many: Vec<Point> = (0..300)
        .map(|address| holding("register", address, DataType::U16))
        .chain((0..2100).map(|address| Point::new("coil", Area::Coil, address)))
        .collect();
    assert!(client.read_points(&many).await.iter().all(Result::is_ok));
    let counts: Vec<u16> = asked.take().iter().map(|pdu| u16::from_be_bytes([pdu[3], pdu[4]])).collect();
    let (mut coils, mut registers): (Vec<u16>, Vec<u16>) = (counts[..2].into(), counts[2..].into());
    coils.sort_unstable();
    registers.sort_unstable();
    assert_eq!((coils.iter().sum::<u16>(), registers.iter().sum::<u16>()), (2100, 300), "{counts:?}");
    assert_eq!((coils.len(), registers.len()), (2, 3), "{counts:?}");
    assert!(coils[1] <= 2000 && registers[2] <= 125, "{counts:?}");

    // One that the device has not got: its own error, and the others' values.
    let holed = [298, 299, 300, 301].map(|address| holding("item", address, DataType::U16));
    let values = client.read_points(&holed).await;
    let told: Vec<_> = values.iter().map(|value| value.as_ref().map_err(Error::exception)).collect();
    let absent = Err(Some(ExceptionCode::IllegalDataAddress));
    assert_eq!(told, [Ok(&Value::U16(298)), Ok(&Value::U16(299)), absent, absent]);
}
