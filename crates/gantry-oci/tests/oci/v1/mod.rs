//! The vocabulary of v1: tests are named with the numbers that `docs/v1.md` lists.

mod checksum;
mod image;
mod request;
mod token;
