#![no_main]
gantry_fuzz::fuzz!("certificates");
