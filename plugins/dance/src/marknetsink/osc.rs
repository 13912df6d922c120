// SPDX-License-Identifier: MPL-2.0
//! Open Sound Control 1.0 over UDP: one message a mark.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use rosc::{OscBundle, OscMessage, OscPacket, OscTime, OscType};

use super::OscPreset;
use super::protocol::{Connect, Control, Delivery, Encode, Event, Link, Moment, Opened};
use super::settings::Settings;
use crate::marks::{Kind, Mark};

/// The port that most receivers offer first.
pub(super) const PORT: u16 = 9000;
/// What stands for the kind of the mark in an address.
const KIND: &str = "{kind}";
/// How long a button of QLC+ is held.
const HELD: gst::ClockTime = gst::ClockTime::from_mseconds(100);
/// Tempi that Resolume's 0 and 1 stand for.
const RESOLUME_BPM: (f64, f64) = (20.0, 500.0);

/// # Errors
/// If the address is none of OSC.
pub(super) fn open(settings: &Settings) -> Opened {
    let address = settings.osc_address.clone();
    let plain = address.replace(KIND, "kind");
    // OSC 1.0: printable ASCII without what patterns are made of.
    let is_allowed = |c: char| c.is_ascii_graphic() && !"#*,?[]{}".contains(c);
    if !plain.starts_with('/') || !plain.chars().all(is_allowed) {
        return Err(format!(
            "'osc-address' is '{address}'; it must begin with '/' and have no spaces and none of # * , ? [ ] {{ }} but {KIND}"
        ));
    }
    let encode = Osc {
        address,
        preset: settings.osc_preset,
        timetags: settings.osc_timetags,
        held: VecDeque::new(),
    };
    let connect = Socket {
        host: settings.host.clone().unwrap_or_else(|| "127.0.0.1".into()),
        port: settings.port_or(PORT),
    };
    Ok((Box::new(encode), Box::new(connect)))
}

struct Osc {
    address: String,
    preset: OscPreset,
    timetags: bool,
    /// Addresses of buttons that are to be let go, and when.
    held: VecDeque<(gst::ClockTime, String)>,
}

impl Osc {
    fn address(&self, kind: &str) -> String {
        self.address.replace(KIND, kind)
    }

    fn message(&mut self, event: &Event, moment: Moment) -> Option<(String, Vec<OscType>)> {
        match (self.preset, event) {
            (OscPreset::Dance, Event::Mark { mark, .. }) => {
                Some((self.address(mark.kind.as_str()), arguments(mark)))
            }
            (OscPreset::Dance, Event::Tempo(tempo)) => {
                let bars = i32::try_from(tempo.beats_per_bar).unwrap_or(0);
                let arguments = vec![
                    OscType::Float(tempo.bpm as f32),
                    OscType::Float(tempo.confidence as f32),
                    OscType::Int(bars),
                ];
                // Into an address of its own, or a receiver would take it for a beat.
                let own = self.address.contains(KIND);
                own.then(|| (self.address("tempo"), arguments))
            }
            (OscPreset::Resolume, Event::Mark { mark, .. }) => {
                (mark.kind == Kind::Downbeat).then(|| {
                    let address = "/composition/tempocontroller/resync".to_owned();
                    (address, vec![OscType::Int(1)])
                })
            }
            (OscPreset::Resolume, Event::Tempo(tempo)) => {
                let (low, high) = RESOLUME_BPM;
                let share = (tempo.bpm - low) / (high - low);
                (0.0..=1.0).contains(&share).then(|| {
                    let address = "/composition/tempocontroller/tempo".to_owned();
                    (address, vec![OscType::Float(share as f32)])
                })
            }
            (OscPreset::Qlcplus, Event::Mark { mark, .. }) => {
                let address = self.address(mark.kind.as_str());
                self.held
                    .push_back((moment.at.saturating_add(HELD), address.clone()));
                Some((address, vec![OscType::Float(1.0)]))
            }
            (OscPreset::Qlcplus, Event::Own) => {
                let (_, address) = self.held.pop_front()?;
                Some((address, vec![OscType::Float(0.0)]))
            }
            _ => None,
        }
    }
}

/// Beats: tempo (0 where not known), place in the bar, confidence. Others: strength, confidence.
fn arguments(mark: &Mark) -> Vec<OscType> {
    let confidence = OscType::Float(mark.confidence as f32);
    if mark.kind.is_beat() {
        let bar = i32::try_from(mark.beat_in_bar).unwrap_or(0);
        let bpm = mark.bpm.unwrap_or(0.0) as f32;
        vec![OscType::Float(bpm), OscType::Int(bar), confidence]
    } else {
        vec![OscType::Float(mark.strength as f32), confidence]
    }
}

impl Encode for Osc {
    fn wants(&self, event: &Event) -> bool {
        matches!(event, Event::Mark { .. } | Event::Tempo(_))
    }

    fn encode(&mut self, event: &Event, moment: Moment) -> io::Result<Option<Vec<u8>>> {
        let Some((addr, args)) = self.message(event, moment) else {
            return Ok(None);
        };
        let mut packet = OscPacket::Message(OscMessage { addr, args });
        if self.timetags {
            let until = Duration::from_nanos(moment.until.unsigned_abs());
            let instant = if moment.until < 0 {
                moment.wall.checked_sub(until)
            } else {
                moment.wall.checked_add(until)
            };
            let timetag = OscTime::try_from(instant.unwrap_or(moment.wall))
                .map_err(|err| io::Error::other(err.to_string()))?;
            packet = OscPacket::Bundle(OscBundle {
                timetag,
                content: vec![packet],
            });
        }
        rosc::encoder::encode(&packet)
            .map(Some)
            .map_err(|err| io::Error::other(err.to_string()))
    }

    fn next(&self) -> Option<gst::ClockTime> {
        self.held.front().map(|(at, _)| *at)
    }
}

/// A receiver of datagrams.
struct Socket {
    host: String,
    port: u16,
}

impl Connect for Socket {
    fn peer(&self) -> String {
        format!("OSC {}:{}", self.host, self.port)
    }

    fn connect(&mut self, _: &Control) -> io::Result<Box<dyn Link>> {
        let none = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        let mut addresses = (self.host.as_str(), self.port).to_socket_addrs()?;
        let address = addresses.next().ok_or_else(none)?;
        Ok(Box::new(Datagrams::new(address)?))
    }
}

/// A socket that is not connected: one that is would report a receiver that is not there yet as an
/// error.
pub(super) struct Datagrams {
    socket: UdpSocket,
    to: SocketAddr,
}

impl Datagrams {
    /// # Errors
    /// If the system has no socket.
    pub(super) fn new(to: SocketAddr) -> io::Result<Self> {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        Self::with(socket, to)
    }

    /// # Errors
    /// If the socket cannot be made non-blocking.
    pub(super) fn with(socket: UdpSocket, to: SocketAddr) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, to })
    }
}

impl Link for Datagrams {
    fn send(&mut self, message: &[u8]) -> io::Result<Delivery> {
        match self.socket.send_to(message, self.to) {
            Ok(_) => Ok(Delivery::SENT),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(Delivery::MISSED),
            Err(err) => Err(err),
        }
    }
}
