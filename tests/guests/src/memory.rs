//! The guest's own linear memory, read as bytes: its data, stack and heap, and whatever the host wrote there.
#![expect(unsafe_code, reason = "reading one's whole memory is what is tested")]

use std::{hint::black_box, ptr};

use serde_json::{Value, json};
use usher_plugin::Failure;

const VEIL: u8 = 0x5a;

/// Counts each veiled needle in clear, over all of memory.
pub fn scan(needles: &[String], plant: bool) -> Result<Value, Failure> {
    let veiled: Vec<_> = needles.iter().map(|hex| bytes(hex)).collect::<Result<_, _>>()?;
    let planted: Option<Vec<u8>> = veiled.first().filter(|_| plant).map(|needle| needle.iter().map(|b| b ^ VEIL).collect());
    black_box(&planted);
    let size = size();
    let found: Vec<_> =
        veiled.iter().map(|needle| (1..size.saturating_sub(needle.len())).filter(|&at| is_at(at, needle)).count()).collect();
    black_box(&planted);
    Ok(json!({"found": found, "scannedBytes": size}))
}

fn is_at(at: usize, veiled: &[u8]) -> bool {
    veiled.iter().enumerate().all(|(i, byte)| read(at + i) ^ VEIL == *byte)
}

/// Reads the last byte that an address can name, where no memory is.
pub fn beyond() -> u8 {
    read(black_box(usize::MAX))
}

fn read(at: usize) -> u8 {
    // SAFETY: in a wasm module, any address below the memory's size can be read, and beyond it the engine traps. Volatile and
    // of exposed provenance, so that the compiler takes nothing for granted about what is there.
    unsafe { ptr::with_exposed_provenance::<u8>(at).read_volatile() }
}

#[cfg(target_arch = "wasm32")]
fn size() -> usize {
    core::arch::wasm32::memory_size(0) << 16
}

#[cfg(not(target_arch = "wasm32"))]
fn size() -> usize {
    0
}

fn bytes(hex: &str) -> Result<Vec<u8>, Failure> {
    let digits: Option<Vec<_>> = hex.chars().map(|c| c.to_digit(16)).collect();
    match digits {
        Some(digits) if !digits.is_empty() && digits.len() % 2 == 0 => {
            Ok(digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
        }
        _ => Err(Failure::permanent("a needle must be hex bytes")),
    }
}
