#![no_main]
gantry_fuzz::fuzz!("key_set");
