#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dinrail_fuzz::response(data));
