// SPDX-License-Identifier: MPL-2.0
//! Detecting onsets and tracking beats allocate nothing once a detector or a tracker is made. A
//! test binary of its own, because it replaces the allocator.
// The helpers of a test may stop it, as the test itself may.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dance_rhythm::beat;
use dance_rhythm::onset::{Config, Detector, Frame, Method};

struct Counting;

thread_local! {
    /// Of this thread alone: the harness allocates in its own whenever it likes.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Allocations of this thread while `work` runs.
fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
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
fn detection_does_not_allocate() {
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
        let count = allocations(|| {
            for part in samples.chunks(777) {
                detector.push(part, &mut |_| events += 1);
            }
            detector.finish(&mut |_| events += 1);
            detector.reset();
        });
        assert!(events > 80);
        assert_eq!(count, 0, "{method:?}");
    }
}

#[test]
fn tracking_does_not_allocate() {
    let mut tracker = beat::Tracker::new(&beat::Config::new(100.0)).unwrap();
    let mut beats = 0;
    let mut tempi = 0;
    let count = allocations(|| {
        for n in 0..6_000 {
            // Music, then silence, and again at another tempo.
            let interval = if n < 3_000 { 50 } else { 40 };
            let silent = n % 3_000 > 2_500;
            let value = f32::from(u8::from(!silent && n % interval == 0));
            let frame = Frame {
                time: f64::from(n) / 100.0,
                flux: value,
                low: value,
                mid: value,
                high: value,
                level: if silent { -120.0 } else { -20.0 },
                activation: None,
            };
            tracker.push(&frame, &mut |event| match event {
                beat::Event::Beat(_) => beats += 1,
                beat::Event::Tempo(_) => tempi += 1,
            });
        }
        tracker.finish(&mut |_| ());
        tracker.reset();
    });
    assert!(beats > 80 && tempi >= 4, "{beats} beats, {tempi} tempi");
    assert_eq!(count, 0);
}
