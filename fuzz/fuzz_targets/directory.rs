#![no_main]
gantry_fuzz::fuzz!("directory");
