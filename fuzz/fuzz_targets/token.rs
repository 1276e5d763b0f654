#![no_main]
gantry_fuzz::fuzz!("token");
