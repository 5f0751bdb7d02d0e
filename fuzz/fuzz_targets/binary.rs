#![no_main]

use dinrail_proto::Framing;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dinrail_fuzz::line(Framing::Binary, data));
