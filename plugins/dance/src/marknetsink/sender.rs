// SPDX-License-Identifier: MPL-2.0
//! Sends each event at its instant, over a connection that is opened again when it is lost.
//!
//! Two threads, so that none waits for another: the *timer* waits on the pipeline's clock and sends,
//! the *connector* opens the connection, reads from it and opens it again. The streaming thread only
//! queues.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::imp::CAT;
use super::protocol::{Connect, Control, Delivery, Encode, Event, Link, Moment, Timebase};
use super::stats::Stats;
use crate::lock::lock;

/// How the instants are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// How long before its instant an event leaves.
    pub(super) lead: gst::ClockTime,
    /// How late it may leave at most.
    pub(super) late_limit: gst::ClockTime,
}

struct Entry {
    at: gst::ClockTime,
    /// Keeps the order of events of one instant.
    number: u64,
    /// Whether it became known after it should have left.
    late: bool,
    event: Event,
}

impl Ord for Entry {
    // The heap has its greatest on top: the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

struct Queue {
    entries: BinaryHeap<Entry>,
    encode: Box<dyn Encode>,
    number: u64,
    /// The clock while the stream plays.
    timebase: Option<Timebase>,
    /// What the timer waits for on the clock.
    waiting: Option<gst::ClockId>,
    /// A change between play and rest that the protocol was not told yet.
    transport: Option<bool>,
    /// An end of the stream that comes after the last event.
    end: Option<gst::Message>,
    stopped: bool,
}

impl Queue {
    /// Most events that wait for their instant.
    const LIMIT: usize = 65_536;

    /// Makes the timer look again.
    fn wake(&self, wake: &Condvar) {
        if let Some(id) = &self.waiting {
            id.unschedule();
        }
        wake.notify_all();
    }
}

#[derive(Default)]
struct Connection {
    link: Option<Box<dyn Link>>,
    /// Why it was lost, until it is reported.
    lost: Option<io::Error>,
    stopped: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    connection: Mutex<Connection>,
    rest: Condvar,
    stats: Mutex<Stats>,
    times: Times,
    element: glib::WeakRef<super::MarkNetSink>,
}

/// What the timer does next.
enum Step {
    Rest,
    Wait(gst::SingleShotClockId),
    Send {
        message: Vec<u8>,
        /// What is counted: running time at which it should have left, and whether it came late.
        counted: Option<(gst::ClockTime, bool)>,
        timebase: Option<Timebase>,
    },
    Again,
    End(gst::Message),
    Stop,
}

/// The two threads and what they share.
pub(super) struct Sender {
    shared: Arc<Shared>,
    /// The threads that a stop waits for.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Sender {
    /// Starts both threads.
    ///
    /// # Errors
    /// If the system has no thread.
    pub(super) fn start(
        element: &super::MarkNetSink,
        times: Times,
        retry_limit: u32,
        encode: Box<dyn Encode>,
        connect: Box<dyn Connect>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                entries: BinaryHeap::new(),
                encode,
                number: 0,
                timebase: None,
                waiting: None,
                transport: None,
                end: None,
                stopped: false,
            }),
            wake: Condvar::new(),
            connection: Mutex::default(),
            rest: Condvar::new(),
            stats: Mutex::default(),
            times,
            element: element.downgrade(),
        });
        let timer = {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name("marknet-timer".into())
                .spawn(move || shared.keep_time())?
        };
        let sender = Self {
            shared: shared.clone(),
            threads: Mutex::new(vec![timer]),
        };
        let is_quick = connect.is_quick();
        let spawned = std::thread::Builder::new()
            .name("marknet-link".into())
            .spawn(move || shared.keep_connected(connect, retry_limit));
        match spawned {
            // Any other may wait for the answer of a name server, and ends by itself after that.
            Ok(connector) if is_quick => lock(&sender.threads).push(connector),
            Ok(_) => (),
            Err(err) => {
                sender.stop();
                return Err(err);
            }
        }
        Ok(sender)
    }

    /// Ends both threads and closes the connection.
    pub(super) fn stop(&self) {
        {
            let mut queue = lock(&self.shared.queue);
            queue.stopped = true;
            queue.wake(&self.shared.wake);
        }
        let mut threads = std::mem::take(&mut *lock(&self.threads)).into_iter();
        // A panic of a thread has been printed already. The timer is first, and has a last word.
        let _ = threads.next().map(JoinHandle::join);
        let link = {
            let mut connection = lock(&self.shared.connection);
            connection.stopped = true;
            connection.link.take()
        };
        self.shared.rest.notify_all();
        drop(link);
        threads.for_each(|thread| drop(thread.join()));
    }

    /// Queues an event that is heard at running time `at`.
    pub(super) fn push(&self, at: gst::ClockTime, event: Event) {
        let latency = self.shared.latency();
        let mut queue = lock(&self.shared.queue);
        if !queue.encode.wants(&event) {
            return;
        }
        let target = self.shared.departure(at, latency);
        let late = queue
            .timebase
            .as_ref()
            .is_some_and(|timebase| timebase.now() > target);
        if queue.entries.len() >= Queue::LIMIT {
            lock(&self.shared.stats).dropped += 1;
            return;
        }
        let own = queue.encode.next();
        queue.encode.announce(&event, at);
        let is_other = queue.encode.next() != own;
        queue.number += 1;
        let entry = Entry {
            at,
            number: queue.number,
            late,
            event,
        };
        let is_first = queue.entries.peek().is_none_or(|first| entry > *first);
        queue.entries.push(entry);
        if is_first || is_other {
            queue.wake(&self.shared.wake);
        }
    }

    /// The stream plays, on this clock.
    pub(super) fn play(&self, timebase: Timebase) {
        let mut queue = lock(&self.shared.queue);
        queue.timebase = Some(timebase);
        queue.transport = Some(true);
        queue.wake(&self.shared.wake);
    }

    /// The stream rests.
    pub(super) fn pause(&self) {
        let mut queue = lock(&self.shared.queue);
        queue.timebase = None;
        queue.transport = Some(false);
        queue.wake(&self.shared.wake);
    }

    /// Forgets what has not left yet.
    pub(super) fn flush(&self) {
        let mut queue = lock(&self.shared.queue);
        let dropped = queue.entries.iter().filter(|e| is_mark(&e.event)).count();
        lock(&self.shared.stats).dropped += dropped as u64;
        queue.entries.clear();
        queue.end = None;
        queue.encode.flush();
        queue.wake(&self.shared.wake);
    }

    /// Holds the message that ends the stream back until the last event has left.
    pub(super) fn end(&self, message: gst::Message) {
        let mut queue = lock(&self.shared.queue);
        queue.end = Some(message);
        queue.wake(&self.shared.wake);
    }

    /// A mark that has been seen before.
    pub(super) fn count_duplicate(&self) {
        lock(&self.shared.stats).duplicates += 1;
    }

    /// A mark without a time to send it at.
    pub(super) fn count_dropped(&self) {
        lock(&self.shared.stats).dropped += 1;
    }

    pub(super) fn stats(&self) -> gst::Structure {
        let (connected, clients) = {
            let connection = lock(&self.shared.connection);
            let link = connection.link.as_ref();
            (link.is_some(), link.map_or(0, |link| link.clients()))
        };
        lock(&self.shared.stats).structure(connected, clients)
    }
}

fn is_mark(event: &Event) -> bool {
    matches!(event, Event::Mark { .. })
}

fn span(after: gst::ClockTime, before: gst::ClockTime) -> i64 {
    after.nseconds().cast_signed() - before.nseconds().cast_signed()
}

impl Shared {
    /// What the pipeline delays everything by, so that all sinks show the same instant.
    fn latency(&self) -> gst::ClockTime {
        self.element
            .upgrade()
            .map_or(gst::ClockTime::ZERO, |element| element.latency())
    }

    /// Running time on the clock at which an event of running time `at` leaves.
    fn departure(&self, at: gst::ClockTime, latency: gst::ClockTime) -> gst::ClockTime {
        at.saturating_add(latency).saturating_sub(self.times.lead)
    }

    /// The timer.
    fn keep_time(&self) {
        block_broken_pipes();
        loop {
            let latency = self.latency();
            let mut queue = lock(&self.queue);
            match self.step(&mut queue, latency) {
                Step::Stop => break,
                Step::Again => (),
                Step::Rest => drop(
                    self.wake
                        .wait(queue)
                        .unwrap_or_else(PoisonError::into_inner),
                ),
                Step::Wait(id) => {
                    queue.waiting = Some(id.clone().into());
                    drop(queue);
                    let _ = id.wait();
                    lock(&self.queue).waiting = None;
                }
                Step::Send {
                    message,
                    counted,
                    timebase,
                } => {
                    drop(queue);
                    self.send(&message, counted, timebase);
                }
                Step::End(message) => {
                    drop(queue);
                    if let Some(element) = self.element.upgrade() {
                        element.imp().post_end(message);
                    }
                }
            }
        }
    }

    fn step(&self, queue: &mut Queue, latency: gst::ClockTime) -> Step {
        if queue.stopped {
            // The last word, as a clock that stops; there is nothing more to say after it.
            let last = queue.encode.transport(false);
            return last.map_or(Step::Stop, |message| Step::Send {
                message,
                counted: None,
                timebase: None,
            });
        }
        if let Some(playing) = queue.transport.take() {
            return queue
                .encode
                .transport(playing)
                .map_or(Step::Again, |message| Step::Send {
                    message,
                    counted: None,
                    timebase: None,
                });
        }
        let Some(timebase) = queue.timebase.clone() else {
            return Step::Rest;
        };
        let first = queue.entries.peek().map(|entry| entry.at);
        if first.is_none() && queue.end.is_some() {
            if let Some(message) = queue.encode.transport(false) {
                return Step::Send {
                    message,
                    counted: None,
                    timebase: None,
                };
            }
            return queue.end.take().map_or(Step::Again, Step::End);
        }
        let own = queue.encode.next();
        let Some(at) = first.into_iter().chain(own).min() else {
            return Step::Rest;
        };
        let target = self.departure(at, latency);
        let now = timebase.now();
        if now < target {
            let time = timebase.base_time.saturating_add(target);
            return Step::Wait(timebase.clock.new_single_shot_id(time));
        }
        let (event, late) = if first.is_some_and(|first| own.is_none_or(|own| first <= own)) {
            match queue.entries.pop() {
                Some(entry) => (entry.event, entry.late),
                None => return Step::Again,
            }
        } else {
            (Event::Own, false)
        };
        if event != Event::Own && now > target.saturating_add(self.times.late_limit) {
            if is_mark(&event) {
                lock(&self.stats).dropped += 1;
            }
            return Step::Again;
        }
        let moment = Moment {
            at,
            now,
            until: span(at.saturating_add(latency), now),
            wall: SystemTime::now(),
        };
        match queue.encode.encode(&event, moment) {
            Ok(Some(message)) => Step::Send {
                message,
                counted: (is_mark(&event) || event == Event::Own).then_some((target, late)),
                timebase: Some(timebase),
            },
            Ok(None) => Step::Again,
            Err(err) => {
                gst::warning!(CAT, "{event:?} cannot be sent: {err}");
                lock(&self.stats).dropped += 1;
                Step::Again
            }
        }
    }

    /// Sends at once, or drops and counts it.
    fn send(
        &self,
        message: &[u8],
        counted: Option<(gst::ClockTime, bool)>,
        timebase: Option<Timebase>,
    ) {
        let delivery = {
            let mut connection = lock(&self.connection);
            match connection.link.as_mut().map(|link| link.send(message)) {
                None => None,
                Some(Ok(delivery)) => Some(delivery),
                Some(Err(err)) => {
                    connection.link = None;
                    connection.lost = Some(err);
                    self.rest.notify_all();
                    None
                }
            }
        };
        let Some((target, late)) = counted else {
            return;
        };
        let now = timebase.map(|timebase| timebase.now());
        let mut stats = lock(&self.stats);
        match delivery {
            Some(Delivery { sent: true, missed }) => {
                let lateness = now.map_or(0, |now| now.saturating_sub(target).nseconds());
                stats.sent(lateness, late);
                stats.missed += missed;
            }
            _ => stats.dropped += 1,
        }
    }

    /// The connector.
    fn keep_connected(&self, mut connect: Box<dyn Connect>, retry_limit: u32) {
        let peer = connect.peer();
        let mut failures = 0;
        let mut reported = false;
        let mut connected_before = false;
        loop {
            let now = {
                let queue = lock(&self.queue);
                queue.timebase.clone()
            }
            .map(|timebase| timebase.now());
            let lost = {
                let mut connection = lock(&self.connection);
                if connection.stopped {
                    return;
                }
                if let Some(link) = connection.link.as_mut() {
                    match link.service(now) {
                        Ok(()) => {
                            let pace = connect.pace();
                            drop(self.rest.wait_timeout(connection, pace));
                            continue;
                        }
                        Err(err) => {
                            connection.link = None;
                            connection.lost = Some(err);
                        }
                    }
                }
                connection.lost.take()
            };
            if let Some(err) = lost {
                self.report(
                    &mut reported,
                    &format!("Lost the connection to {peer}: {err}"),
                );
            }
            let is_stopped = || lock(&self.connection).stopped;
            match connect.connect(&Control {
                is_stopped: &is_stopped,
            }) {
                Ok(link) => {
                    let mut connection = lock(&self.connection);
                    if connection.stopped {
                        return;
                    }
                    connection.link = Some(link);
                    drop(connection);
                    gst::info!(CAT, "connected to {peer}");
                    if connected_before {
                        lock(&self.stats).reconnects += 1;
                    }
                    connected_before = true;
                    reported = false;
                    failures = 0;
                }
                Err(_) if is_stopped() => return,
                Err(err) => {
                    failures += 1;
                    self.report(&mut reported, &format!("No connection to {peer}: {err}"));
                    if failures > retry_limit {
                        let text =
                            format!("No connection to {peer} after {failures} attempts: {err}");
                        self.warn(&text, "it is not tried again before the next start");
                        return;
                    }
                    gst::debug!(CAT, "attempt {failures}: no connection to {peer}: {err}");
                    let pause = Duration::from_millis(100 << failures.min(6)).min(MAX_PAUSE);
                    let connection = lock(&self.connection);
                    if !connection.stopped {
                        drop(self.rest.wait_timeout(connection, pause));
                    }
                }
            }
        }
    }

    /// Tells the user of a loss, once until there is a connection again.
    fn report(&self, reported: &mut bool, text: &str) {
        if !std::mem::replace(reported, true) {
            self.warn(text, "it is tried again; marks are dropped until then");
        }
    }

    fn warn(&self, text: &str, debug: &str) {
        if let Some(element) = self.element.upgrade() {
            gst::element_warning!(element, gst::ResourceError::Write, ("{text}"), ["{debug}"]);
        }
    }
}

/// Lets a write to a pipe that nobody reads fail with an error in this thread, which is ours, in place
/// of the signal that ends the program.
fn block_broken_pipes() {
    // SAFETY: the set is initialised before it is used, and both are this frame's own.
    unsafe {
        let mut set = std::mem::MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Longest pause between two attempts to connect.
const MAX_PAUSE: Duration = Duration::from_secs(5);
