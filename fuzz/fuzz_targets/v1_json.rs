#![no_main]
gantry_fuzz::fuzz!("v1_json");
