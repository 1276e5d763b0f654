#![no_main]
gantry_fuzz::fuzz!("media_type");
