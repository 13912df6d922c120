// SPDX-License-Identifier: MPL-2.0
//! WLED's audio sync, version 2: datagrams of 44 bytes to every lamp of a network at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use dance_rhythm::bands::{BANDS, Bands};
use socket2::{Domain, Protocol, Socket, Type};

use super::osc::Datagrams;
use super::protocol::{Connect, Control, Encode, Event, Link, Moment, Opened};
use super::settings::Settings;

/// The port of the protocol.
pub(super) const PORT: u16 = 11988;
/// The group that lamps listen to.
pub(super) const GROUP: Ipv4Addr = Ipv4Addr::new(239, 0, 0, 1);
/// Length of a packet in bytes.
const LENGTH: usize = 44;
/// How long the flash of a mark is held where there is no audio to make a spectrum of.
const HELD: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// # Errors
/// If host or interface are no IPv4 address.
pub(super) fn open(settings: &Settings) -> Opened {
    let address = |name: &str, value: &Option<String>, default: Ipv4Addr| match value {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| {
            format!("'{name}' is '{text}'; protocol=wled needs an IPv4 address, as {default}")
        }),
    };
    let connect = Lamps {
        to: SocketAddr::new(
            IpAddr::V4(address("host", &settings.host, GROUP)?),
            settings.port_or(PORT),
        ),
        interface: address("interface", &settings.interface, Ipv4Addr::UNSPECIFIED)?,
    };
    Ok((Box::<Wled>::default(), Box::new(connect)))
}

#[derive(Default)]
struct Wled {
    /// The newest spectrum of the audio.
    bands: Option<Bands>,
    /// The level, smoothed.
    smooth: f32,
    count: u8,
    /// When the flash of a mark ends, where there is no audio.
    until: Option<gst::ClockTime>,
}

impl Wled {
    /// The packet; all numbers are little-endian, as the lamps have them.
    fn packet(&mut self, bands: &Bands, peak: bool) -> Vec<u8> {
        let level = (bands.level * std::f32::consts::SQRT_2 * 255.0).min(255.0);
        self.smooth += 0.25 * (level - self.smooth);
        self.count = self.count.wrapping_add(1);
        let mut packet = Vec::with_capacity(LENGTH);
        packet.extend_from_slice(b"00002\0\0\0");
        packet.extend_from_slice(&level.to_le_bytes());
        packet.extend_from_slice(&self.smooth.to_le_bytes());
        packet.push(peak.into());
        packet.push(self.count);
        packet.extend_from_slice(&bands.bands);
        packet.extend_from_slice(&[0, 0]);
        // The lamps' own analysis has numbers of this size.
        packet.extend_from_slice(&(bands.magnitude * 4096.0).to_le_bytes());
        packet.extend_from_slice(&bands.peak.to_le_bytes());
        debug_assert_eq!(packet.len(), LENGTH);
        packet
    }
}

impl Encode for Wled {
    fn wants(&self, event: &Event) -> bool {
        matches!(event, Event::Mark { .. } | Event::Bands(_))
    }

    fn encode(&mut self, event: &Event, moment: Moment) -> io::Result<Option<Vec<u8>>> {
        Ok(match event {
            Event::Bands(bands) => {
                self.bands = Some(**bands);
                Some(self.packet(bands, false))
            }
            Event::Mark { mark, .. } => {
                let bands = self.bands.unwrap_or_else(|| {
                    self.until = Some(moment.at.saturating_add(HELD));
                    let share = (mark.strength / (1.0 + mark.strength)).clamp(0.0, 1.0) as f32;
                    Bands {
                        level: share / std::f32::consts::SQRT_2,
                        bands: [(share * 255.0) as u8; BANDS],
                        magnitude: share,
                        peak: 0.0,
                    }
                });
                Some(self.packet(&bands, true))
            }
            Event::Own => {
                self.until = None;
                Some(self.packet(&Bands::default(), false))
            }
            Event::Tempo(_) => None,
        })
    }

    fn next(&self) -> Option<gst::ClockTime> {
        self.until
    }

    fn flush(&mut self) {
        self.bands = None;
    }
}

struct Lamps {
    to: SocketAddr,
    interface: Ipv4Addr,
}

impl Connect for Lamps {
    fn peer(&self) -> String {
        format!("WLED {}", self.to)
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn connect(&mut self, _: &Control) -> io::Result<Box<dyn Link>> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        if self.to.ip().is_multicast() {
            socket.set_multicast_if_v4(&self.interface)?;
            // Lamps are on the same network; receivers on this machine hear it, too.
            socket.set_multicast_ttl_v4(1)?;
            socket.set_multicast_loop_v4(true)?;
        }
        Ok(Box::new(Datagrams::with(socket.into(), self.to)?))
    }
}
