#![no_main]
gantry_fuzz::fuzz!("content_range");
