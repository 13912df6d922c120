// SPDX-License-Identifier: MPL-2.0
//! Where the engines that TensorRT builds are kept.
//!
//! Building takes minutes and its result fits one graph, one ONNX Runtime, one TensorRT and one
//! kind of GPU, so all four are in the directory's name. Nothing here has been run with a GPU; on a
//! machine without one the version and the device read as unknown, which is tested.

use std::{ffi::c_int, path::PathBuf};

use crate::version::Version;

/// The directory for the engines of one model:
/// `BASE/tensorrt/HASH-ort1.24.1-trt10.9.0-sm90-NVIDIA_H100`.
pub(crate) fn engine_directory(
    base: PathBuf,
    sha256: &str,
    runtime: Version,
    device: u32,
) -> PathBuf {
    base.join("tensorrt")
        .join(key(sha256, runtime, tensorrt_version(), gpu(device)))
}

fn key(sha256: &str, runtime: Version, tensorrt: Option<i32>, gpu: Option<Gpu>) -> String {
    let tensorrt = tensorrt.map_or("unknown".to_owned(), |version| version.to_string());
    let gpu = gpu.map_or("unknown".to_owned(), |gpu| {
        let name: String = gpu
            .name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        format!("sm{}{}-{name}", gpu.capability.0, gpu.capability.1)
    });
    // 64 bits tell models apart; a full hash would only make the path longer.
    let hash = sha256.get(..16).unwrap_or(sha256);
    format!("{hash}-ort{runtime}-trt{tensorrt}-{gpu}")
}

/// The version of the TensorRT that is installed, as one number (10.9.0 is 100900).
fn tensorrt_version() -> Option<i32> {
    // The names of releases 8 to 11; ONNX Runtime links one of them, and usually only one is
    // installed.
    [
        "libnvinfer.so.10",
        "libnvinfer.so.11",
        "libnvinfer.so.9",
        "libnvinfer.so.8",
    ]
    .into_iter()
    .find_map(|name| {
        // SAFETY: NVIDIA's library, which the TensorRT provider is about to load itself; the
        // function takes nothing and returns an int.
        unsafe {
            let library = libloading::Library::new(name).ok()?;
            let version = library
                .get::<unsafe extern "C" fn() -> i32>(b"getInferLibVersion\0")
                .ok()?;
            Some(version())
        }
    })
}

struct Gpu {
    name: String,
    capability: (c_int, c_int),
}

/// Name and compute capability of a GPU, from the driver.
fn gpu(ordinal: u32) -> Option<Gpu> {
    const COMPUTE_CAPABILITY_MAJOR: c_int = 75;
    const COMPUTE_CAPABILITY_MINOR: c_int = 76;
    type Init = unsafe extern "C" fn(u32) -> c_int;
    type DeviceGet = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
    type DeviceGetName = unsafe extern "C" fn(*mut libc::c_char, c_int, c_int) -> c_int;
    type DeviceGetAttribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;

    // SAFETY: the driver's documented C interface, whose functions return 0 on success and write
    // only to the places they are given; the symbols do not outlive the library.
    unsafe {
        let driver = libloading::Library::new("libcuda.so.1").ok()?;
        let init = driver.get::<Init>(b"cuInit\0").ok()?;
        let device_get = driver.get::<DeviceGet>(b"cuDeviceGet\0").ok()?;
        let get_name = driver.get::<DeviceGetName>(b"cuDeviceGetName\0").ok()?;
        let get_attribute = driver
            .get::<DeviceGetAttribute>(b"cuDeviceGetAttribute\0")
            .ok()?;

        let mut device = 0;
        let ordinal = c_int::try_from(ordinal).ok()?;
        if init(0) != 0 || device_get(&raw mut device, ordinal) != 0 {
            return None;
        }
        let attribute = |which| {
            let mut value = 0;
            (get_attribute(&raw mut value, which, device) == 0).then_some(value)
        };
        let mut name = [0u8; 256];
        if get_name(name.as_mut_ptr().cast(), 256, device) != 0 {
            return None;
        }
        let name = std::ffi::CStr::from_bytes_until_nul(&name).ok()?;
        Some(Gpu {
            name: name.to_string_lossy().into_owned(),
            capability: (
                attribute(COMPUTE_CAPABILITY_MAJOR)?,
                attribute(COMPUTE_CAPABILITY_MINOR)?,
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_names_everything_an_engine_depends_on() {
        let runtime = Version {
            major: 1,
            minor: 24,
            patch: 1,
        };
        let sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let gpu = || Gpu {
            name: "NVIDIA GeForce RTX 4090/D".to_owned(),
            capability: (8, 9),
        };
        assert_eq!(
            key(sha256, runtime, Some(100_900), Some(gpu())),
            "0123456789abcdef-ort1.24.1-trt100900-sm89-NVIDIA_GeForce_RTX_4090_D"
        );
        assert_eq!(
            key(sha256, runtime, None, None),
            "0123456789abcdef-ort1.24.1-trtunknown-unknown"
        );
    }
}
