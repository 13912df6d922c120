//! Hearing allocates nothing once a detector is made. A test binary of its own, because it counts
//! every allocation of the process.
// The helpers of a test may stop it, as the test itself may.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use dance_rhythm::onset::{Config, Detector, Method};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn hearing_does_not_allocate() {
    let mut state = 1u32;
    let samples: Vec<f32> = (0..48_000 * 3)
        .map(|n| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            noise * (-((n % 12_000) as f32) / 1_500.0).exp()
        })
        .collect();
    for method in [Method::SuperFlux, Method::Mudar, Method::Librosa] {
        let mut detector = Detector::new(&Config {
            rate: 48_000,
            method,
            threshold: 1.0,
            debias: true,
        })
        .unwrap();
        let mut events = 0;
        let before = COUNT.load(Ordering::Relaxed);
        for part in samples.chunks(777) {
            detector.push(part, &mut |_| events += 1);
        }
        detector.finish(&mut |_| events += 1);
        detector.reset();
        let count = COUNT.load(Ordering::Relaxed) - before;
        assert!(events > 80);
        assert_eq!(count, 0, "{method:?}");
    }
}
