//! `getrandom` and what is built on it (`rand`, `uuid`, hash maps with random state), from the host's replayable numbers.
//!
//! Versions 0.3 and 0.4 of the crate ask for this function where `--cfg getrandom_backend="custom"` is set, as
//! `usher plugin build` does. Not for keys or tokens: whoever knows the job's id knows the numbers.

#![expect(unsafe_code, reason = "the name and signature that getrandom asks for")]

/// Fills `len` bytes at `dest`.
///
/// # Safety
/// `dest` is valid for writes of `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(dest: *mut u8, len: usize) -> Result<(), getrandom::Error> {
    // SAFETY: by the contract of this function; zeroed first, since what getrandom passes may be uninitialised.
    let bytes = unsafe {
        core::ptr::write_bytes(dest, 0, len);
        core::slice::from_raw_parts_mut(dest, len)
    };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&crate::host::random().to_le_bytes()[..chunk.len()]);
    }
    Ok(())
}
