//! Idle connections: how long ten thousand take to open, and what each weighs in the server's memory, before and after
//! it has asked once.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Socket, Type};

use crate::cli::Idle;
use crate::frame::{Image, Kind, is_right, push_request};
use crate::machine::allow_connections;
use crate::peer::ServerName;
use crate::process::Server;
use crate::results::{IdleFigure, Results};

/// Connections that a run opens.
pub const CONNECTIONS: u32 = 10_000;

/// A server that takes longer than this is weighed with what it has.
const LIMIT: Duration = Duration::from_secs(12);

/// Source addresses, so that ports never run short.
const SOURCES: u8 = 3;

/// Connections that may fail to answer before the rest are not asked: each costs a time-out.
const PATIENCE: u32 = 3;

/// The command `idle`.
pub fn run(options: &Idle) -> Result<()> {
    allow_connections(options.connections)?;
    for &server in &options.servers {
        if let Some(Err(missing)) = server.program() {
            bail!("{}: {missing}", server.label());
        }
        println!("{}", describe(&weigh(server, options.connections)?));
    }
    Ok(())
}

/// Adds a server's figure to the results, or prints why there is none.
pub fn add_to(results: &mut Results, server: ServerName) {
    if let Some(Err(_)) = server.program() {
        return;
    }
    match weigh(server, CONNECTIONS) {
        Ok(figure) => {
            println!("{}", describe(&figure));
            results.idle.push(figure);
        }
        Err(error) => println!("idle, {}: {error:#}", server.label()),
    }
}

fn describe(figure: &IdleFigure) -> String {
    format!(
        "idle, {}: {} of {} open in {:.2} s, {} answer, {:.0} bytes each ({:.0} before they asked)",
        figure.server.label(),
        figure.opened,
        figure.wanted,
        figure.seconds,
        figure.answered,
        figure.each(figure.used),
        figure.each(figure.fresh)
    )
}

fn weigh(name: ServerName, wanted: u32) -> Result<IdleFigure> {
    let server = Server::start(name)?;
    let image = Image::new();
    let target = server.address();
    let mut first = open(target, 0)?;
    ensure!(answers(&mut first, &image), "it does not answer at all");
    let before = server.resident()?;

    let start = Instant::now();
    let mut connections = Vec::with_capacity(wanted as usize);
    for at in 0..wanted {
        match open(target, at) {
            Ok(connection) => connections.push(connection),
            Err(_) => break,
        }
        if start.elapsed() > LIMIT {
            break;
        }
    }
    // The last in the queue is the last to be accepted.
    let mut answered = connections.last_mut().map_or(0, |last| u32::from(answers(last, &image)));
    let seconds = start.elapsed().as_secs_f64();
    let fresh = server.resident()?;

    let (mut silent, earlier) = (0, connections.len().saturating_sub(1));
    for connection in &mut connections[..earlier] {
        match answers(connection, &image) {
            true => answered += 1,
            false => silent += 1,
        }
        if silent > PATIENCE && answered == 0 {
            break;
        }
    }
    let used = server.resident()?;
    Ok(IdleFigure { server: name, wanted, opened: connections.len() as u32, answered, seconds, before, fresh, used })
}

fn open(target: SocketAddr, at: u32) -> Result<TcpStream> {
    // Below SOURCES, which is a u8.
    let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2 + (at % u32::from(SOURCES)) as u8), 0));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("too few open files are allowed")?;
    socket.bind(&source.into()).context("no local port is free")?;
    socket.connect_timeout(&target.into(), Duration::from_secs(5))?;
    // Ten thousand that linger in TIME_WAIT would hold up the next server's connections, and be measured as its own.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// One read of ten registers.
fn answers(connection: &mut TcpStream, image: &Image) -> bool {
    const ADDRESS: u16 = 4711;
    let mut request = Vec::new();
    push_request(&mut request, image, Kind::Read10, 1, ADDRESS);
    let mut reply = [0; 29];
    connection.write_all(&request).is_ok()
        && connection.read_exact(&mut reply).is_ok()
        && is_right(&reply, image, Kind::Read10, ADDRESS)
}
