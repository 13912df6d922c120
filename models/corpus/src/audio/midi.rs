// SPDX-License-Identifier: MPL-2.0
//! Standard MIDI Files.

use midly::Smf;

/// The events of a file.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Smf<'_>, String> {
    // Minus 128 frames a second: midly negates that number, which overflows. It is in no file.
    let is_odd = |head: &[u8]| head.starts_with(b"MThd") && head[12] == 0x80;
    if bytes.windows(14).any(is_odd) {
        return Err("a time code of 128 frames a second".into());
    }
    Smf::parse(bytes).map_err(|e| e.to_string())
}
