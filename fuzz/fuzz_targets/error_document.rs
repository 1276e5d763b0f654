#![no_main]
gantry_fuzz::fuzz!("error_document");
