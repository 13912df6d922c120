// SPDX-License-Identifier: MPL-2.0
//! The WebSocket server: what clients are told, and what they cannot do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gstdance::marks;
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, Message, WebSocket};

use super::common::*;
use super::rig::*;

pub fn server(properties: &str) -> (Rig, u16) {
    let port = tcp().1;
    let rig = Rig::new(&format!("protocol=websocket port={port} {properties}")).play();
    (rig, port)
}

type Client = WebSocket<TcpStream>;

fn connect_as(port: u16, path: &str, origin: Option<&str>) -> Result<Client, Box<Error>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).unwrap();
    let uri = format!("ws://127.0.0.1:{port}{path}");
    let mut request = uri.into_client_request().unwrap();
    if let Some(origin) = origin {
        let origin = origin.parse().unwrap();
        request.headers_mut().insert("origin", origin);
    }
    match tungstenite::client(request, stream) {
        Ok((client, _)) => Ok(client),
        Err(tungstenite::HandshakeError::Failure(err)) => Err(Box::new(err)),
        Err(err) => panic!("{err}"),
    }
}

fn connect(port: u16) -> Client {
    connect_as(port, "/", None).unwrap()
}

fn next(client: &mut Client) -> Value {
    loop {
        if let Message::Text(text) = client.read().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// The next message of that type.
fn next_of(client: &mut Client, type_: &str) -> Value {
    loop {
        let message = next(client);
        if message["type"] == type_ {
            return message;
        }
    }
}

#[test]
fn clients_are_told_marks_tempo_and_clock() {
    let (rig, port) = server("");
    let mut client = connect(port);
    let hello = next(&mut client);
    assert_eq!(hello["type"], "hello");
    assert!(hello["now"].as_u64().unwrap() <= rig.now().nseconds());
    rig.wait(|rig| rig.clients() == 1);
    let at = rig.now() + ms(100);
    rig.push_event(marks::tempo_event(120.0, 0.75, 4));
    rig.push(rig.now(), &[beat(5, at)]);
    let tempo = json!({"type": "tempo", "bpm": 120.0, "confidence": 0.75, "beats-per-bar": 4});
    assert_eq!(next(&mut client), tempo);
    let mark = next(&mut client);
    assert_eq!((&mark["type"], &mark["id"]), (&json!("mark"), &json!(5)));
    assert_eq!(
        (&mark["kind"], &mark["beat-in-bar"]),
        (&json!("beat"), &json!(2))
    );
    assert_eq!(mark["running-time"], at.nseconds());
    assert_eq!(mark["due"], at.nseconds());
    assert!(mark["due-in"].as_f64().unwrap() <= 0.0);
    client.send(Message::text(r#"{"ping": 17}"#)).unwrap();
    let before = rig.now().nseconds();
    let pong = next_of(&mut client, "pong");
    assert_eq!(pong["ping"], 17.0);
    assert!(pong["now"].as_u64().unwrap().abs_diff(before) < 1_000_000_000);

    // Who joins now is told the tempo and the next beat; with `since` what it missed.
    let mut late = connect_as(port, &format!("/?since={}", at.nseconds() - 1), None).unwrap();
    let types: Vec<_> = (0..4).map(|_| next(&mut late)).collect();
    let names: Vec<_> = types.iter().map(|m| m["type"].as_str().unwrap()).collect();
    assert_eq!(names, ["hello", "tempo", "mark", "next-beat"]);
    let due = types[3]["due"].as_u64().unwrap();
    assert_eq!((due - at.nseconds()) % 500_000_000, 0);
    assert_eq!(types[3]["announced"], false);
    let ahead = rig.now() + ms(3000);
    rig.push(rig.now(), &[beat(6, ahead)]);
    rig.push(rig.now(), &[]);
    std::thread::sleep(Duration::from_millis(200));
    let mut later = connect(port);
    let next = next_of(&mut later, "next-beat");
    assert_eq!(next["due"], ahead.nseconds());
    assert_eq!(next["announced"], true);
}

#[test]
fn pages_of_others_are_refused() {
    let (_rig, port) = server("");
    for origin in [
        "http://evil.example",
        "null",
        "http://localhost.evil.example",
    ] {
        match connect_as(port, "/", Some(origin)).map_err(|err| *err) {
            Err(Error::Http(response)) => assert_eq!(response.status(), 403, "{origin}"),
            other => panic!("{origin}: {other:?}"),
        }
    }
    let own = format!("http://127.0.0.1:{port}");
    connect_as(port, "/", Some(&own)).unwrap();

    let (_rig, port) = server("allowed-origins=https://show.example");
    connect_as(port, "/", Some("https://show.example")).unwrap();
    assert!(connect_as(port, "/", Some(&own)).is_err());
}

#[test]
fn browsers_get_the_page() {
    let (rig, port) = server("");
    let get = |path: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let page = get("/?debug");
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/html"));
    assert_eq!(body, include_str!("../../../../examples/overlay.html"));
    assert!(get("/etc/passwd").starts_with("HTTP/1.1 404"));
    rig.wait(|rig| rig.clients() == 0);
}

#[test]
fn there_are_only_so_many_clients() {
    let (rig, port) = server("max-clients=3");
    let mut clients: Vec<_> = (0..3).map(|_| connect(port)).collect();
    rig.wait(|rig| rig.clients() == 3);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(matches!(stream.read(&mut [0; 10]), Ok(0) | Err(_)));
    drop(clients.pop());
    rig.wait(|rig| rig.clients() == 2);
    connect(port);
}

#[test]
fn bad_clients_are_let_go() {
    let (rig, port) = server("");
    // A message that is announced with 1 GiB: it is refused by its head.
    let mut huge = connect(port);
    rig.wait(|rig| rig.clients() == 1);
    let head = [0x81, 0xFF, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
    huge.get_mut().write_all(&head).unwrap();
    rig.wait(|rig| rig.clients() == 0);
    // More messages than anybody needs.
    let mut flood = connect(port);
    rig.wait(|rig| rig.clients() == 1);
    for _ in 0..1000 {
        if flood.send(Message::text("{}")).is_err() {
            break;
        }
    }
    rig.wait(|rig| rig.clients() == 0);
    // What is no WebSocket at all.
    let mut noise = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let _ = noise.write_all(&[b'x'; 20_000]);
    let patience = Some(Duration::from_secs(10));
    noise.set_read_timeout(patience).unwrap();
    assert!(matches!(noise.read(&mut [0; 10]), Ok(0) | Err(_)));
    assert!(rig.flag("connected"));
}

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

/// A hundred clients, of which one takes nothing and one floods. How late the others hear of beats,
/// in ms: the 95th percentile; and by how much the memory grew, in KiB.
fn crowd(beats: u64) -> (f64, u64) {
    let (rig, port) = server("");
    let stalled = connect(port);
    let mut clients: Vec<_> = (0..98).map(|_| connect(port)).collect();
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    let flood = std::thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            let mut client = connect(port);
            while client.send(Message::text("x".repeat(500))).is_ok() {}
            let _ = connect_as(port, "/", Some("http://evil.example"));
        }
    });
    rig.wait(|rig| rig.clients() >= 99);
    let mut before = 0;
    let mut late = Vec::new();
    for n in 0..beats {
        // When all buffers have their size, those of the clients in this process, too.
        if n == beats / 2 {
            before = memory_kib();
        }
        let at = rig.now() + ms(40);
        rig.push(rig.now(), &[beat(n, at)]);
        // One of them is looked at for time, and all for what they are told.
        let watched = (n % 98) as usize;
        let mark = next_of(&mut clients[watched], "mark");
        late.push((rig.now().nseconds() as f64 - mark["due"].as_f64().unwrap()) / 1e6);
        for (k, client) in clients.iter_mut().enumerate() {
            if k != watched {
                assert_eq!(next_of(client, "mark")["id"], n);
            }
        }
    }
    let grown = memory_kib().saturating_sub(before);
    over.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    drop(stalled);
    let median = quantile(&mut late, 0.5);
    let p95 = quantile(&mut late, 0.95);
    println!(
        "{beats} beats to 98 clients beside a stalled one and a flood: {median:.3} ms late, 95 % within {p95:.3} ms; {grown} KiB more memory"
    );
    assert_eq!(rig.count("dropped"), 0);
    (p95, grown)
}

#[test]
fn a_stalled_client_and_a_flood_hold_nobody_up() {
    let (p95, grown) = crowd(40);
    assert!(p95 < 250.0, "{p95}");
    assert!(grown < 32 * 1024, "{grown} KiB");
}

#[test]
#[ignore = "needs a machine that does nothing else"]
fn a_crowd_hears_within_5_ms() {
    let (p95, grown) = crowd(400);
    assert!(p95 < 5.0, "{p95}");
    assert!(grown < 1024, "{grown} KiB");
}

#[test]
fn a_client_that_takes_nothing_costs_a_bounded_part() {
    let (rig, port) = server("");
    let _stalled = connect(port);
    rig.wait(|rig| rig.clients() == 1);
    let before = memory_kib();
    let start = Instant::now();
    let mut id = 0;
    while stat(&rig.sink, "missed") == 0 && rig.clients() == 1 {
        assert!(start.elapsed() < Duration::from_secs(60));
        let beats: Vec<_> = (id..id + 500).map(|id| beat(id, rig.now())).collect();
        rig.push(rig.now(), &beats);
        id += 500;
        rig.wait(|rig| rig.count("sent") == id);
    }
    assert!(memory_kib() - before < 16 * 1024);
    rig.finish();
    assert_eq!(rig.count("dropped"), 0, "the server itself sent everything");
}
