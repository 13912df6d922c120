// SPDX-License-Identifier: MPL-2.0
//! The clients of the WebSocket server, each bounded in memory, time and what it may say.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, ServerHandshake, Utf8Bytes, WebSocket};

use super::imp::CAT;
use super::websocket::{Welcome, pong};
use crate::lock::lock;

/// The page that shows the marks, for a browser that asks for no WebSocket.
const PAGE: &str = include_str!("../../../../examples/overlay.html");

/// Longest message of a client, in bytes; a `ping` has 40.
const MESSAGE: usize = 1024;
/// Most that waits to be sent to a client, in bytes, besides the socket's own buffer.
const BACKLOG: usize = 64 * 1024;
/// The socket's own buffer, small so that a client that stalls shows early, in bytes.
const SOCKET_BUFFER: usize = 64 * 1024;
/// How long a client may take for its request.
const REQUEST: Duration = Duration::from_secs(5);
/// Longest request, in bytes.
const REQUEST_BYTES: usize = 8 * 1024;
/// How long a client may take nothing.
const STALL: Duration = Duration::from_secs(10);
/// Messages of a client: so many a second, and so many at once.
const RATE: (f64, f64) = (50.0, 100.0);

/// Which pages may connect. A browser says where its page is from; other programs say nothing.
#[derive(Debug, Clone)]
pub(super) struct Origins(Vec<String>);

impl Origins {
    /// `*` allows all; without a list those of this machine.
    pub(super) fn new(list: Option<&str>) -> Self {
        let own = "http://localhost,https://localhost,http://127.0.0.1,https://127.0.0.1,\
                   http://[::1],https://[::1],file://";
        let list = list.unwrap_or(own).split(',');
        Self(
            list.map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase())
                .filter(|origin| !origin.is_empty())
                .collect(),
        )
    }

    /// One that is listed without a port is allowed with any.
    fn allows(&self, origin: &str) -> bool {
        let origin = origin.trim_end_matches('/').to_ascii_lowercase();
        self.0.iter().any(|allowed| {
            let rest = origin.strip_prefix(allowed.as_str());
            allowed == "*"
                || rest.is_some_and(|rest| {
                    let port = rest.strip_prefix(':');
                    rest.is_empty()
                        || port
                            .is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
                })
        })
    }
}

/// What all clients together may take.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) clients: usize,
    pub(super) origins: Origins,
}

/// Decides on a request.
struct Check {
    origins: Origins,
    /// Where the request's `since` goes.
    since: Arc<Mutex<Option<u64>>>,
}

impl Callback for Check {
    #[allow(
        clippy::result_large_err,
        reason = "the signature is that of the trait"
    )]
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        if let Some(origin) = request.headers().get("origin")
            && !origin
                .to_str()
                .is_ok_and(|origin| self.origins.allows(origin))
        {
            gst::warning!(
                CAT,
                "a page of {origin:?} may not connect; see 'allowed-origins'"
            );
            let mut refusal = ErrorResponse::new(Some("origin not allowed".to_owned()));
            *refusal.status_mut() = tungstenite::http::StatusCode::FORBIDDEN;
            return Err(refusal);
        }
        let query = request.uri().query().unwrap_or_default();
        *lock(&self.since) = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("since="))
            .and_then(|ns| ns.parse().ok());
        Ok(response)
    }
}

/// How far a client is.
enum Stage {
    /// Its request has not come whole.
    Asking(TcpStream),
    /// The answer is under way.
    Shaking(Box<MidHandshake<ServerHandshake<TcpStream, Check>>>),
    /// It gets marks.
    Open(Box<WebSocket<TcpStream>>),
    /// It gets the page; how much of it was sent.
    Page(TcpStream, usize),
    /// Between two stages.
    None,
}

struct Client {
    stage: Stage,
    since: Arc<Mutex<Option<u64>>>,
    /// Since when it has been asking, or has taken nothing.
    waiting: Option<Instant>,
    allowance: f64,
    refilled: Instant,
}

/// Why a client goes.
type Gone = &'static str;

pub(super) struct Clients {
    listener: TcpListener,
    limits: Limits,
    welcome: Arc<Mutex<Welcome>>,
    all: Vec<Client>,
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(2 * MESSAGE)
        .write_buffer_size(0)
        .max_write_buffer_size(BACKLOG)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE))
}

fn would_block(err: &Error) -> bool {
    matches!(err, Error::Io(err) if err.kind() == io::ErrorKind::WouldBlock)
}

impl Clients {
    pub(super) fn new(listener: TcpListener, limits: Limits, welcome: Arc<Mutex<Welcome>>) -> Self {
        Self {
            listener,
            limits,
            welcome,
            all: Vec::new(),
        }
    }

    /// How many get marks.
    pub(super) fn count(&self) -> usize {
        let open = |client: &&Client| matches!(client.stage, Stage::Open(_));
        self.all.iter().filter(open).count()
    }

    /// Sends a text to all; how many missed it.
    pub(super) fn broadcast(&mut self, text: &Utf8Bytes) -> u64 {
        let mut missed = 0;
        self.retain(|client| client.send(text).map(|sent| missed += u64::from(!sent)));
        missed
    }

    /// Lets new clients in, reads what all say, sends what is left, and lets go who broke a limit.
    pub(super) fn serve(&mut self, now: gst::ClockTime) {
        self.accept();
        let (welcome, origins) = (self.welcome.clone(), self.limits.origins.clone());
        self.retain(|client| client.serve(now, &welcome, &origins));
    }

    fn retain(&mut self, mut work: impl FnMut(&mut Client) -> Result<(), Gone>) {
        self.all.retain_mut(|client| match work(client) {
            Ok(()) => true,
            Err(why) => {
                gst::debug!(CAT, "a client goes: {why}");
                false
            }
        });
    }

    fn accept(&mut self) {
        for _ in 0..16 {
            let Ok((stream, address)) = self.listener.accept() else {
                return;
            };
            if self.all.len() >= self.limits.clients {
                gst::warning!(CAT, "no room for {address}; see 'max-clients'");
                continue;
            }
            let socket = socket2::SockRef::from(&stream);
            let prepared = socket
                .set_send_buffer_size(SOCKET_BUFFER)
                .and_then(|()| socket.set_tcp_nodelay(true))
                .and_then(|()| socket.set_nonblocking(true));
            match prepared {
                Ok(()) => self.all.push(Client::new(stream)),
                Err(err) => gst::warning!(CAT, "{address}: {err}"),
            }
        }
    }
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        let now = Instant::now();
        Self {
            stage: Stage::Asking(stream),
            since: Arc::default(),
            waiting: Some(now),
            allowance: RATE.1,
            refilled: now,
        }
    }

    /// Sends a text, at once or later; `false` if it was lost to the client.
    fn send(&mut self, text: &Utf8Bytes) -> Result<bool, Gone> {
        let Stage::Open(socket) = &mut self.stage else {
            return Ok(true);
        };
        match socket.write(Message::Text(text.clone())) {
            Ok(()) => Ok(true),
            Err(Error::WriteBufferFull(_)) => Ok(false),
            Err(err) if would_block(&err) => {
                self.waiting.get_or_insert_with(Instant::now);
                Ok(true)
            }
            Err(_) => Err("its connection broke"),
        }
    }

    fn serve(
        &mut self,
        now: gst::ClockTime,
        welcome: &Mutex<Welcome>,
        origins: &Origins,
    ) -> Result<(), Gone> {
        match &mut self.stage {
            Stage::Asking(_) => {
                self.check_patience(REQUEST, "its request did not come")?;
                self.take_request(origins)
            }
            Stage::Shaking(_) => {
                self.check_patience(REQUEST, "its request did not come")?;
                self.shake(now, welcome)
            }
            Stage::None => Ok(()),
            Stage::Page(..) => {
                self.check_patience(STALL, "it does not take the page")?;
                self.send_page()
            }
            Stage::Open(_) => {
                self.check_patience(STALL, "it takes nothing")?;
                self.read(now)
            }
        }
    }

    fn check_patience(&self, patience: Duration, why: Gone) -> Result<(), Gone> {
        match self.waiting {
            Some(since) if since.elapsed() > patience => Err(why),
            _ => Ok(()),
        }
    }

    /// Looks at the request while it is still in the socket.
    fn take_request(&mut self, origins: &Origins) -> Result<(), Gone> {
        let Stage::Asking(stream) = &self.stage else {
            return Ok(());
        };
        let mut request = [0; REQUEST_BYTES];
        let length = match stream.peek(&mut request) {
            Ok(0) => return Err("it left"),
            Ok(length) => length,
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Err("its connection broke"),
        };
        let head = String::from_utf8_lossy(&request[..length]).to_ascii_lowercase();
        let Some((head, _)) = head.split_once("\r\n\r\n") else {
            let too_long = length == REQUEST_BYTES;
            return if too_long {
                Err("its request is too long")
            } else {
                Ok(())
            };
        };
        let upgrade = head.lines().any(|line| {
            line.strip_prefix("upgrade:")
                .is_some_and(|value| value.trim() == "websocket")
        });
        let Stage::Asking(mut stream) = std::mem::replace(&mut self.stage, Stage::None) else {
            return Ok(());
        };
        if !upgrade {
            // The request is taken out, or closing would tell the browser of a broken connection.
            let _ = stream.read(&mut request[..length]);
        }
        self.stage = if upgrade {
            let check = Check {
                origins: origins.clone(),
                since: self.since.clone(),
            };
            let half = ServerHandshake::start(stream, check, Some(config()));
            Stage::Shaking(Box::new(half))
        } else if head.starts_with("get / ") || head.starts_with("get /?") {
            self.waiting = Some(Instant::now());
            Stage::Page(stream, 0)
        } else {
            let _ = stream
                .write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            return Err("it asked for what is not here");
        };
        Ok(())
    }

    fn shake(&mut self, now: gst::ClockTime, welcome: &Mutex<Welcome>) -> Result<(), Gone> {
        let Stage::Shaking(half) = std::mem::replace(&mut self.stage, Stage::None) else {
            return Ok(());
        };
        match half.handshake() {
            Ok(socket) => {
                self.stage = Stage::Open(Box::new(socket));
                self.waiting = None;
                let since = *lock(&self.since);
                let messages = lock(welcome).messages(now, since);
                for text in messages {
                    self.send(&text)?;
                }
                Ok(())
            }
            Err(HandshakeError::Interrupted(half)) => {
                self.stage = Stage::Shaking(Box::new(half));
                Ok(())
            }
            Err(HandshakeError::Failure(_)) => Err("its request was refused"),
        }
    }

    fn send_page(&mut self) -> Result<(), Gone> {
        let Stage::Page(stream, sent) = &mut self.stage else {
            return Ok(());
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
             cache-control: no-store\r\nconnection: close\r\n\r\n",
            PAGE.len()
        );
        let whole = head.len() + PAGE.len();
        while *sent < whole {
            let rest = match sent.checked_sub(head.len()) {
                None => &head.as_bytes()[*sent..],
                Some(sent) => &PAGE.as_bytes()[sent..],
            };
            match stream.write(rest) {
                Ok(0) => return Err("its connection broke"),
                Ok(written) => *sent += written,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err("its connection broke"),
            }
        }
        Err("it has the page")
    }

    /// Reads what a client says, a bounded part at a time.
    fn read(&mut self, now: gst::ClockTime) -> Result<(), Gone> {
        let elapsed = self.refilled.elapsed().as_secs_f64();
        self.refilled = Instant::now();
        self.allowance = (self.allowance + RATE.0 * elapsed).min(RATE.1);
        loop {
            let Stage::Open(socket) = &mut self.stage else {
                return Ok(());
            };
            match socket.read() {
                Ok(message) => {
                    self.allowance -= 1.0;
                    if self.allowance < 0.0 {
                        return Err("it says too much");
                    }
                    if let Message::Text(text) = message
                        && let Some(answer) = answer(&text, now)
                    {
                        self.send(&answer.into())?;
                    }
                }
                Err(err) if would_block(&err) => break,
                Err(Error::Capacity(_)) => return Err("its message is too long"),
                Err(_) => return Err("it left"),
            }
        }
        let Stage::Open(socket) = &mut self.stage else {
            return Ok(());
        };
        match socket.flush() {
            Ok(()) => self.waiting = None,
            Err(err) if would_block(&err) => {
                self.waiting.get_or_insert_with(Instant::now);
            }
            Err(_) => return Err("its connection broke"),
        }
        Ok(())
    }
}

/// `{"ping": NUMBER}` is answered, all else is passed over.
fn answer(text: &str, now: gst::ClockTime) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    pong(value.get("ping")?.as_f64()?, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_whole() {
        let own = Origins::new(None);
        for origin in [
            "http://localhost:8080",
            "http://127.0.0.1",
            "https://[::1]:1",
            "file://",
        ] {
            assert!(own.allows(origin), "{origin}");
        }
        for origin in [
            "null",
            "http://localhost.evil.example",
            "http://localhost:8080.evil.example",
            "http://127.0.0.1:",
            "http://evil.example",
            "",
        ] {
            assert!(!own.allows(origin), "{origin}");
        }
        let named = Origins::new(Some("https://a.example:444/, null"));
        assert!(named.allows("https://a.example:444") && named.allows("null"));
        assert!(!named.allows("https://a.example") && !named.allows("http://localhost"));
        assert!(Origins::new(Some("*")).allows("http://evil.example"));
    }
}
