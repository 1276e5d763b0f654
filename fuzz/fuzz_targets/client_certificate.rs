#![no_main]
gantry_fuzz::fuzz!("client_certificate");
