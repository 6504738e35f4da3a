//! Only the tests are of interest: see `main.rs`.
