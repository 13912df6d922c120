//! Tracking beats online allocates nothing once a tracker is made. A test binary of its own, because it counts
//! every allocation of the process.
// The helpers of a test may stop it, as the test itself may.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use dance_rhythm::beat::{Config, Event, Tracker};
use dance_rhythm::onset::Frame;

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
fn tracking_does_not_allocate() {
    let mut tracker = Tracker::new(&Config::new(100.0)).unwrap();
    let mut beats = 0;
    let mut tempi = 0;
    let before = COUNT.load(Ordering::Relaxed);
    for n in 0..6_000 {
        // Music, then silence, and again at another tempo.
        let interval = if n < 3_000 { 50 } else { 40 };
        let value = if n % 3_000 > 2_500 {
            0.0
        } else {
            f32::from(u8::from(n % interval == 0))
        };
        let frame = Frame {
            time: f64::from(n) / 100.0,
            flux: value,
            low: value,
            mid: value,
            high: value,
            level: if n % 3_000 > 2_500 { -120.0 } else { -20.0 },
        };
        tracker.push(&frame, &mut |event| match event {
            Event::Beat(_) => beats += 1,
            Event::Tempo(_) => tempi += 1,
        });
    }
    tracker.finish(&mut |_| ());
    tracker.reset();
    let count = COUNT.load(Ordering::Relaxed) - before;
    assert!(beats > 80 && tempi >= 4, "{beats} beats, {tempi} tempi");
    assert_eq!(count, 0);
}
