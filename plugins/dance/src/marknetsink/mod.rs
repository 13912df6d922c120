// SPDX-License-Identifier: MPL-2.0
//! `marknetsink` sends the marks that ride on a stream to lamps, browsers and programs, each at its instant.
//!
//! It takes any caps and ends the branch: the buffers themselves are dropped. Marks are read from
//! [`GstRhythmMeta`](crate::marks) and from `rhythm-marks` events, and repeats are dropped by (source,
//! id). A mark leaves when the pipeline's clock shows its running time, plus the latency of the
//! pipeline, so that it leaves when a sink beside it plays the sound, less `lead`. A beat that is
//! announced ahead leaves exactly then; a mark that becomes known later leaves at once and is counted
//! as `late`, and one that is later than `late-limit` is dropped. The end of the stream waits for the
//! last mark.
//!
//! | `protocol` | to whom | each mark |
//! |---|---|---|
//! | `osc` | UDP `host`:`port` (127.0.0.1:9000) | a message to `osc-address`: beats with tempo, place in the bar, confidence; others with strength, confidence; a change of tempo with tempo, confidence, beats in a bar |
//! | `os2l` | TCP, a lighting program: `host`:`port` (9996), or the first that DNS-SD finds as `_os2l._tcp` | beats, as JSON objects `{"evt":"beat","change":…,"pos":…,"bpm":…,"strength":…}` |
//! | `wled` | UDP, the group 239.0.0.1:11988, or one lamp | audio sync version 2, 44 bytes: a peak; where the stream is raw audio, also its level and 16 bands 50 times a second |
//! | `websocket` | a server at `host`:`port` (127.0.0.1:8765) | a JSON object with the fields of `marksink`, `type`, and `due`, `due-in`: when it is heard |
//! | `obs` | obs-websocket 5 at `host`:`port` (127.0.0.1:4455) | an event `event-name` in every browser source; the tempo in `text-source` |
//! | `midi-clock` | the raw port `device` | 24 ticks a beat, with start, stop and continue |
//!
//! A connection that is lost is opened again, `retry-limit` times in a row, with growing pauses. The
//! loss is told by one warning on the bus, and so is giving up; marks are dropped and counted
//! meanwhile, and the stream goes on. No receiver can hold the stream up: what one does not take is
//! dropped after 16 KiB (64 KiB for a client of the WebSocket).
//!
//! **OSC.** With `osc-timetags` each message is in a bundle with the time of the day at which it is
//! heard, for receivers that schedule. `osc-preset=resolume` sends the tempo, as a share of 20 to 500
//! beats a minute, and a resync at each downbeat; `osc-preset=qlcplus` sends 1, and 0 after 100 ms, as
//! a button is pressed.
//!
//! **WLED.** In place of the spectrum of other than raw audio, all bands show the strength of the
//! mark for 100 ms.
//!
//! **WebSocket.** The same address serves the page `examples/overlay.html` to browsers. A client that
//! joins is told the clock (`hello`), the tempo and when the next beat is due (`next-beat`); with
//! `?since=NS` in the address also the marks after that running time, of the last 1024. It may send
//! `{"ping": NUMBER}` and is answered `{"type":"pong","ping":NUMBER,"now":NS}`, by which it finds the
//! offset of its clock. Pages of other machines are refused unless `allowed-origins` names them; a
//! client that sends more than 1 KiB at once or 50 messages a second, or takes nothing for 10 s, is let
//! go. There is no encryption: put a reverse proxy in front where others share the network.
//!
//! **MIDI clock.** ALSA's sequencer is not needed: a raw port is a file. A program that wants a
//! sequencer port gets one through `snd-virmidi`, whose raw ports are sequencer ports, too. The ticks
//! between two beats are equally spaced, those before an announced beat are moved so that one falls on
//! it. The clock starts with a bar, stops with the stream or when four beats are missing, and goes on at a
//! beat.
//!
//! The password of OBS is never shown: the property `password` cannot be read.
//!
//! ```sh
//! gst-launch-1.0 audiotestsrc is-live=true wave=ticks num-buffers=200 ! onsetdetect ! \
//!     marknetsink protocol=osc host=127.0.0.1 port=9000
//! ```

use gst::glib;

mod clients;
mod imp;
mod midi;
mod obs;
mod os2l;
mod osc;
mod protocol;
mod sender;
mod settings;
mod stats;
mod websocket;
mod wled;

/// How marks are sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstMarkNetSinkProtocol")]
pub enum Protocol {
    /// Open Sound Control.
    #[default]
    #[enum_value(name = "Open Sound Control over UDP", nick = "osc")]
    Osc,
    /// What DJ programs tell lighting programs.
    #[enum_value(name = "OS2L: beats to lighting programs, over TCP", nick = "os2l")]
    Os2l,
    /// Lamps with WLED.
    #[enum_value(
        name = "WLED audio sync version 2, to all lamps of a network",
        nick = "wled"
    )]
    Wled,
    /// Browsers and other programs.
    #[enum_value(name = "WebSocket server, JSON", nick = "websocket")]
    WebSocket,
    /// OBS Studio.
    #[enum_value(name = "OBS Studio, by obs-websocket 5", nick = "obs")]
    Obs,
    /// Sequencers and synthesizers.
    #[enum_value(name = "MIDI clock to a raw port", nick = "midi-clock")]
    MidiClock,
}

/// Whose conventions OSC messages follow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstMarkNetSinkOscPreset")]
pub enum OscPreset {
    /// Ours.
    #[default]
    #[enum_value(name = "One message a mark, to osc-address", nick = "dance")]
    Dance,
    /// Resolume Arena and Avenue.
    #[enum_value(name = "Tempo and resync of Resolume", nick = "resolume")]
    Resolume,
    /// QLC+.
    #[enum_value(
        name = "Buttons of QLC+: 1, and 0 after 100 ms, to osc-address",
        nick = "qlcplus"
    )]
    Qlcplus,
}

glib::wrapper! {
    /// The element `marknetsink`.
    pub struct MarkNetSink(ObjectSubclass<imp::MarkNetSink>)
        @extends gst_base::BaseSink, gst::Element, gst::Object;
}
