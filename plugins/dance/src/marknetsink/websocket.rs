// SPDX-License-Identifier: MPL-2.0
//! A WebSocket server: marks as JSON to every client, and the page that shows them.
//!
//! One thread reads from all clients and another writes to them, both without waiting, so that
//! neither a client that stalls nor one that floods holds up the others.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tungstenite::Utf8Bytes;

use super::clients::{Clients, Limits, Origins};
use super::protocol::{Connect, Control, Delivery, Encode, Event, Link, Moment, Opened, Tempo};
use super::settings::Settings;
use crate::lock::lock;
use crate::marks::record::Record;

/// The port of the server.
pub(super) const PORT: u16 = 8765;

/// # Errors
/// If the address cannot be listened on.
pub(super) fn open(settings: &Settings) -> Opened {
    let host = settings.host.as_deref().unwrap_or("127.0.0.1");
    let port = settings.port_or(PORT);
    // Here and not later: that a port is in use is no loss of a connection.
    let listener = TcpListener::bind((host, port))
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|err| format!("Could not listen on {host}:{port}: {err}"))?;
    let address = listener
        .local_addr()
        .map_or_else(|_| format!("{host}:{port}"), |address| address.to_string());
    let welcome = Arc::new(Mutex::new(Welcome::default()));
    let limits = Limits {
        clients: settings.max_clients as usize,
        origins: Origins::new(settings.allowed_origins.as_deref()),
    };
    let encode = WebSocket {
        welcome: welcome.clone(),
    };
    let connect = Server {
        address,
        listener,
        welcome,
        limits,
    };
    Ok((Box::new(encode), Box::new(connect)))
}

/// What clients are told.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Message<'a> {
    /// To each client first: how the clock stands.
    #[serde(rename_all = "kebab-case")]
    Hello { version: u32, now: u64 },
    /// A mark; `due` is the running time on the clock at which it is heard, `due-in` how far off that
    /// is in ms.
    #[serde(rename_all = "kebab-case")]
    Mark {
        due: u64,
        due_in: f64,
        #[serde(flatten)]
        record: Record<'a>,
    },
    /// The tempo.
    Tempo(&'a Tempo),
    /// To a client that joins: when the next beat is due, announced or reckoned from the tempo.
    #[serde(rename_all = "kebab-case")]
    NextBeat {
        due: u64,
        due_in: f64,
        announced: bool,
    },
    /// The answer to a `ping`, with its number.
    #[serde(rename_all = "kebab-case")]
    Pong { ping: f64, now: u64 },
}

impl Message<'_> {
    fn text(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

/// A number from a client, answered with the clock.
pub(super) fn pong(ping: f64, now: gst::ClockTime) -> Option<String> {
    let now = now.nseconds();
    Message::Pong { ping, now }.text().ok()
}

/// What a client that joins is told.
#[derive(Default)]
pub(super) struct Welcome {
    tempo: Option<Utf8Bytes>,
    /// Instants and texts of the newest marks.
    recent: VecDeque<(u64, Utf8Bytes)>,
    /// Instants of beats to come.
    announced: BTreeSet<u64>,
    /// Instant and interval of the last beat.
    beat: Option<(u64, f64)>,
    /// Between the instant of a mark in the stream and on the clock.
    latency: u64,
}

impl Welcome {
    /// How many marks are kept for those who ask for them.
    const KEPT: usize = 1024;

    /// All messages for a client that joins now and has the marks up to `since`, in ns of running time.
    pub(super) fn messages(&self, now: gst::ClockTime, since: Option<u64>) -> Vec<Utf8Bytes> {
        let now = now.nseconds();
        let hello = Message::Hello {
            version: crate::marks::VERSION,
            now,
        };
        let mut all: Vec<_> = hello.text().ok().map(Utf8Bytes::from).into_iter().collect();
        all.extend(self.tempo.clone());
        if let Some(since) = since {
            let missed = self.recent.iter().filter(|(at, _)| *at > since);
            all.extend(missed.map(|(_, text)| text.clone()));
        }
        if let Some((due, announced)) = self.next_beat(now) {
            let next = Message::NextBeat {
                due,
                due_in: milliseconds(due, now),
                announced,
            };
            all.extend(next.text().ok().map(Utf8Bytes::from));
        }
        all
    }

    /// The next beat after `now`, on the clock, and whether it was announced.
    fn next_beat(&self, now: u64) -> Option<(u64, bool)> {
        let announced = self.announced.iter().map(|at| at + self.latency);
        if let Some(due) = announced.clone().find(|due| *due > now) {
            return Some((due, true));
        }
        let (at, interval) = self.beat?;
        let last = at + self.latency;
        let beats = (now.saturating_sub(last) as f64 / interval).floor() + 1.0;
        // After a few beats without one there is none to reckon with.
        (beats <= 8.0).then(|| (last + (beats * interval) as u64, false))
    }
}

fn milliseconds(due: u64, now: u64) -> f64 {
    (due.cast_signed() - now.cast_signed()) as f64 / 1e6
}

struct WebSocket {
    welcome: Arc<Mutex<Welcome>>,
}

impl Encode for WebSocket {
    fn wants(&self, event: &Event) -> bool {
        matches!(event, Event::Mark { .. } | Event::Tempo(_))
    }

    fn announce(&mut self, event: &Event, at: gst::ClockTime) {
        if let Event::Mark { mark, .. } = event
            && mark.kind.is_beat()
        {
            let announced = &mut lock(&self.welcome).announced;
            announced.insert(at.nseconds());
            if announced.len() > Welcome::KEPT {
                announced.pop_last();
            }
        }
    }

    fn encode(&mut self, event: &Event, moment: Moment) -> io::Result<Option<Vec<u8>>> {
        let mut welcome = lock(&self.welcome);
        let at = moment.at.nseconds();
        let text = match event {
            Event::Mark { source, mark } => {
                let due = moment.now.nseconds().saturating_add_signed(moment.until);
                let text = Message::Mark {
                    due,
                    due_in: moment.until as f64 / 1e6,
                    record: Record::new(source, mark),
                }
                .text()?;
                welcome.latency = due.saturating_sub(at);
                if mark.kind.is_beat() {
                    welcome.announced = welcome.announced.split_off(&(at + 1));
                    let bpm = mark.bpm.filter(|bpm| *bpm > 0.0);
                    welcome.beat = bpm.map(|bpm| (at, 60e9 / bpm));
                }
                if welcome.recent.len() == Welcome::KEPT {
                    welcome.recent.pop_front();
                }
                welcome.recent.push_back((at, text.as_str().into()));
                text
            }
            Event::Tempo(tempo) => {
                let text = Message::Tempo(tempo).text()?;
                welcome.tempo = Some(text.as_str().into());
                text
            }
            _ => return Ok(None),
        };
        Ok(Some(text.into_bytes()))
    }

    fn flush(&mut self) {
        let mut welcome = lock(&self.welcome);
        welcome.announced.clear();
        welcome.recent.clear();
        welcome.beat = None;
    }
}

struct Server {
    address: String,
    listener: TcpListener,
    welcome: Arc<Mutex<Welcome>>,
    limits: Limits,
}

impl Connect for Server {
    fn peer(&self) -> String {
        format!("WebSocket clients at {}", self.address)
    }

    // The address is free again after a stop.
    fn is_quick(&self) -> bool {
        true
    }

    fn connect(&mut self, _: &Control) -> io::Result<Box<dyn Link>> {
        let clients = Clients::new(
            self.listener.try_clone()?,
            self.limits.clone(),
            self.welcome.clone(),
        );
        Ok(Box::new(clients))
    }

    // How long a `ping` waits for its answer.
    fn pace(&self) -> Duration {
        Duration::from_millis(10)
    }
}

impl Link for Clients {
    fn send(&mut self, message: &[u8]) -> io::Result<Delivery> {
        let text = std::str::from_utf8(message).map_err(io::Error::other)?;
        let missed = self.broadcast(&text.into());
        Ok(Delivery { sent: true, missed })
    }

    fn service(&mut self, now: Option<gst::ClockTime>) -> io::Result<()> {
        self.serve(now.unwrap_or_default());
        Ok(())
    }

    fn clients(&self) -> usize {
        self.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(ms: u64) -> gst::ClockTime {
        gst::ClockTime::from_mseconds(ms)
    }

    #[test]
    fn the_next_beat_is_announced_or_reckoned() {
        let mut welcome = Welcome {
            beat: Some((1_000_000_000, 5e8)),
            latency: 100_000_000,
            ..Welcome::default()
        };
        assert_eq!(
            welcome.next_beat(1_150_000_000),
            Some((1_600_000_000, false))
        );
        assert_eq!(
            welcome.next_beat(1_700_000_000),
            Some((2_100_000_000, false))
        );
        assert_eq!(welcome.next_beat(10_000_000_000), None);
        welcome.announced.insert(1_490_000_000);
        assert_eq!(
            welcome.next_beat(1_150_000_000),
            Some((1_590_000_000, true))
        );
        let texts = welcome.messages(time(1500), Some(0));
        let types: Vec<serde_json::Value> = texts
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect();
        assert_eq!(types[0]["type"], "hello");
        assert_eq!(types[1]["type"], "next-beat");
        assert_eq!(types[1]["due-in"], 90.0);
        assert_eq!(types.len(), 2);
    }

    #[test]
    fn a_ping_is_answered_with_the_clock() {
        let text = pong(4.5, time(2)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"type": "pong", "ping": 4.5, "now": 2_000_000})
        );
    }
}
