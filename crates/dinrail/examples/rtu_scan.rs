//! Looks for the units of a serial bus: `rtu_scan /dev/ttyUSB0 [LAST-UNIT]`. Without a port it makes itself a bus to look at,
//! with the units 1, 2 and 4.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::error::Error;
use std::time::Duration;

use dinrail::Client;
use dinrail::client::Options;
use dinrail::transport::{Parity, Serial};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (port, last) = match arguments.next() {
        Some(port) => (port, arguments.next().map_or(Ok(247), |last| last.parse::<u8>())?),
        None => (simulated::bus()?, 12),
    };
    // 9600 baud, no parity, eight bits, one stop bit. A unit that is there answers in much less than 100 ms.
    let port = Serial::rtu(port).with_baud(9600).with_parity(Parity::None);
    let client = Client::connect_with(port, Options::default().with_timeout(Duration::from_millis(100))).await?;
    for unit in 1..=last {
        // An exception is an answer, too: somebody is there.
        match client.unit(unit).read_holding_registers(0, 2).await {
            Ok(values) => println!("unit {unit}: {values:?}"),
            Err(error) if error.exception().is_some() => println!("unit {unit}: {error}"),
            Err(error) if error.is_timeout() => println!("unit {unit}: silent"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
mod simulated {
    use std::fs::File;
    use std::io;
    use std::time::Duration;

    use dinrail::proto::Framing;
    use dinrail::server::{self, serve_line};
    use dinrail::service::{Memory, Peer, Units};
    use dinrail::transport::Burst;
    use dinrail::{Area, ExceptionCode};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    /// Three units behind a pseudo terminal, whose name is returned.
    pub(crate) fn bus() -> io::Result<String> {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&near)?;
        unlockpt(&near)?;
        let name = ptsname(&near, Vec::new())?.into_string().map_err(io::Error::other)?;
        let memory = |values: [u16; 2]| {
            let memory = Memory::with_sizes(0, 0, 2, 0);
            memory.set(Area::HoldingRegister, 0, &values).map(|()| memory).map_err(|_| io::Error::other("no room"))
        };
        let units = Units::new().with(1u8, memory([10, 11])?).with(2u8, memory([20, 21])?).with(
            4u8,
            dinrail::service::callbacks(
                |_| Err::<Vec<u16>, _>(ExceptionCode::IllegalDataAddress.into()),
                |_| Err(ExceptionCode::IllegalDataAddress.into()),
            ),
        );
        // Reading and writing a terminal's near end as a file, each in a thread of the runtime's.
        let near = File::from(near);
        let line = tokio::io::join(tokio::fs::File::from_std(near.try_clone()?), tokio::fs::File::from_std(near));
        let options = server::Options::default().with_framing(Framing::Rtu);
        tokio::spawn(serve_line(line, Burst::Silence(Duration::from_millis(4)), Peer::on("bus"), units, options));
        Ok(name)
    }
}

#[cfg(not(target_os = "linux"))]
mod simulated {
    pub(crate) fn bus() -> std::io::Result<String> {
        Err(std::io::Error::other("name a port: rtu_scan /dev/tty.usbserial-1"))
    }
}
