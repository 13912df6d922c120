// SPDX-License-Identifier: MPL-2.0
//! OS2L: JSON objects over TCP to a lighting program, which is found by DNS-SD where no host is named.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent};
use serde::Serialize;

use super::protocol::{Connect, Control, Delivery, Encode, Event, Link, Moment, Opened, Outbox};
use super::settings::Settings;

/// The port of QLC+, for a host that is named without one.
pub(super) const PORT: u16 = 9996;
/// What lighting programs announce themselves as.
const SERVICE: &str = "_os2l._tcp.local.";
/// How long an announcement is waited for.
const SEARCH: Duration = Duration::from_secs(3);

/// # Errors
/// None.
pub(super) fn open(settings: &Settings) -> Opened {
    let connect = Server {
        host: settings.host.clone(),
        port: settings.port_or(PORT),
        interface: settings.interface.clone(),
    };
    Ok((Box::<Os2l>::default(), Box::new(connect)))
}

/// One beat, as OS2L has it.
#[derive(Serialize)]
struct Beat {
    evt: &'static str,
    /// Whether the count of beats has jumped.
    change: bool,
    /// Beats since the start; multiples of the bar's length are downbeats.
    pos: u64,
    bpm: f64,
    /// In per cent.
    strength: f64,
}

#[derive(Default)]
struct Os2l {
    /// Position of the last beat.
    position: Option<u64>,
    beats_per_bar: u64,
}

impl Encode for Os2l {
    fn wants(&self, event: &Event) -> bool {
        match event {
            Event::Mark { mark, .. } => mark.kind.is_beat(),
            Event::Tempo(_) => true,
            _ => false,
        }
    }

    fn encode(&mut self, event: &Event, _: Moment) -> io::Result<Option<Vec<u8>>> {
        let mark = match event {
            Event::Tempo(tempo) => {
                self.beats_per_bar = tempo.beats_per_bar.into();
                return Ok(None);
            }
            Event::Mark { mark, .. } => mark,
            _ => return Ok(None),
        };
        let expected = self.position.map_or(0, |position| position + 1);
        let mut pos = expected;
        if self.beats_per_bar > 0 && mark.beat_in_bar > 0 {
            // The next position with that place in the bar.
            let place = u64::from(mark.beat_in_bar - 1) % self.beats_per_bar;
            pos +=
                (place + self.beats_per_bar - expected % self.beats_per_bar) % self.beats_per_bar;
        }
        let beat = Beat {
            evt: "beat",
            change: self.position.is_none() || pos != expected,
            pos,
            bpm: mark.bpm.unwrap_or(0.0),
            strength: (100.0 * mark.confidence).clamp(0.0, 100.0),
        };
        self.position = Some(pos);
        Ok(Some(serde_json::to_vec(&beat)?))
    }
}

/// The lighting program, which is the server.
struct Server {
    host: Option<String>,
    port: u16,
    interface: Option<String>,
}

impl Server {
    /// The first that announces itself.
    fn find(&self, control: &Control) -> io::Result<TcpStream> {
        let daemon = ServiceDaemon::new().map_err(io::Error::other)?;
        let found = self.browse(&daemon, control);
        let _ = daemon.shutdown();
        found
    }

    fn browse(&self, daemon: &ServiceDaemon, control: &Control) -> io::Result<TcpStream> {
        if let Some(interface) = &self.interface {
            let kind = interface
                .parse()
                .map_or_else(|_| IfKind::Name(interface.clone()), IfKind::Addr);
            daemon
                .disable_interface(IfKind::All)
                .and_then(|()| daemon.enable_interface(kind))
                .map_err(io::Error::other)?;
        }
        let events = daemon.browse(SERVICE).map_err(io::Error::other)?;
        let until = Instant::now() + SEARCH;
        loop {
            match events.try_recv() {
                Ok(ServiceEvent::ServiceResolved(service)) => {
                    let mut last = None;
                    for address in service.get_addresses() {
                        match control.tcp(&address.to_string(), service.get_port()) {
                            Ok(stream) => return Ok(stream),
                            Err(err) => last = Some(err),
                        }
                    }
                    if let Some(err) = last {
                        return Err(err);
                    }
                }
                Ok(_) => (),
                Err(_) => control.wait_until(
                    until,
                    "no lighting program announces itself; start one, or set 'host'",
                )?,
            }
        }
    }
}

impl Connect for Server {
    fn peer(&self) -> String {
        self.host.as_ref().map_or_else(
            || format!("an OS2L server ({SERVICE})"),
            |host| format!("OS2L {host}:{}", self.port),
        )
    }

    fn connect(&mut self, control: &Control) -> io::Result<Box<dyn Link>> {
        let stream = match &self.host {
            Some(host) => control.tcp(host, self.port)?,
            None => self.find(control)?,
        };
        Ok(Box::new(Connection(Outbox::new(stream))))
    }
}

struct Connection(Outbox<TcpStream>);

impl Link for Connection {
    fn send(&mut self, message: &[u8]) -> io::Result<Delivery> {
        self.0.send(message)
    }

    fn service(&mut self, _: Option<gst::ClockTime>) -> io::Result<()> {
        self.0.discard_input()?;
        self.0.flush()
    }
}
