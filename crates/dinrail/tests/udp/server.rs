//! The server against raw datagrams: what comes back, and to whom.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use dinrail::proto::{Adu, Framing, UnitId};
use dinrail::server::{Hooks, MissingUnit, Options};
use dinrail::service::{Memory, Peer, Read, Units, read_only};
use dinrail::{Area, Error, ExceptionCode, Server, Service};

use crate::device::{Numbers, frame, soon};
use crate::raw::{Raw, frames, read, registers};

/// Registers that hold their addresses.
pub(crate) fn addresses() -> impl Service {
    read_only(|read: Read| Ok((0..read.count).map(|index| read.address + index).collect::<Vec<u16>>()))
}

async fn start(service: impl Service, options: Options) -> (Server<impl Service>, SocketAddr) {
    let server = Server::udp("127.0.0.1:0", service).with_options(options);
    let address = server.start().await.unwrap();
    (server, address)
}

#[tokio::test]
async fn s001_7_three_peers_at_once_get_each_its_own_replies() {
    let (server, address) = start(addresses(), Options::default()).await;
    let peers: Vec<_> = (0..3)
        .map(|peer: u16| {
            tokio::spawn(async move {
                let mut raw = Raw::connect(address).await;
                for round in 0..200 {
                    let register = 1000 * peer + round;
                    assert_eq!(raw.ask(&read(3, register, 1)).await, registers(&[register]));
                }
                assert!(raw.is_silent().await);
            })
        })
        .collect();
    for peer in peers {
        peer.await.unwrap();
    }
    let statistics = server.statistics();
    assert_eq!((statistics.requests, statistics.exceptions, statistics.discarded), (600, 0, 0));
    assert_eq!(server.active_connections(), 0);
}

#[tokio::test]
async fn s001_7_reads_writes_and_what_is_refused() {
    let (server, address) = start(Memory::with_sizes(10, 10, 10, 10), Options::default()).await;
    let mut raw = Raw::connect(address).await;
    assert_eq!(raw.ask(&[6, 0, 3, 0, 9]).await, [6, 0, 3, 0, 9]);
    assert_eq!(raw.ask(&[16, 0, 4, 0, 2, 4, 0, 1, 0, 2]).await, [16, 0, 4, 0, 2]);
    assert_eq!(raw.ask(&read(3, 3, 3)).await, registers(&[9, 1, 2]));
    assert_eq!(raw.ask(&[5, 0, 1, 0xFF, 0]).await, [5, 0, 1, 0xFF, 0]);
    assert_eq!(raw.ask(&read(1, 0, 3)).await, [1, 1, 0b010]);
    assert_eq!(raw.ask(&read(3, 9, 2)).await, [0x83, 2]);
    assert_eq!(raw.ask(&read(3, 0, 126)).await, [0x83, 3]);
    assert_eq!(raw.ask(&[0x55]).await, [0xD5, 1]);
    assert_eq!(server.statistics().exceptions, 3);
}

#[tokio::test]
async fn s001_7c_a_bad_datagram_disturbs_nobody() {
    let (server, address) = start(addresses(), Options::default()).await;
    let (mut bad, mut good) = (Raw::connect(address).await, Raw::connect(address).await);
    let whole = frame(7, 1, &read(3, 5, 1));
    let mut datagrams: Vec<Vec<u8>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
    for (at, value) in [(2, 1), (3, 1), (4, 1), (5, 0), (5, 1), (5, 7), (5, 255)] {
        let mut wrong = whole.clone();
        wrong[at] = value; // protocol or length
        datagrams.push(wrong);
    }
    datagrams.push(vec![0xFF; 1400]);
    let mut cut = whole.repeat(2000);
    cut.truncate(20_000);
    datagrams.push(cut);
    let count = datagrams.len() as u64;
    for datagram in datagrams {
        bad.send(&datagram).await;
        assert_eq!(good.ask(&read(3, 1, 2)).await, registers(&[1, 2]), "behind {datagram:02x?}");
        assert_eq!(bad.ask(&read(3, 8, 1)).await, registers(&[8]), "behind {datagram:02x?}");
    }
    assert_eq!(server.statistics().discarded, count);
    assert_eq!(server.statistics().requests, 2 * count);
}

/// A good frame in front of rubbish is answered all the same.
#[tokio::test]
async fn s001_7c_what_is_good_in_a_bad_datagram_is_answered() {
    let (server, address) = start(addresses(), Options::default()).await;
    let raw = Raw::connect(address).await;
    let mut other = frame(2, 1, &read(3, 6, 1));
    other[3] = 9; // not Modbus
    let datagram = [frame(1, 1, &read(3, 5, 1)), other, frame(3, 1, &read(3, 7, 1)), vec![0, 4, 0, 0]].concat();
    raw.send(&datagram).await;
    assert_eq!(frames(&raw.receive().await), [(1, 1, registers(&[5])), (3, 1, registers(&[7]))]);
    assert_eq!(server.statistics().discarded, 1);
}

#[tokio::test]
async fn s001_17_requests_of_a_datagram_are_answered_in_order_in_one() {
    let (_server, address) = start(addresses(), Options::default()).await;
    let raw = Raw::connect(address).await;
    let datagram: Vec<u8> = (0..10).flat_map(|number| frame(number, 1, &read(3, number, 1))).collect();
    raw.send(&datagram).await;
    let expected: Vec<_> = (0..10).map(|number| (number, 1, registers(&[number]))).collect();
    assert_eq!(frames(&raw.receive().await), expected);
}

#[tokio::test]
async fn replies_that_are_too_long_for_a_datagram_go_into_several_in_order() {
    let (_server, address) = start(addresses(), Options::default()).await;
    let raw = Raw::connect(address).await;
    let datagram: Vec<u8> = (0..40).flat_map(|number| frame(number, 1, &read(3, number, 125))).collect();
    raw.send(&datagram).await;
    let mut next = 0;
    while next < 40 {
        let datagram = raw.receive().await;
        assert!(datagram.len() <= 1472, "{} bytes", datagram.len());
        for (number, _, pdu) in frames(&datagram) {
            assert_eq!((number, pdu), (next, registers(&(next..next + 125).collect::<Vec<_>>())));
            next += 1;
        }
    }
    assert!(raw.is_silent().await);
}

/// The service is told who asks, and that one gets the reply.
#[tokio::test]
async fn s002_7_s002_10_the_reply_goes_to_the_sender() {
    let (_server, address) = start(
        read_only(|read: Read| Ok(vec![read.peer.address.map_or(0, |address| address.port())])),
        Options::default(),
    )
    .await;
    let mut peers = Vec::new();
    for _ in 0..5 {
        peers.push(Raw::connect(address).await);
    }
    for _ in 0..3 {
        for peer in &mut peers {
            let port = peer.socket.local_addr().unwrap().port();
            assert_eq!(peer.ask(&read(4, 0, 1)).await[2..], port.to_be_bytes());
        }
    }
}

#[tokio::test]
async fn s001_14_units() {
    let memory = |value| {
        let memory = Memory::new();
        memory.set(Area::HoldingRegister, 0, &[value]).unwrap();
        memory
    };
    let units = || Units::new().with(1, memory(11)).with(2, memory(22));
    let (_server, address) = start(units(), Options::default().with_units([1u8, 2])).await;
    let mut raw = Raw::connect(address).await;
    assert_eq!(raw.ask_unit(1, &read(3, 0, 1)).await, registers(&[11]));
    assert_eq!(raw.ask_unit(2, &read(3, 0, 1)).await, registers(&[22]));
    assert_eq!(raw.ask_unit(3, &read(3, 0, 1)).await, [0x83, 0x0B]);
    let ignore = Options::default().with_units([1u8, 2]).with_missing_units(MissingUnit::Ignore);
    let (_server, address) = start(units(), ignore).await;
    let mut raw = Raw::connect(address).await;
    raw.send(&frame(1, 3, &read(3, 0, 1))).await;
    assert!(raw.is_silent().await);
    assert_eq!(raw.ask_unit(2, &read(3, 0, 1)).await, registers(&[22]));
}

fn encode(framing: Framing, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; framing.max_adu()];
    let length = framing.encode(&Adu { transaction: 0, unit: UnitId(unit), pdu }, &mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

#[tokio::test]
async fn s001_23_other_framings_and_their_broadcasts() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        let options = Options::default().with_framing(framing).with_units([1u8, 2, 250]);
        let (server, address) =
            start(Units::new().with(1, Memory::new()).with(2, Memory::new()).with(250, Memory::new()), options).await;
        let raw = Raw::connect(address).await;
        let ask = async |unit, pdu: &[u8]| {
            raw.send(&encode(framing, unit, pdu)).await;
            raw.receive().await
        };
        assert_eq!(ask(1, &[6, 0, 3, 0, 9]).await, encode(framing, 1, &[6, 0, 3, 0, 9]));
        assert_eq!(ask(2, &read(3, 3, 1)).await, encode(framing, 2, &registers(&[0])));
        // Executed by all of them and answered by none; reading makes no sense.
        raw.send(&encode(framing, 0, &[6, 0, 3, 0, 7])).await;
        raw.send(&encode(framing, 0, &read(3, 3, 1))).await;
        assert!(raw.is_silent().await);
        for unit in [1, 2, 250] {
            assert_eq!(ask(unit, &read(3, 3, 1)).await, encode(framing, unit, &registers(&[7])), "{framing:?} {unit}");
        }
        let mut broken = encode(framing, 1, &read(3, 3, 1));
        broken[3] ^= 1;
        raw.send(&broken).await;
        raw.send(&[1, 3]).await;
        let mut two = encode(framing, 1, &read(3, 3, 1));
        two.extend(encode(framing, 2, &read(3, 9, 1)));
        raw.send(&two).await;
        let mut expected = encode(framing, 1, &registers(&[7]));
        expected.extend(encode(framing, 2, &registers(&[0])));
        assert_eq!(raw.receive().await, expected, "{framing:?}");
        assert_eq!(server.statistics().discarded, 2);
    }
}

#[tokio::test]
async fn s001_15_broadcasts_with_modbus_tcp_frames_are_a_matter_of_choice() {
    let units = || Units::new().with(1, Memory::new()).with(2, Memory::new()).with(0, Memory::new());
    let (_server, address) = start(units(), Options::default()).await;
    let mut raw = Raw::connect(address).await;
    assert_eq!(raw.ask_unit(0, &[6, 0, 3, 0, 9]).await, [6, 0, 3, 0, 9], "unit 0 is a unit");
    assert_eq!(raw.ask_unit(1, &read(3, 3, 1)).await, registers(&[0]));
    let (_server, address) = start(units(), Options::default().with_broadcast(true).with_units([1u8, 2])).await;
    let mut raw = Raw::connect(address).await;
    raw.send(&frame(1, 0, &[6, 0, 3, 0, 9])).await;
    assert!(raw.is_silent().await);
    assert_eq!(raw.ask_unit(1, &read(3, 3, 1)).await, registers(&[9]));
    assert_eq!(raw.ask_unit(2, &read(3, 3, 1)).await, registers(&[9]));
}

/// Whatever comes, the next request is answered.
#[tokio::test]
async fn hostile_datagrams() {
    for (seed, framing) in [Framing::Tcp, Framing::Rtu, Framing::Ascii, Framing::Pdu].into_iter().enumerate() {
        let service = Units::new().with(1, Memory::new()).with(255, Memory::new());
        let (server, address) = start(service, Options::default().with_framing(framing)).await;
        let (hostile, good) = (Raw::connect(address).await, Raw::connect(address).await);
        let mut numbers = Numbers(seed as u64);
        for _ in 0..200 {
            for _ in 0..20 {
                let mut datagram: Vec<u8> = match numbers.below(3) {
                    0 => (0..numbers.below(600)).map(|_| numbers.next() as u8).collect(),
                    _ => {
                        let function = numbers.below(130).max(1) as u8;
                        let data = (0..numbers.below(12)).map(|_| numbers.next() as u8);
                        let pdu: Vec<u8> = std::iter::once(function).chain(data).collect();
                        encode(framing, numbers.below(3) as u8, &pdu).repeat(numbers.below(4) as usize)
                    }
                };
                if numbers.below(2) == 0 && !datagram.is_empty() {
                    let at = numbers.below(datagram.len() as u64) as usize;
                    datagram[at] = numbers.next() as u8;
                }
                hostile.send(&datagram).await;
            }
            good.send(&encode(framing, 1, &read(4, 7, 1))).await;
            assert_eq!(good.receive().await, encode(framing, 1, &[4, 2, 0, 0]), "{framing:?}");
        }
        let statistics = server.statistics();
        assert!(statistics.discarded > 100 && statistics.requests > 200, "{framing:?}: {statistics:?}");
    }
}

#[tokio::test]
async fn s001_21_a_port_in_use_is_an_error_that_names_it_and_two_may_share_it_if_both_say_so() {
    let (_server, address) = start(addresses(), Options::default()).await;
    let error = Server::udp(address, addresses()).start().await.expect_err("it is in use");
    assert!(matches!(error, Error::Bind { .. }) && error.to_string().contains(&address.to_string()), "{error}");
    if cfg!(target_os = "linux") {
        let shared = Options::default().with_reuse_port(true);
        let (_first, address) = start(addresses(), shared.clone()).await;
        Server::udp(address, addresses()).with_options(shared).start().await.expect("both share it");
        Server::udp(address, addresses()).start().await.expect_err("this one does not");
    }
}

#[tokio::test]
async fn s000_10_s001_21_a_port_that_threads_share_is_taken_for_another_server() {
    let on_threads = Options::default().with_threads(Some(2));
    let (_server, address) = start(addresses(), on_threads.clone()).await;
    // Every address of the machine, this one among them, is no other.
    for taken in [address, SocketAddr::from(([0, 0, 0, 0], address.port()))] {
        for options in [on_threads.clone(), Options::default(), Options::default().with_threads(Some(1))] {
            let second = Server::udp(taken, addresses()).with_options(options);
            let error = second.start().await.expect_err("it is in use");
            let Error::Bind { address: named, source } = &error else { panic!("{error:?}") };
            assert_eq!((&**named, source.kind()), (&*taken.to_string(), std::io::ErrorKind::AddrInUse));
        }
    }
    let (_alone, address) = start(addresses(), Options::default()).await;
    Server::udp(address, addresses()).with_options(on_threads).start().await.expect_err("it is in use");
}

/// The system takes a socket for a datagram by the port it comes from, which differs each time.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn s001_21_datagrams_are_spread_over_threads_and_over_servers_that_share_a_port() {
    for servers in [1, 2] {
        let options = Options::default().with_threads(Some(2)).with_reuse_port(servers == 2);
        let seen = Arc::new(Mutex::new(HashSet::new()));
        let (mut running, mut address) = (Vec::new(), SocketAddr::from(([127, 0, 0, 1], 0)));
        for _ in 0..servers {
            let threads = seen.clone();
            let service = read_only(move |read: Read| {
                threads.lock().unwrap().insert(std::thread::current().id());
                Ok(vec![0u16; read.count.into()])
            });
            let server = Server::udp(address, service).with_options(options.clone());
            address = server.start().await.expect("each says so");
            running.push(server);
        }
        let mut asked = 0;
        while seen.lock().unwrap().len() < 2 * servers {
            assert!(asked < 500, "a thread had no datagram of {asked}");
            Raw::connect(address).await.ask(&read(3, 0, 1)).await;
            asked += 1;
        }
    }
}

/// The system gives UDP and TCP their numbers apart, so another program may have the number on TCP: then the next one.
#[tokio::test]
async fn s001_21_a_port_of_udp_is_free_for_tcp() {
    let mut refused = Vec::new();
    for _ in 0..100 {
        let (_udp, address) = start(addresses(), Options::default()).await;
        match Server::tcp(address, addresses()).start().await {
            Ok(bound) => return assert_eq!(bound, address),
            Err(error) => refused.push(error.to_string()),
        }
    }
    panic!("of a hundred ports of UDP none could be taken for TCP: {refused:?}");
}

#[derive(Default)]
struct Seen(Mutex<Vec<(String, Peer, Vec<u8>)>>);

impl Seen {
    fn push(&self, what: &str, peer: &Peer, bytes: &[u8]) {
        self.0.lock().unwrap().push((what.to_owned(), peer.clone(), bytes.to_vec()));
    }
}

impl Hooks for &'static Seen {
    fn connected(&self, peer: &Peer) {
        self.push("connected", peer, &[]);
    }

    fn received(&self, peer: &Peer, bytes: &[u8]) {
        self.push("received", peer, bytes);
    }

    fn request(&self, peer: &Peer, _unit: UnitId, pdu: &[u8]) {
        self.push("request", peer, pdu);
    }

    fn sending(&self, peer: &Peer, bytes: &[u8]) {
        self.push("sending", peer, bytes);
    }
}

#[tokio::test]
async fn s001_18_hooks_see_every_datagram() {
    let seen: &'static Seen = Box::leak(Box::default());
    let server = Server::udp("127.0.0.1:0", addresses()).with_hooks(seen);
    let raw = Raw::connect(server.start().await.unwrap()).await;
    let (request, reply) = (frame(1, 1, &read(3, 5, 1)), frame(1, 1, &registers(&[5])));
    raw.send(&[9]).await;
    raw.send(&request).await;
    assert_eq!(raw.receive().await, reply);
    let mut peer = Peer::at(raw.socket.local_addr().unwrap());
    peer.server = Some(Options::default().name.into());
    let expected = [("received", vec![9]), ("received", request), ("request", read(3, 5, 1)), ("sending", reply)]
        .map(|(what, bytes)| (what.to_owned(), peer.clone(), bytes));
    assert_eq!(*seen.0.lock().unwrap(), expected);
}

#[tokio::test]
async fn s001_30_a_peer_that_is_gone_before_its_reply_ends_nothing() {
    let (_server, address) = start(addresses(), Options::default()).await;
    let mut stays = Raw::connect(address).await;
    for _ in 0..50 {
        let gone = Raw::connect(address).await;
        for number in 0..10 {
            gone.send(&frame(number, 1, &read(3, number, 1))).await;
        }
        drop(gone);
        assert_eq!(stays.ask(&read(3, 4, 1)).await, registers(&[4]));
    }
}

#[tokio::test]
async fn an_exception_of_a_callback_is_the_reply() {
    let (_server, address) =
        start(read_only(|_: Read| Err::<Vec<u16>, _>(ExceptionCode::ServerDeviceBusy.into())), Options::default())
            .await;
    let mut raw = Raw::connect(address).await;
    assert_eq!(soon(raw.ask(&read(4, 0, 1))).await, [0x84, 6]);
}

/// Two servers that are made to talk to each other would refuse each other's refusals for ever.
#[tokio::test]
async fn what_answers_is_no_request() {
    let (server, address) = start(Memory::new(), Options::default()).await;
    let mut raw = Raw::connect(address).await;
    raw.send(&frame(1, 1, &[0x83, 2])).await;
    assert!(raw.is_silent().await);
    assert_eq!(raw.ask(&read(3, 0, 1)).await, registers(&[0]));
    assert_eq!(server.statistics().discarded, 1);
}
