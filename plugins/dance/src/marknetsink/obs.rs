// SPDX-License-Identifier: MPL-2.0
//! OBS by obs-websocket 5: an event to every browser source, and a text source with the tempo.
//!
//! Written over `tungstenite` and `sha2`, as `obws` would bring an asynchronous runtime into every
//! program that loads the plugin, for a greeting and two requests.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

use super::imp::CAT;
use super::protocol::{Connect, Control, Delivery, Encode, Event, Link, Moment, Opened};
use super::settings::{Secret, Settings};
use crate::marks::record::Record;

/// The port that OBS offers first.
pub(super) const PORT: u16 = 4455;
/// How long OBS has for its greeting.
const PATIENCE: Duration = Duration::from_secs(3);
/// Largest message of OBS that is taken, in bytes.
const LIMIT: usize = 256 * 1024;

// The kinds of messages ("op") of the protocol that are used here.
const HELLO: u64 = 0;
const IDENTIFY: u64 = 1;
const IDENTIFIED: u64 = 2;
const REQUEST: u64 = 6;
const RESPONSE: u64 = 7;

/// # Errors
/// None.
pub(super) fn open(settings: &Settings) -> Opened {
    let encode = Obs {
        event_name: settings.event_name.clone(),
        text_source: settings.text_source.clone(),
        count: 0,
    };
    let connect = Server {
        host: settings.host.clone().unwrap_or_else(|| "127.0.0.1".into()),
        port: settings.port_or(PORT),
        password: settings.secret()?,
    };
    Ok((Box::new(encode), Box::new(connect)))
}

struct Obs {
    event_name: String,
    text_source: Option<String>,
    count: u64,
}

impl Obs {
    fn request(&mut self, kind: &str, data: &Value) -> Vec<u8> {
        self.count += 1;
        json!({"op": REQUEST, "d": {
            "requestType": kind,
            "requestId": self.count.to_string(),
            "requestData": data,
        }})
        .to_string()
        .into_bytes()
    }
}

impl Encode for Obs {
    fn wants(&self, event: &Event) -> bool {
        match event {
            Event::Mark { .. } => true,
            Event::Tempo(_) => self.text_source.is_some(),
            _ => false,
        }
    }

    fn encode(&mut self, event: &Event, moment: Moment) -> io::Result<Option<Vec<u8>>> {
        Ok(match event {
            Event::Mark { source, mark } => {
                let mut data = serde_json::to_value(Record::new(source, mark))?;
                data["due-in"] = json!(moment.until as f64 / 1e6);
                let event = json!({
                    "vendorName": "obs-browser",
                    "requestType": "emit_event",
                    "requestData": {"event_name": self.event_name, "event_data": data},
                });
                Some(self.request("CallVendorRequest", &event))
            }
            Event::Tempo(tempo) => self.text_source.clone().map(|source| {
                let text = if tempo.bpm > 0.0 {
                    format!("{:.1}", tempo.bpm)
                } else {
                    String::new()
                };
                let settings = json!({
                    "inputName": source,
                    "inputSettings": {"text": text},
                    "overlay": true,
                });
                self.request("SetInputSettings", &settings)
            }),
            _ => None,
        })
    }
}

struct Server {
    host: String,
    port: u16,
    password: Option<Secret>,
}

impl Server {
    fn hello(&self, hello: &Value) -> io::Result<Value> {
        let mut identify = json!({"rpcVersion": 1, "eventSubscriptions": 0});
        let challenge = &hello["authentication"];
        if let (Some(challenge), Some(salt)) =
            (challenge["challenge"].as_str(), challenge["salt"].as_str())
        {
            let password = self.password.as_ref().ok_or_else(|| {
                let text = "OBS asks for a password; set 'password' or 'password-location'";
                io::Error::new(io::ErrorKind::PermissionDenied, text)
            })?;
            identify["authentication"] = json!(answer(password, salt, challenge));
        }
        Ok(json!({"op": IDENTIFY, "d": identify}))
    }
}

/// What proves the password without telling it: base64(SHA-256(base64(SHA-256(password + salt)) +
/// challenge)).
fn answer(password: &Secret, salt: &str, challenge: &str) -> String {
    let digest = |text: String| BASE64.encode(&Sha256::digest(text.as_bytes()));
    digest(digest(format!("{}{salt}", password.reveal())) + challenge)
}

fn lost(err: Error) -> io::Error {
    match err {
        Error::Io(err) => err,
        Error::ConnectionClosed | Error::AlreadyClosed => {
            io::Error::new(io::ErrorKind::ConnectionReset, "OBS closed it")
        }
        err => io::Error::other(err.to_string()),
    }
}

fn would_block(err: &Error) -> bool {
    matches!(err, Error::Io(err) if err.kind() == io::ErrorKind::WouldBlock)
}

/// The next message of kind `op`, waited for.
fn expect(
    socket: &mut WebSocket<TcpStream>,
    op: u64,
    control: &Control,
    until: Instant,
) -> io::Result<Value> {
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => {
                let mut message: Value = serde_json::from_str(&text)?;
                if message["op"] == op {
                    return Ok(message["d"].take());
                }
            }
            Ok(Message::Close(frame)) => {
                let why = frame.map_or_else(String::new, |frame| {
                    format!("code {}: {}", u16::from(frame.code), frame.reason)
                });
                let text = format!("OBS refused it ({why}); is the password right?");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
            }
            Ok(_) => (),
            Err(err) if would_block(&err) => {
                control.wait_until(until, "OBS does not answer as obs-websocket 5 does")?;
            }
            Err(err) => return Err(lost(err)),
        }
    }
}

impl Connect for Server {
    fn peer(&self) -> String {
        format!("OBS {}:{}", self.host, self.port)
    }

    fn connect(&mut self, control: &Control) -> io::Result<Box<dyn Link>> {
        let stream = control.tcp(&self.host, self.port)?;
        let until = Instant::now() + PATIENCE;
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_write_buffer_size(64 * 1024)
            .max_message_size(Some(LIMIT))
            .max_frame_size(Some(LIMIT));
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let uri = format!("ws://{host}:{}/", self.port);
        let mut shaken = tungstenite::client::client_with_config(uri, stream, Some(config));
        let mut socket = loop {
            match shaken {
                Ok((socket, _)) => break socket,
                Err(HandshakeError::Failure(err)) => return Err(lost(err)),
                Err(HandshakeError::Interrupted(half)) => {
                    control.wait_until(until, "no WebSocket server answers there")?;
                    shaken = half.handshake();
                }
            }
        };
        let hello = expect(&mut socket, HELLO, control, until)?;
        let identify = self.hello(&hello)?.to_string();
        socket.send(Message::text(identify)).map_err(lost)?;
        expect(&mut socket, IDENTIFIED, control, until)?;
        Ok(Box::new(Connection {
            socket,
            warned: false,
        }))
    }
}

struct Connection {
    socket: WebSocket<TcpStream>,
    warned: bool,
}

impl Link for Connection {
    fn send(&mut self, message: &[u8]) -> io::Result<Delivery> {
        let text = std::str::from_utf8(message).map_err(io::Error::other)?;
        match self.socket.send(Message::text(text)) {
            Ok(()) => Ok(Delivery::SENT),
            Err(Error::WriteBufferFull(_)) => Ok(Delivery::MISSED),
            Err(err) if would_block(&err) => Ok(Delivery::SENT),
            Err(err) => Err(lost(err)),
        }
    }

    fn service(&mut self, _: Option<gst::ClockTime>) -> io::Result<()> {
        for _ in 0..32 {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let message: Value = serde_json::from_str(&text).unwrap_or_default();
                    let status = &message["d"]["requestStatus"];
                    if message["op"] == RESPONSE && status["result"] == false && !self.warned {
                        self.warned = true;
                        let kind = &message["d"]["requestType"];
                        gst::warning!(CAT, "OBS refuses {kind}: {}", status["comment"]);
                    }
                }
                Ok(_) => (),
                Err(err) if would_block(&err) => break,
                Err(err) => return Err(lost(err)),
            }
        }
        match self.socket.flush() {
            Err(err) if !would_block(&err) => Err(lost(err)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_protocol() {
        // Password, salt, challenge and answer of the protocol's own document.
        let password = Secret::new("supersecretpassword");
        let salt = "lM1GncleQOaCu9lT1yeUZhFYnqhsLLP1G5lAGo3ixaI=";
        let challenge = "+IxH4CnCiqpX1rM9scsNynZzbOe4KhDeYcTNS3PDaeY=";
        let expected = "1Ct943GAT+6YQUUX47Ia/ncufilbe6+oD6lY+5kaCu4=";
        assert_eq!(answer(&password, salt, challenge), expected);
    }
}
