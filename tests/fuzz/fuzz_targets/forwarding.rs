#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sinbin_properties::forwarding(bytes));
