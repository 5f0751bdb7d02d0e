//! Writes the corpus from which the fuzz targets start: the examples of the specifications, alone and on lines.
//!
//! `cargo run --bin seeds` in this directory, after the examples or the form of the inputs have changed.

use std::path::Path;
use std::{fs, io};

use dinrail_fuzz::Settings;
use dinrail_proto::{Adu, Framing, UnitId};

#[path = "../../../crates/dinrail-proto/tests/spec_vectors/examples.rs"]
mod examples;

use examples::{EXAMPLES, Example};

fn main() -> io::Result<()> {
    for Example { name, request, reply } in EXAMPLES {
        write("request", name, request)?;
        write("response", name, &[&[request.len() as u8], *request, *reply].concat())?;
    }
    for (number, some) in EXAMPLES.chunks(4).enumerate() {
        for (target, framing, flags, served) in [
            ("tcp", Framing::Tcp, 0, 0x20),
            ("rtu", Framing::Rtu, 2, 0x12),
            ("ascii", Framing::Ascii, 2, 0x0A),
            ("pdu", Framing::Pdu, 0, 0x18),
            ("binary", Framing::Binary, 2, 0x18),
        ] {
            // Somebody else's exchange, ours, and a broadcast.
            let exchange = |example: &Example| {
                [(7, example.request), (7, example.reply), (1, example.request), (0, example.request)]
                    .map(|(unit, pdu)| frame(framing, unit, pdu))
                    .concat()
            };
            let line: Vec<u8> = some.iter().flat_map(exchange).collect();
            // Whether a server reads bare PDUs or binary frames.
            let binary = if target == "binary" { 0x80 } else { 0 };
            let settings = |flags| Settings { flags, unit: 1, pieces: binary | number as u8 }.to_bytes();
            write(target, &format!("exchanges {number}"), &[&settings(flags)[..], &line].concat())?;
            write("server", &format!("{target} exchanges {number}"), &[&settings(served)[..], &line].concat())?;
        }
    }
    Ok(())
}

fn frame(framing: Framing, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut out = vec![0; framing.max_adu()];
    let adu = Adu { transaction: 0x1501, unit: UnitId(unit), pdu };
    let length = framing.encode(&adu, &mut out).expect("an example fits");
    out.truncate(length);
    out
}

fn write(target: &str, name: &str, seed: &[u8]) -> io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&directory)?;
    let name: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    fs::write(directory.join(name), seed)
}
