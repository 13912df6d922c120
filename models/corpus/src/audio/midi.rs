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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_code_that_overflows_is_an_error() {
        let file = |division: [u8; 2]| {
            let mut bytes = b"MThd\0\0\0\x06\0\0\0\x01".to_vec();
            bytes.extend(division);
            bytes.extend(b"MTrk\0\0\0\x04\0\xff\x2f\0");
            bytes
        };
        assert_eq!(parse(&file([1, 0xe0])).unwrap().tracks.len(), 1);
        let error = parse(&file([0x80, 0])).unwrap_err();
        assert!(error.contains("128 frames"), "{error}");
    }
}
