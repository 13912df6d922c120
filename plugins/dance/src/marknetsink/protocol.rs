// SPDX-License-Identifier: MPL-2.0
//! What every protocol is: three small parts, each on its own thread, so that none waits for another.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant, SystemTime};

use gst::prelude::*;

use crate::marks::Mark;

/// What leaves at an instant.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// A mark and the element it comes from.
    Mark { source: String, mark: Mark },
    /// The tempo that holds from here on.
    Tempo(Tempo),
    /// The spectrum of the audio around here.
    Bands(Box<dance_rhythm::bands::Bands>),
    /// The protocol asked for this instant by [`Encode::next`].
    Own,
}

/// What the event `rhythm-tempo` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Tempo {
    /// Beats per minute; 0 when there is no tempo any more.
    pub(super) bpm: f64,
    /// How sure it is, 0 to 1.
    pub(super) confidence: f64,
    /// Beats in a bar, 0 where not known.
    pub(super) beats_per_bar: u32,
}

/// When a message is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Running time of the event in the stream.
    pub(super) at: gst::ClockTime,
    /// Running time on the clock now.
    pub(super) now: gst::ClockTime,
    /// From now until the event is heard, in ns; negative if it is late.
    pub(super) until: i64,
    /// Time of the day now.
    pub(super) wall: SystemTime,
}

/// Turns events into messages; called by the thread that keeps the time, so that it never waits.
pub(super) trait Encode: Send {
    /// Whether the protocol has a form for the event; others are not queued.
    fn wants(&self, event: &Event) -> bool;

    /// An event that is known before its instant, at running time `at`.
    fn announce(&mut self, _event: &Event, _at: gst::ClockTime) {}

    /// The message of an event whose instant has come; `None` where there is nothing to say.
    ///
    /// # Errors
    /// If it cannot be put into the protocol's form.
    fn encode(&mut self, event: &Event, moment: Moment) -> io::Result<Option<Vec<u8>>>;

    /// Running time of the next message that the protocol sends of its own accord.
    fn next(&self) -> Option<gst::ClockTime> {
        None
    }

    /// The stream plays (`true`), rests or ends.
    fn transport(&mut self, _playing: bool) -> Option<Vec<u8>> {
        None
    }

    /// The stream was flushed: what was announced will not come.
    fn flush(&mut self) {}
}

/// Opens the connection; called by a thread that may wait.
pub(super) trait Connect: Send {
    /// Who is at the other end, for messages to the user; without secrets.
    fn peer(&self) -> String;

    /// Opens it, or opens it again.
    ///
    /// # Errors
    /// Why there is no connection, for the user to read.
    fn connect(&mut self, control: &Control) -> io::Result<Box<dyn Link>>;

    /// Whether opening never waits, so that a stop may wait for it.
    fn is_quick(&self) -> bool {
        false
    }

    /// How long to rest between two calls of [`Link::service`].
    fn pace(&self) -> Duration {
        Duration::from_millis(50)
    }
}

/// Both halves of a protocol, or what is wrong with its settings.
pub(super) type Opened = Result<(Box<dyn Encode>, Box<dyn Connect>), String>;

/// An open connection. No call of it waits for the other end.
pub(super) trait Link: Send {
    /// Sends a message.
    ///
    /// # Errors
    /// If the connection is lost.
    fn send(&mut self, message: &[u8]) -> io::Result<Delivery>;

    /// Reads what the other end says, and sends what is left of earlier messages.
    ///
    /// # Errors
    /// If the connection is lost.
    fn service(&mut self, _now: Option<gst::ClockTime>) -> io::Result<()> {
        Ok(())
    }

    /// How many receivers there are.
    fn clients(&self) -> usize {
        1
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Whether the system took it, for at least one receiver that is there.
    pub(super) sent: bool,
    /// How many receivers took no more for now, and missed it.
    pub(super) missed: u64,
}

impl Delivery {
    pub(super) const SENT: Self = Self {
        sent: true,
        missed: 0,
    };
    pub(super) const MISSED: Self = Self {
        sent: false,
        missed: 1,
    };
}

/// Lets a connection that is being opened know that nobody waits for it any more.
pub(super) struct Control<'a> {
    pub(super) is_stopped: &'a dyn Fn() -> bool,
}

impl Control<'_> {
    /// Longest wait for one address.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// Connects to the first address that answers; the stream is non-blocking and sends at once.
    ///
    /// # Errors
    /// If none answers in time.
    pub(super) fn tcp(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("'{host}' has no address"));
        for address in (host, port).to_socket_addrs()? {
            match self.tcp_address(address) {
                Ok(stream) => return Ok(stream),
                Err(err) => last = err,
            }
            if (self.is_stopped)() {
                break;
            }
        }
        Err(last)
    }

    fn tcp_address(&self, address: SocketAddr) -> io::Result<TcpStream> {
        use socket2::{Domain, Protocol, Socket, Type};
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // Without blocking, so that a stop need not wait for a host that says nothing.
        let connecting = socket.connect(&address.into());
        let until = Instant::now() + Self::PATIENCE;
        if let Err(err) = connecting {
            if err.raw_os_error() != Some(libc::EINPROGRESS) {
                return Err(err);
            }
            loop {
                if let Some(err) = socket.take_error()? {
                    return Err(err);
                }
                if socket.peer_addr().is_ok() {
                    break;
                }
                self.wait_until(until, "it does not answer")?;
            }
        }
        Ok(socket.into())
    }

    /// Rests for a moment of an attempt that may last until `until`.
    ///
    /// # Errors
    /// If the time is over, or nobody waits any more.
    pub(super) fn wait_until(&self, until: Instant, what: &str) -> io::Result<()> {
        if (self.is_stopped)() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if Instant::now() >= until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        std::thread::sleep(Duration::from_millis(5));
        Ok(())
    }
}

/// The clock of a stream that plays.
#[derive(Clone)]
pub(super) struct Timebase {
    pub(super) clock: gst::Clock,
    pub(super) base_time: gst::ClockTime,
}

impl Timebase {
    /// Running time now.
    pub(super) fn now(&self) -> gst::ClockTime {
        self.clock.time().saturating_sub(self.base_time)
    }
}

/// A non-blocking writer with a bounded rest of what it did not take yet.
pub(super) struct Outbox<W> {
    writer: W,
    rest: Vec<u8>,
}

impl<W: Write> Outbox<W> {
    /// How much may be left before messages are dropped, in bytes.
    const LIMIT: usize = 16 * 1024;

    pub(super) fn new(writer: W) -> Self {
        Self {
            writer,
            rest: Vec::new(),
        }
    }

    /// Sends a whole message, at once or later, or drops it whole.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<Delivery> {
        self.flush()?;
        if self.rest.len() + message.len() > Self::LIMIT {
            return Ok(Delivery::MISSED);
        }
        self.rest.extend_from_slice(message);
        self.flush()?;
        Ok(Delivery::SENT)
    }

    /// Sends of the rest what the writer takes.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.rest.is_empty() {
            match self.writer.write(&self.rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.rest.drain(..written)),
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => (),
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }
}

impl<W: Read> Outbox<W> {
    /// Reads and forgets what the other end says, so that it cannot fill the connection.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(super) fn discard_input(&mut self) -> io::Result<()> {
        let mut buffer = [0; 1024];
        // A bounded number of reads: a flood must not keep the thread.
        for _ in 0..16 {
            match self.writer.read(&mut buffer) {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::ConnectionReset,
                        "the other end closed it",
                    ));
                }
                Ok(_) => (),
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => (),
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }
}
