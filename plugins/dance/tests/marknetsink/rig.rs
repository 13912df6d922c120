// SPDX-License-Identifier: MPL-2.0
//! A stream of marks into `marknetsink`, and what stands at the other end.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstdance::marks::{Kind, Mark};

use super::common::*;

/// A pipeline that marks are pushed into, on the system's clock.
pub struct Rig {
    pub pipeline: Playing,
    source: gst::Element,
    pub sink: gst::Element,
}

impl Rig {
    pub fn new(properties: &str) -> Self {
        Self::with_caps("application/x-marks", properties)
    }

    pub fn with_caps(caps: &str, properties: &str) -> Self {
        let pipeline = Playing::new(&format!(
            "appsrc name=source format=time caps={caps} ! marknetsink name=sink {properties}"
        ));
        // Not that of a sound card.
        pipeline.use_clock(Some(&gst::SystemClock::obtain()));
        let source = pipeline.by_name("source").unwrap();
        let sink = pipeline.by_name("sink").unwrap();
        Self {
            pipeline,
            source,
            sink,
        }
    }

    /// Goes to PLAYING, for which the sink has a first buffer, and waits for the connection.
    pub fn play(self) -> Self {
        self.start();
        self.wait(|rig| rig.flag("connected"));
        self
    }

    /// As [`Self::play`], without a connection.
    pub fn start(&self) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
        self.push(ms(0), &[]);
        let (result, state, _) = self.pipeline.state(gst::ClockTime::from_seconds(10));
        assert!(result.is_ok() && state == gst::State::Playing);
    }

    pub fn push(&self, pts: gst::ClockTime, found: &[Mark]) {
        self.push_buffer(buffer(pts, ms(0), found));
    }

    pub fn push_buffer(&self, buffer: gst::Buffer) {
        let flow: gst::FlowReturn = self.source.emit_by_name("push-buffer", &[&buffer]);
        assert_eq!(flow, gst::FlowReturn::Ok);
    }

    pub fn push_event(&self, event: gst::Event) {
        assert!(self.source.send_event(event));
    }

    pub fn end(&self) {
        let flow: gst::FlowReturn = self.source.emit_by_name("end-of-stream", &[]);
        assert_eq!(flow, gst::FlowReturn::Ok);
    }

    /// Ends the stream, and waits for its end.
    pub fn finish(&self) {
        self.end();
        let message = self.pipeline.end();
        assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    }

    pub fn now(&self) -> gst::ClockTime {
        self.pipeline.current_running_time().unwrap()
    }

    pub fn count(&self, name: &str) -> u64 {
        stat(&self.sink, name)
    }

    pub fn flag(&self, name: &str) -> bool {
        let stats = self.sink.property::<gst::Structure>("stats");
        stats.get(name).unwrap()
    }

    pub fn clients(&self) -> u32 {
        let stats = self.sink.property::<gst::Structure>("stats");
        stats.get("clients").unwrap()
    }

    #[track_caller]
    pub fn wait(&self, done: impl Fn(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            let stats = self.sink.property::<gst::Structure>("stats");
            assert!(Instant::now() < until, "it never comes to this: {stats}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The texts of the warnings so far.
    pub fn warnings(&self) -> Vec<String> {
        let bus = self.pipeline.bus().unwrap();
        std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning]))
            .map(|message| match message.view() {
                gst::MessageView::Warning(warning) => warning.error().to_string(),
                _ => unreachable!(),
            })
            .collect()
    }
}

/// A beat, the place in the bar counted by its id.
pub fn beat(id: u64, at: gst::ClockTime) -> Mark {
    let place = id % 4;
    let kind = [Kind::Downbeat, Kind::Beat][usize::from(place > 0)];
    Mark {
        beat_in_bar: place as u32 + 1,
        predicted: true,
        ..mark(id, kind, at)
    }
}

/// A receiver of datagrams on this machine, and its port.
pub fn udp() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

pub fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).expect("no datagram");
    buffer[..length].to_vec()
}

/// A server on this machine, and its port.
pub fn tcp() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

pub fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// The value that a share `q` of all do not exceed.
pub fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((q * values.len() as f64).ceil() as usize).max(1) - 1]
}
