#![no_main]
gantry_fuzz::fuzz!("digest");
