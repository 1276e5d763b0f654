//! The vocabulary of v1: tests are named with the numbers that `docs/v1.md` lists.

mod checksum;
mod derive;
mod image;
mod make;
mod properties;
mod request;
mod token;
