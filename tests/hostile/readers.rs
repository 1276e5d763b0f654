//! Readers beside writers.
