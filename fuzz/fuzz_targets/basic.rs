#![no_main]
gantry_fuzz::fuzz!("basic");
