//! A call that reads into the caller's memory allocates none of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use dinrail::Client;
use dinrail::client::Options;
use dinrail::transport::{Connect, Tcp, Udp};

/// A server in a thread of its own, whose allocations do not count. Registers and coils are 0.
fn zeros() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0; 12];
    loop {
        stream.read_exact(&mut request)?;
        stream.write_all(&reply(&request))?;
    }
}

fn reply(request: &[u8]) -> Vec<u8> {
    let bytes = if request[7] < 3 { request[11].div_ceil(8) } else { 2 * request[11] };
    let mut reply = vec![0; 9 + usize::from(bytes)];
    reply[..8].copy_from_slice(&request[..8]);
    reply[5] = 3 + bytes;
    reply[8] = bytes;
    reply
}

/// As [`zeros`], over UDP.
fn zeros_over_udp() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut request = [0; 300];
        while let Ok((12, client)) = socket.recv_from(&mut request) {
            if socket.send_to(&reply(&request[..12]), client).is_err() {
                return;
            }
        }
    });
    address
}

/// A few calls take as many allocations as many do.
fn do_not_allocate(connector: impl Connect, depth: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = runtime.block_on(async {
        let options = Options::default().with_depth(depth);
        Client::connect_with(connector, options).await.expect("a server")
    });
    let calls = |count: usize| {
        runtime.block_on(async {
            for _ in 0..count {
                let (mut words, mut bits, mut more) = ([1; 10], [true; 10], [1; 3]);
                let (registers, coils, inputs) = tokio::join!(
                    client.read_holding_registers_into(0, &mut words),
                    client.read_coils_into(0, &mut bits),
                    client.read_input_registers_into(0, &mut more),
                );
                registers.and(coils).and(inputs).expect("answers");
                client.read_holding_registers_into(0, &mut words).await.expect("an answer");
                assert_eq!((words, bits, more), ([0; 10], [false; 10], [0; 3]));
            }
        });
    };
    calls(10);
    let few = allocation_counter::measure(|| calls(10));
    let many = allocation_counter::measure(|| calls(500));
    assert_eq!(few.count_total, many.count_total, "depth {depth}: what is left is not the calls'");
    let into_vectors = allocation_counter::measure(|| {
        runtime.block_on(async { client.read_holding_registers(0, 10).await.map(drop).expect("an answer") });
    });
    assert!(into_vectors.count_total > few.count_total, "what allocates is counted");
}

#[test]
fn calls_do_not_allocate() {
    for depth in [1, 4] {
        do_not_allocate(Tcp::new(zeros()), depth);
        do_not_allocate(Udp::new(zeros_over_udp()), depth);
    }
}
