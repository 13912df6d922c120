// SPDX-License-Identifier: MPL-2.0
//! Elements of two branches: the media of the main one waits in a queue for what the other one says, and a task of the
//! source pad sends it on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;

use crate::element::post_latency;
use crate::lock::lock;

/// How soon an unanswered LATENCY query is asked again.
const LATENCY_RETRY: Duration = Duration::from_millis(50);

/// What the element answers to LATENCY.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) live: bool,
    /// How long after its start, on the clock, media leaves at the latest.
    pub(crate) min: gst::ClockTime,
    pub(crate) max: Option<gst::ClockTime>,
    /// How much longer media waits here because the other branch is later.
    pub(crate) behind: gst::ClockTime,
    /// Whether every linked branch has answered.
    pub(crate) sure: bool,
}

/// What both branches answer to LATENCY.
pub(crate) struct Asked {
    pub(crate) live: bool,
    pub(crate) min: gst::ClockTime,
    pub(crate) max: Option<gst::ClockTime>,
    /// Of the other branch, if it is linked.
    pub(crate) other: Option<gst::ClockTime>,
}

/// What is known of the task.
pub(crate) struct Pace {
    /// What downstream answered; flushing while the source pad is not active.
    pub(crate) flow: Result<gst::FlowSuccess, gst::FlowError>,
    pub(crate) playing: bool,
    pub(crate) latency: Option<Latency>,
    /// When what is next began to wait.
    pub(crate) waiting: Option<Instant>,
    clock_id: Option<gst::SingleShotClockId>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            flow: Err(gst::FlowError::Flushing),
            playing: false,
            latency: None,
            waiting: None,
            clock_id: None,
        }
    }
}

/// What to send, once work that was done unlocked is back; none if a flush has made it void.
pub(crate) type Then<S, O> = Box<dyn FnOnce(&mut S) -> Option<Vec<O>>>;

/// What comes next.
pub(crate) enum Next<S, O> {
    /// To be sent, in order.
    Push(Vec<O>),
    /// Something that takes its time, to be done with nothing locked.
    Work(Box<dyn FnOnce() -> Then<S, O>>),
    /// To be asked again.
    Again,
    /// A change of state.
    Change,
    /// A change of state, or this long.
    ChangeOr(Duration),
    /// A change of state, or this running time on the clock.
    Clock(gst::ClockTime),
    /// The latency, which is not known.
    Latency,
}

/// What the element knows, under its lock.
pub(crate) trait State {
    /// What the source pad sends.
    type Out;

    fn pace(&mut self) -> &mut Pace;
    /// Whether the main branch is flushing.
    fn is_flushing(&self) -> bool;
    fn set_flushing(&mut self, flushing: bool);
    /// Puts an event at the end of the queue.
    fn queue(&mut self, event: gst::Event);
    /// Goes on after the stream has come to its end downstream and another one follows without a flush.
    fn reopen(&mut self);
    /// What was to be sent has been sent; whether the main branch has come to its end, so that nothing else reports to
    /// upstream that downstream has failed.
    fn sent(&mut self) -> bool;
}

/// The state, and who waits for it to change.
#[derive(Default)]
pub(crate) struct Shared<S> {
    state: Mutex<S>,
    changed: Condvar,
    /// Whether the source pad is active. The task starts and rests under this lock, so that neither overtakes the other,
    /// and a flush from another thread cannot start it on a pad that is being shut down.
    active: Mutex<bool>,
}

type OutOf<T> = <<T as Combine>::State as State>::Out;

/// An element of two branches.
pub(crate) trait Combine: ElementImpl<Type: Send + Sync> {
    type State: State;

    fn shared(&self) -> &Shared<Self::State>;
    /// The sink of the branch whose media leaves, that of the other one, and where it leaves.
    fn pads(&self) -> [&gst::Pad; 3];
    /// Decides what comes next; `overdue` if the time that it was waited for on the clock has passed.
    fn decide(&self, state: &mut Self::State, overdue: bool) -> Next<Self::State, OutOf<Self>>;
    /// Sends something, with nothing locked.
    ///
    /// # Errors
    /// What downstream answers to a buffer.
    fn send(&self, out: OutOf<Self>) -> Result<gst::FlowSuccess, gst::FlowError>;
    /// The latency that follows from that of the branches.
    fn latency(&self, asked: &Asked) -> Latency;
    /// The other branch has been linked or unlinked.
    fn link_changed(&self, state: &mut Self::State, linked: bool);

    fn srcpad(&self) -> &gst::Pad {
        self.pads()[2]
    }

    fn state(&self) -> MutexGuard<'_, Self::State> {
        lock(&self.shared().state)
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, Self::State>) -> MutexGuard<'a, Self::State> {
        let changed = self.shared().changed.wait(state);
        changed.unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for<'a>(
        &'a self,
        state: MutexGuard<'a, Self::State>,
        timeout: Duration,
    ) -> MutexGuard<'a, Self::State> {
        let changed = self.shared().changed.wait_timeout(state, timeout);
        changed.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Has everybody look at the state again.
    fn kick(&self, state: &mut Self::State) {
        self.shared().changed.notify_all();
        if let Some(id) = &state.pace().clock_id {
            id.unschedule();
        }
    }

    fn report_flow(&self, err: gst::FlowError) {
        if !matches!(err, gst::FlowError::Flushing | gst::FlowError::Eos) {
            gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("Internal data stream error"),
                ["streaming stopped, reason {err}"]
            );
        }
    }

    /// Adds the pads, and watches the link of the other branch.
    fn construct<'a>(&self, pads: impl IntoIterator<Item = &'a gst::Pad>) {
        let obj = self.obj();
        crate::element::add_pads(&*obj, pads);
        for (linked, signal) in [(true, "linked"), (false, "unlinked")] {
            let element = obj.downgrade();
            self.pads()[1].connect(signal, false, move |_| {
                if let Some(element) = element.upgrade() {
                    let this = Self::from_obj(&element);
                    this.link_changed(&mut this.state(), linked);
                    this.forget_latency();
                }
                None
            });
        }
    }

    fn set_playing(&self, playing: bool) {
        let mut state = self.state();
        state.pace().playing = playing;
        // Time spent in another state does not count.
        state.pace().waiting = None;
        self.kick(&mut state);
    }

    // The main sink.

    fn activate_main(&self, _pad: &gst::Pad, active: bool) -> Result<(), gst::LoggableError> {
        {
            let mut state = self.state();
            state.set_flushing(!active);
            self.kick(&mut state);
        }
        if active {
            self.start_task();
        }
        Ok(())
    }

    fn begin_flush(&self, event: gst::Event) -> bool {
        {
            let mut state = self.state();
            state.set_flushing(true);
            state.pace().flow = Err(gst::FlowError::Flushing);
            self.kick(&mut state);
        }
        let result = self.srcpad().push_event(event);
        // Waits for the task to come to rest; there is none on an inactive pad.
        let _ = self.srcpad().pause_task();
        result
    }

    /// Queues a serialized event behind the media.
    fn enqueue<'a>(&'a self, mut state: MutexGuard<'a, Self::State>, event: gst::Event) -> bool {
        let type_ = event.type_();
        let begins = matches!(type_, gst::EventType::StreamStart | gst::EventType::Segment);
        if begins && state.pace().flow == Err(gst::FlowError::Eos) {
            // What was too much for the last segment may not be for the next one.
            state.reopen();
            drop(state);
            self.start_task();
            state = self.state();
        }
        if let Err(err) = state.pace().flow {
            drop(state);
            // Upstream sends nothing after an EOS that could be answered with it.
            if type_ == gst::EventType::Eos {
                self.report_flow(err);
            }
            return false;
        }
        state.queue(event);
        self.kick(&mut state);
        true
    }

    // The source pad.

    /// Answers what the element itself knows; `None` of other queries.
    fn answer(&self, query: &mut gst::QueryRef) -> Option<bool> {
        match query.view_mut() {
            gst::QueryViewMut::Latency(query) => {
                let latency = self.query_latency();
                let answer = latency.map(|it| query.set(it.live, it.min, it.max));
                Some(answer.is_some())
            }
            // The queue is behind a task of its own.
            gst::QueryViewMut::Scheduling(query) => {
                query.set(gst::SchedulingFlags::SEQUENTIAL, 1, -1, 0);
                query.add_scheduling_modes([gst::PadMode::Push]);
                Some(true)
            }
            _ => None,
        }
    }

    /// Asks both branches for their latency, and keeps what follows from it.
    fn query_latency(&self) -> Option<Latency> {
        let ask = |pad: &gst::Pad| {
            let mut query = gst::query::Latency::new();
            pad.peer_query(&mut query).then(|| query.result())
        };
        let [main_sink, other_sink, _] = self.pads();
        let linked = other_sink.is_linked();
        let main = ask(main_sink);
        let other = linked.then(|| ask(other_sink)).flatten();
        let (main_live, min, max) = main.unwrap_or_default();
        let (other_live, other_min, _) = other.unwrap_or_default();
        let latency = Latency {
            sure: main.is_some() && other.is_some() == linked,
            ..self.latency(&Asked {
                live: main_live || other_live,
                min,
                max,
                other: linked.then_some(other_min),
            })
        };
        gst::debug!(gst::CAT_RUST, imp = self, "{latency:?}");
        {
            let mut state = self.state();
            state.pace().latency = Some(latency);
            self.kick(&mut state);
        }
        main.map(|_| latency)
    }

    /// Has the latency asked for again, by everybody.
    fn forget_latency(&self) {
        {
            let mut state = self.state();
            state.pace().latency = None;
            self.kick(&mut state);
        }
        post_latency(&*self.obj());
    }

    /// Starts the task on an active pad; not while the main branch is flushed, whose end starts it.
    fn start_task(&self) {
        let active = lock(&self.shared().active);
        {
            let mut state = self.state();
            if !*active || state.is_flushing() {
                return;
            }
            state.pace().flow = Ok(gst::FlowSuccess::Ok);
        }
        let element = self.obj().downgrade();
        let result = self.srcpad().start_task(move || {
            if let Some(element) = element.upgrade() {
                Self::from_obj(&element).iterate();
            }
        });
        if let Err(err) = result {
            gst::error!(
                gst::CAT_RUST,
                imp = self,
                "no task for the source pad: {err}"
            );
        }
    }

    fn activate_src(&self, pad: &gst::Pad, active: bool) -> Result<(), gst::LoggableError> {
        *lock(&self.shared().active) = active;
        if active {
            // As a rule the sink is activated after this, and starts it then.
            self.start_task();
            return Ok(());
        }
        {
            let mut state = self.state();
            state.pace().flow = Err(gst::FlowError::Flushing);
            self.kick(&mut state);
        }
        pad.stop_task().map_err(|err| {
            gst::loggable_error!(gst::CAT_RUST, "no end of the source pad's task: {err}")
        })
    }

    /// One turn of the task: sends what is next as soon as it may leave.
    fn iterate(&self) {
        let Some(outs) = self.next() else {
            // Flushing, ended or failed: a flush or a new start begins again, and may have done so just now.
            let _starts = lock(&self.shared().active);
            if self.state().pace().flow.is_err() {
                let _ = self.srcpad().pause_task();
            }
            return;
        };
        let mut result = Ok(gst::FlowSuccess::Ok);
        for out in outs {
            if let Err(err) = self.send(out) {
                result = Err(err);
            }
        }
        let failed = {
            let mut state = self.state();
            let at_end = state.sent();
            let failed = match result {
                // A flush in the meantime outranks what came of the push.
                Err(err) if state.pace().flow.is_ok() => {
                    state.pace().flow = Err(err);
                    at_end.then_some(err)
                }
                _ => None,
            };
            self.shared().changed.notify_all();
            failed
        };
        if let Some(err) = failed {
            self.report_flow(err);
        }
    }

    /// What to send next, in order; `None` where nothing is to be sent any more.
    fn next(&self) -> Option<Vec<OutOf<Self>>> {
        let mut state = self.state();
        let mut overdue = false;
        loop {
            state.pace().flow.ok()?;
            let next = self.decide(&mut state, std::mem::take(&mut overdue));
            // There may be room now.
            self.shared().changed.notify_all();
            match next {
                Next::Push(outs) => return Some(outs),
                Next::Work(work) => {
                    drop(state);
                    let then = work();
                    state = self.state();
                    if state.pace().flow.is_ok()
                        && let Some(outs) = then(&mut state)
                    {
                        self.shared().changed.notify_all();
                        return Some(outs);
                    }
                }
                Next::Again => (),
                Next::Change => state = self.wait(state),
                Next::ChangeOr(timeout) => state = self.wait_for(state, timeout),
                Next::Clock(running_time) => {
                    let obj = self.obj();
                    let (Some(clock), Some(base_time)) = (obj.clock(), obj.base_time()) else {
                        state = self.wait(state);
                        continue;
                    };
                    let deadline = base_time.saturating_add(running_time);
                    overdue = clock.time() >= deadline;
                    if !overdue {
                        let id = clock.new_single_shot_id(deadline);
                        state.pace().clock_id = Some(id.clone());
                        drop(state);
                        let _ = id.wait();
                        state = self.state();
                        state.pace().clock_id = None;
                    }
                }
                Next::Latency => {
                    // Where there was no answer yet, it is asked for again a little later.
                    if state.pace().latency.is_some() {
                        state = self.wait_for(state, LATENCY_RETRY);
                    }
                    drop(state);
                    self.query_latency();
                    state = self.state();
                }
            }
        }
    }
}
