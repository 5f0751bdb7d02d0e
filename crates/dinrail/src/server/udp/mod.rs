//! UDP: one socket for everybody who asks. Each datagram is decoded alone and answered to whoever sent it, so nothing that
//! one peer sends can disturb another, or even that peer's next datagram.
//!
//! What is answered at once is answered in place, without an allocation. What takes its time is a task of its own
//! ([`work`]), as many at once as there may be connections on TCP.

mod work;

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::runtime::Builder;
use tracing::{debug, warn};

use self::work::Work;
use super::accept::Listening;
use super::metrics::LineError;
use super::options::Options;
use super::shared::Shared;
use crate::Error;
use crate::service::{Peer, Service};
use crate::transport::bind_to;
use crate::transport::udp::{self, is_about_an_earlier_one, is_too_long};

/// The longest datagram that is taken; one of several requests is far shorter.
const INPUT: usize = 16 * 1024;
/// The longest wait after an error that only time can mend.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How many datagrams are answered in a row before it is asked whether the server stops.
const ROUNDS: u32 = 64;

/// Listens on `address`, "host:port".
pub(super) async fn start<S: Service>(
    address: &str,
    service: &Arc<S>,
    shared: &Arc<Shared>,
) -> Result<SocketAddr, Error> {
    spawn(listen(address, &shared.options).await?, service, shared)
}

/// A socket on `address`, "host:port", that no runtime knows yet; of several addresses of a host the first that can be had.
pub(super) async fn listen(address: &str, options: &Options) -> Result<std::net::UdpSocket, Error> {
    let failed = |source| Error::Bind { address: address.into(), source: Arc::new(source) };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in udp::resolve(address).await.map_err(failed)? {
        match bind(candidate, options) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// A socket that has the address for itself, unless several servers are to share it.
fn bind(address: SocketAddr, options: &Options) -> io::Result<std::net::UdpSocket> {
    let socket = bound(address, options, options.reuse_port)?;
    // Others of the same server come beside it only now: with the option from the beginning, so would another server's.
    #[cfg(unix)]
    if options.has_threads() {
        socket.set_reuse_port(true)?;
    }
    Ok(socket.into())
}

fn bound(address: SocketAddr, options: &Options, shares: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // `reuse_address` is for connections that linger, which UDP has not: here it would let another program take the port.
    #[cfg(unix)]
    socket.set_reuse_port(shares)?;
    #[cfg(not(unix))]
    let _ = shares;
    if let Some(interface) = &options.interface {
        bind_to(&SockRef::from(&socket), interface)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Serves on the runtime that this runs on, or on threads of its own, each with a socket of its own.
fn spawn<S: Service>(first: std::net::UdpSocket, service: &Arc<S>, shared: &Arc<Shared>) -> Result<SocketAddr, Error> {
    let local = first.local_addr()?;
    let Some(threads) = shared.options.threads else {
        let socket = UdpSocket::from_std(first)?;
        tokio::spawn(run(socket, service.clone(), shared.clone(), Listening::new(shared)));
        return Ok(local);
    };
    let mut sockets = vec![first];
    for _ in 1..threads {
        sockets.push(
            bound(local, &shared.options, true)
                .map_err(|source| Error::Bind { address: local.to_string().into(), source: Arc::new(source) })?
                .into(),
        );
    }
    for (number, socket) in sockets.into_iter().enumerate() {
        let (service, shared) = (service.clone(), shared.clone());
        let listening = Listening::new(&shared);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let socket = {
            let _inside = runtime.enter();
            UdpSocket::from_std(socket)?
        };
        thread::Builder::new().name(format!("{}-{number}", shared.options.name)).spawn(move || {
            runtime.block_on(async {
                run(socket, service, shared.clone(), listening).await;
                shared.until_stopped().await;
            });
        })?;
    }
    Ok(local)
}

/// Answers datagrams until the server stops. No error ends it.
async fn run<S: Service>(socket: UdpSocket, service: Arc<S>, shared: Arc<Shared>, listening: Listening) {
    shared.start_sweeper();
    let mut stopping = pin!(shared.until_stopping());
    let mut work = Work::new(Arc::new(socket), service, shared.clone());
    let mut input = vec![0; INPUT].into_boxed_slice();
    let mut pause = Duration::ZERO;
    let mut rounds = 0;
    while let Some(received) = receive(&work.socket, &mut input, stopping.as_mut(), &mut rounds).await {
        match received {
            Ok((length, address)) => {
                pause = Duration::ZERO;
                take(&mut work, &mut input, length, address).await;
            }
            Err(error) if is_about_an_earlier_one(&error) => {
                debug!(target: "dinrail::server", server = %shared.options.name, %error, "a reply was not wanted");
            }
            Err(error) if is_too_long(&error) => {
                shared.count_line_error(LineError::Broken);
                shared.count_discarded();
            }
            Err(error) => {
                pause = (pause * 2).clamp(Duration::from_millis(5), MAX_PAUSE);
                warn!(
                    target: "dinrail::server",
                    server = %shared.options.name, %error, "cannot receive datagrams, trying again in {pause:?}"
                );
                if tokio::time::timeout(pause, stopping.as_mut()).await.is_ok() {
                    break;
                }
            }
        }
    }
    // The port is free before the listener counts as ended.
    drop(work);
    drop(listening);
}

/// The next datagram; `None` when the server stops.
async fn receive(
    socket: &UdpSocket,
    input: &mut [u8],
    mut stopping: Pin<&mut impl Future<Output = ()>>,
    rounds: &mut u32,
) -> Option<io::Result<(usize, SocketAddr)>> {
    poll_fn(|cx| {
        *rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(ROUNDS) && stopping.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let mut buffer = ReadBuf::new(input);
        match socket.poll_recv_from(cx, &mut buffer) {
            Poll::Ready(received) => Poll::Ready(Some(received.map(|address| (buffer.filled().len(), address)))),
            Poll::Pending => stopping.as_mut().poll(cx).map(|()| None),
        }
    })
    .await
}

/// Answers one datagram, or has it answered.
async fn take<S: Service>(work: &mut Work<S>, input: &mut [u8], length: usize, address: SocketAddr) {
    // One peer for all, since the name of its server is shared by the threads.
    let mut peer = std::mem::take(&mut work.peer);
    peer.address = Some(address);
    take_from(&peer, work, input, length, address.ip()).await;
    work.peer = peer;
}

async fn take_from<S: Service>(peer: &Peer, work: &mut Work<S>, input: &mut [u8], length: usize, address: IpAddr) {
    let shared = &work.shared;
    if !shared.allows(address.to_canonical()) {
        debug!(target: "dinrail::server", server = %shared.options.name, %peer, "refused: not on the list of allowed addresses");
        return;
    }
    work.came = None;
    if shared.is_watched() {
        work.came = Some(Instant::now());
        shared.tell_received(peer, &input[..length]);
    }
    if length == 0 || length == input.len() {
        // The latter was cut.
        shared.count_line_error(LineError::Broken);
        return shared.count_discarded();
    }
    let mut used = 0;
    while let Some(slow) = work.answer(peer, &mut input[used..length]).await {
        used += slow.used;
        if work.apart(peer, &slow, &input[used..length]) {
            return;
        }
        work.refuse(peer, &slow).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Log;
    use crate::service::{Read, read_only};

    const REQUEST: [u8; 12] = [0, 1, 0, 0, 0, 6, 1, 3, 0, 7, 0, 1];
    const REPLY: [u8; 11] = [0, 1, 0, 0, 0, 5, 1, 3, 2, 0, 7];

    /// A socket that waits for no longer than a test may take.
    fn socket(address: SocketAddr) -> std::net::UdpSocket {
        let socket = std::net::UdpSocket::bind(address).expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("an option");
        socket
    }

    #[cfg(unix)]
    #[test]
    fn s001_20_21_what_is_bound_shares_its_port_only_when_asked_to() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        for (options, shares) in [
            (Options::default(), false),
            (Options::default().with_threads(1), false),
            (Options::default().with_threads(2), true),
            (Options::default().with_reuse_port(true), true),
        ] {
            let socket = bind(any, &options).expect("a free port");
            let socket = SockRef::from(&socket);
            let says = (socket.reuse_address().expect("an option"), socket.reuse_port().expect("an option"));
            // On UDP the former would let anybody share it.
            assert_eq!(says, (false, shares), "{options:?}");
        }
    }

    /// Systems tell a socket of refused datagrams when it is connected; some tell every socket.
    #[test]
    fn s001_30_an_error_that_icmp_brings_ends_nothing() {
        let log = Log::default();
        // The server runs on this thread.
        let _guard = tracing::subscriber::set_default(log.subscriber());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (master, told) = (socket(any), socket(any));
        let (from, to) = (master.local_addr().expect("its port"), told.local_addr().expect("its port"));
        told.connect(from).expect("an address");
        let watch = told.try_clone().expect("the same socket");
        told.set_nonblocking(true).expect("an option");
        let shared = Arc::new(Shared::new(Options::default(), None));
        let service = Arc::new(read_only(|read: Read| Ok(vec![read.address; read.count.into()])));

        master.send_to(&REQUEST, to).expect("a datagram");
        drop(master);
        let asked = runtime.block_on(async {
            spawn(told, &service, &shared).expect("a task");
            tokio::task::spawn_blocking(move || {
                // The reply is refused, and so are those to come.
                for _ in 0..3 {
                    while shared.statistics().requests == 0 {
                        thread::yield_now();
                    }
                    let refused = watch.send(&REPLY).and_then(|_| watch.send(&REPLY));
                    assert_eq!(refused.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionRefused));
                    // The server finds the next error in front of the next datagram.
                    watch.send(&REPLY).expect("the error was told");
                    let master = socket(from);
                    for _ in 0..3 {
                        master.send_to(&REQUEST, to).expect("a datagram");
                        let mut reply = [0; 300];
                        let length = master.recv(&mut reply).expect("a reply");
                        assert_eq!(reply[..length], REPLY);
                    }
                }
            })
            .await
        });
        asked.expect("no panic");
        let text = log.text();
        let told: Vec<&str> = text.lines().filter(|line| line.contains("dinrail::server")).collect();
        assert!(told.len() >= 3, "each round has one: {text}");
        for line in told {
            assert!(line.trim_start().starts_with("DEBUG dinrail::server: a reply was not wanted "), "{line}");
            assert!(line.contains(" server=modbus error=") && line.contains("refused"), "{line}");
        }
    }
}
