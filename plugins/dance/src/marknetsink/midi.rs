// SPDX-License-Identifier: MPL-2.0
//! MIDI clock: 24 ticks a quarter, written to a raw port.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::protocol::{Connect, Control, Delivery, Encode, Event, Link, Moment, Opened, Outbox};
use super::settings::Settings;

/// Ticks of a quarter, which a beat is taken for.
const TICKS: u64 = 24;
/// Beats after which the clock stops when no more come.
const PATIENCE: u64 = 4;

const TICK: u8 = 0xF8;
const START: u8 = 0xFA;
const CONTINUE: u8 = 0xFB;
const STOP: u8 = 0xFC;
const SONG_POSITION: u8 = 0xF2;
/// Ticks of a sixteenth, in which a song position is counted.
const SIXTEENTH: u64 = 6;

/// # Errors
/// If there is no device.
pub(super) fn open(settings: &Settings) -> Opened {
    let device = settings.device.clone().ok_or(
        "protocol=midi-clock needs 'device', the path of a raw MIDI port, as /dev/snd/midiC1D0",
    )?;
    Ok((Box::<Clock>::default(), Box::new(Port(device))))
}

/// Where the ticks are, in running time.
///
/// Between two beats the ticks are equally spaced; a beat that is announced moves those before it, so
/// that one of them falls on it, and no tick is left out or doubled.
#[derive(Debug, Default)]
struct Clock {
    /// When the next tick is due, in ns; none while the clock rests.
    next: Option<f64>,
    /// Number of the next tick since the start.
    tick: u64,
    /// From tick to tick in ns.
    period: f64,
    /// The tick that falls on the newest beat, its time, and the period from there on.
    beat: Option<(u64, f64, f64)>,
    /// Whether the receiver runs.
    running: bool,
    /// Whether it ran before, and goes on from where it is.
    started: bool,
    /// The receiver is to be stopped at the next occasion.
    stopping: bool,
}

impl Clock {
    fn beat(&mut self, at: f64, bpm: f64, begins_bar: bool) {
        let period = 60e9 / bpm / TICKS as f64;
        let Some(next) = self.next else {
            // A song begins with a bar.
            if self.started || begins_bar {
                self.tick = self.tick.next_multiple_of(TICKS);
                self.next = Some(at);
                self.period = period;
                self.beat = Some((self.tick, at, period));
            }
            return;
        };
        let nearest = (self.tick as f64 + (at - next) / self.period) / TICKS as f64;
        let mut target = nearest.round().max(0.0) as u64 * TICKS;
        let mut time = at;
        if target < self.tick {
            // It is over: the next beat makes up for it.
            target += TICKS;
            time += TICKS as f64 * period;
        }
        let left = target.saturating_sub(self.tick);
        if left == 0 {
            self.next = Some(time);
            self.period = period;
        } else {
            // The next tick keeps its place, the others share the rest evenly, within what a receiver
            // can follow; what is left over is made up for before the next beat.
            self.period = ((time - next) / left as f64).clamp(period / 2.0, period * 2.0);
        }
        self.beat = Some((target, time, period));
    }

    /// The next tick is due.
    fn advance(&mut self, now: f64) -> Vec<u8> {
        let mut message = Vec::new();
        if !self.running {
            if self.started {
                let position = (self.tick / SIXTEENTH) & 0x3FFF;
                message.extend([
                    SONG_POSITION,
                    (position & 0x7F) as u8,
                    (position >> 7) as u8,
                    CONTINUE,
                ]);
            } else {
                message.push(START);
            }
            self.running = true;
            self.started = true;
        }
        message.push(TICK);
        if let Some((tick, _, period)) = self.beat
            && self.tick >= tick
        {
            self.period = period;
        }
        self.tick += 1;
        self.next = Some(now + self.period);
        if let Some((tick, ..)) = self.beat
            && self.tick > tick + PATIENCE * TICKS
        {
            self.next = None;
            self.stopping = true;
        }
        message
    }

    fn rest(&mut self) {
        self.next = None;
        self.beat = None;
    }
}

impl Encode for Clock {
    fn wants(&self, event: &Event) -> bool {
        match event {
            Event::Mark { mark, .. } => mark.kind.is_beat(),
            Event::Tempo(_) => true,
            _ => false,
        }
    }

    fn announce(&mut self, event: &Event, at: gst::ClockTime) {
        if let Event::Mark { mark, .. } = event
            && let Some(bpm) = mark.bpm.filter(|bpm| (20.0..=500.0).contains(bpm))
        {
            self.beat(at.nseconds() as f64, bpm, mark.beat_in_bar <= 1);
        }
    }

    fn encode(&mut self, event: &Event, moment: Moment) -> io::Result<Option<Vec<u8>>> {
        Ok(match event {
            Event::Tempo(tempo) if tempo.bpm <= 0.0 => {
                self.rest();
                self.transport(false)
            }
            Event::Own if self.stopping => self.transport(false),
            // From where it should have been, so that being late does not add up.
            Event::Own => self
                .next
                .map(|next| self.advance(next.max(moment.at.nseconds() as f64 - self.period))),
            _ => None,
        })
    }

    fn next(&self) -> Option<gst::ClockTime> {
        if self.stopping {
            return Some(gst::ClockTime::ZERO);
        }
        self.next
            .map(|next| gst::ClockTime::from_nseconds(next.max(0.0).round() as u64))
    }

    fn transport(&mut self, playing: bool) -> Option<Vec<u8>> {
        if playing {
            return None;
        }
        self.rest();
        self.stopping = false;
        std::mem::take(&mut self.running).then(|| vec![STOP])
    }

    fn flush(&mut self) {
        self.rest();
        self.stopping = self.running;
    }
}

/// The path of a raw port: a character device, or a pipe that another program reads.
struct Port(PathBuf);

impl Connect for Port {
    fn peer(&self) -> String {
        format!("the MIDI port {}", self.0.display())
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn connect(&mut self, _: &Control) -> io::Result<Box<dyn Link>> {
        // Not to be waited for: a pipe opens when somebody reads it, a port may be in use.
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&self.0)?;
        Ok(Box::new(Cable(Outbox::new(file))))
    }
}

struct Cable(Outbox<File>);

impl Link for Cable {
    fn send(&mut self, message: &[u8]) -> io::Result<Delivery> {
        self.0.send(message)
    }

    fn service(&mut self, _: Option<gst::ClockTime>) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the clock up to `end` ns; time and bytes of each message.
    fn run(clock: &mut Clock, end: f64) -> Vec<(f64, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some(next) = clock.next
            && next < end
        {
            all.push((next, clock.advance(next)));
        }
        all
    }

    #[test]
    fn a_tick_falls_on_every_beat_and_none_is_lost() {
        let mut clock = Clock::default();
        let mut ticks = Vec::new();
        let mut at = 1e9;
        let mut beats = Vec::new();
        for n in 0..64 {
            // A tempo that wanders, announced 30 ms ahead.
            let interval = 5e8 + 2e7 * f64::from(n).sin();
            ticks.extend(run(&mut clock, at - 3e7));
            clock.beat(at, 60e9 / interval, n == 0);
            beats.push(at);
            at += interval;
        }
        assert_eq!(ticks[0].1, [START, TICK]);
        assert!(ticks[1..].iter().all(|(_, bytes)| bytes == &[TICK]));
        for (n, beat) in beats.iter().enumerate().take(62) {
            let (time, _) = ticks[n * TICKS as usize];
            // One tick is left to move when the beat is announced, and it moves by half at most.
            assert!((time - beat).abs() < 1.2e7, "beat {n}: {}", time - beat);
        }
        for pair in ticks.windows(2) {
            let period = pair[1].0 - pair[0].0;
            assert!((0.9e7..4.5e7).contains(&period), "{period}");
        }
    }

    #[test]
    fn steady_beats_make_steady_ticks() {
        let mut clock = Clock::default();
        let mut ticks = Vec::new();
        for n in 0..32 {
            let at = 1e9 + 5e8 * f64::from(n);
            ticks.extend(run(&mut clock, at - 3e7));
            clock.beat(at, 120.0, true);
        }
        for (n, (time, _)) in ticks.iter().enumerate() {
            let wanted = 1e9 + n as f64 * 5e8 / TICKS as f64;
            assert!((time - wanted).abs() < 1e3, "tick {n}: {}", time - wanted);
        }
    }

    #[test]
    fn it_begins_with_a_bar_stops_and_goes_on() {
        let mut clock = Clock::default();
        clock.beat(1e9, 120.0, false);
        assert_eq!(clock.next(), None);
        clock.beat(2e9, 120.0, true);
        assert_eq!(clock.next(), Some(gst::ClockTime::from_seconds(2)));
        run(&mut clock, 2.3e9);
        assert_eq!(clock.transport(false), Some(vec![STOP]));
        assert_eq!((clock.transport(false), clock.next()), (None, None));
        clock.beat(4e9, 120.0, false);
        let ticks = run(&mut clock, 4.01e9);
        // The second beat, four sixteenths on.
        assert_eq!(ticks[0].1, [SONG_POSITION, 4, 0, CONTINUE, TICK]);
        // No more beats: it stops by itself.
        assert!(run(&mut clock, 1e11).len() < 120);
        assert!(clock.stopping);
        assert_eq!(clock.transport(false), Some(vec![STOP]));
        // A jump.
        clock.beat(2e11, 90.0, false);
        run(&mut clock, 2.001e11);
        clock.flush();
        assert_eq!(clock.next(), Some(gst::ClockTime::ZERO));
    }
}
