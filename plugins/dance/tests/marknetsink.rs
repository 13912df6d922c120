// SPDX-License-Identifier: MPL-2.0
//! `marknetsink`: what leaves, when it leaves, and what happens when the other end does not do its part.

// Helpers fail a test as it does itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod common;
#[path = "marknetsink/obs.rs"]
mod obs;
#[path = "marknetsink/page.rs"]
mod page;
#[path = "marknetsink/rig.rs"]
mod rig;
#[path = "marknetsink/websocket.rs"]
mod websocket;

use std::io::{BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant, SystemTime};

use common::*;
use gst::prelude::*;
use gstdance::marks::{self, Kind, Mark};
use rig::*;
use rosc::{OscPacket, OscType};
use serde_json::{Value, json};

fn osc(bytes: &[u8]) -> (String, Vec<OscType>) {
    match rosc::decoder::decode_udp(bytes).unwrap() {
        (_, OscPacket::Message(message)) => (message.addr, message.args),
        (_, packet) => panic!("{packet:?}"),
    }
}

fn tempo(bpm: f64) -> gst::Event {
    marks::tempo_event(bpm, 0.75, 4)
}

#[test]
fn osc_tells_each_mark_at_its_instant() {
    let (socket, port) = udp();
    let rig = Rig::new(&format!("protocol=osc port={port}")).play();
    let start = rig.now() + ms(200);
    let marks = [
        beat(0, start),
        onset(1, start + ms(100)),
        beat(2, start + ms(200)),
        mark(3, Kind::VisualBeat, start + ms(300)),
    ];
    rig.push(rig.now(), &marks);
    let strength = [OscType::Float(1.25), OscType::Float(0.5)];
    let expected = [
        ("/dance/downbeat", 1),
        ("/dance/onset", 0),
        ("/dance/beat", 3),
        ("/dance/visual-beat", 0),
    ];
    for (mark, (address, place)) in marks.iter().zip(expected) {
        let (found, arguments) = osc(&receive(&socket));
        let late = rig.now().nseconds() as f64 - mark.timestamp.nseconds() as f64;
        assert_eq!(found, address);
        let beat = [
            OscType::Float(120.0),
            OscType::Int(place),
            OscType::Float(0.5),
        ];
        assert_eq!(arguments, if place > 0 { &beat[..] } else { &strength });
        // Not a moment early; how late depends on what else the machine does.
        assert!((0.0..1e8).contains(&late), "{late}");
    }
    rig.finish();
    rig.wait(|rig| rig.count("sent") == 4);
    assert_eq!(rig.count("late"), 0);
    assert_eq!(rig.count("dropped"), 0);
}

/// How late `count` beats arrive that were announced, in ms: median and 95th percentile.
fn lateness(count: u64) -> (f64, f64) {
    let (socket, port) = udp();
    let rig = Rig::new(&format!("protocol=osc port={port}")).play();
    let start = rig.now() + ms(200);
    let at = |n: u64| start + ms(37 * n);
    let mut late = Vec::new();
    let mut sent = 0;
    for n in 0..count {
        // About 200 ms ahead.
        while sent < count && sent < n + 6 {
            rig.push(rig.now(), &[beat(sent, at(sent))]);
            sent += 1;
        }
        receive(&socket);
        late.push((rig.now().nseconds() as f64 - at(n).nseconds() as f64) / 1e6);
    }
    assert_eq!(rig.count("late"), 0);
    let own = rig.count("lateness-p95") as f64 / 1e6;
    let (median, p95) = (quantile(&mut late, 0.5), quantile(&mut late, 0.95));
    println!(
        "{count} beats received {median:.3} ms late, 95 % within {p95:.3} ms; own p95 {own:.3} ms"
    );
    (median, p95)
}

#[test]
fn announced_beats_leave_on_time() {
    let (median, p95) = lateness(40);
    assert!(median < 10.0 && p95 < 100.0, "{median} {p95}");
}

#[test]
#[ignore = "needs a machine that does nothing else"]
fn announced_beats_leave_within_2_ms() {
    let (_, p95) = lateness(400);
    assert!(p95 <= 2.0, "{p95} ms");
}

#[test]
fn marks_leave_earlier_by_the_lead() {
    let (socket, port) = udp();
    let rig = Rig::new(&format!("protocol=osc port={port} lead=300")).play();
    let at = rig.now() + ms(600);
    rig.push(rig.now(), &[beat(0, at)]);
    receive(&socket);
    let ahead = at.nseconds() as f64 - rig.now().nseconds() as f64;
    assert!((2e8..=3e8).contains(&ahead), "{ahead}");
}

#[test]
fn late_marks_leave_at_once_and_are_counted() {
    let (socket, port) = udp();
    let rig = Rig::new(&format!("protocol=osc port={port} late-limit=1000")).play();
    while rig.now() < ms(1300) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let now = rig.now();
    rig.push(now, &[onset(0, ms(10)), beat(4, now - ms(150))]);
    assert_eq!(osc(&receive(&socket)).0, "/dance/downbeat");
    rig.wait(|rig| rig.count("sent") == 1 && rig.count("dropped") == 1);
    assert_eq!(rig.count("late"), 1);
    assert!(rig.count("late-median") >= 150_000_000);
    assert_eq!(rig.count("lateness-p95"), 0);
    rig.push(rig.now(), &[beat(4, now)]);
    rig.wait(|rig| rig.count("duplicates") == 1);
}

#[test]
fn a_time_tag_tells_the_instant() {
    let (socket, port) = udp();
    let rig = Rig::new(&format!(
        "protocol=osc port={port} lead=200 osc-timetags=true osc-address=/a/b"
    ))
    .play();
    rig.push(rig.now(), &[beat(0, rig.now() + ms(400))]);
    let heard = SystemTime::now() + Duration::from_millis(400);
    rig.push_event(tempo(99.0));
    let (_, packet) = rosc::decoder::decode_udp(&receive(&socket)).unwrap();
    let OscPacket::Bundle(bundle) = packet else {
        panic!("{packet:?}")
    };
    let told = SystemTime::from(bundle.timetag);
    let off = told
        .duration_since(heard)
        .unwrap_or_else(|err| err.duration());
    assert!(off < Duration::from_millis(100), "{off:?}");
    let [OscPacket::Message(message)] = &bundle.content[..] else {
        panic!("{bundle:?}")
    };
    // The tempo has no place at an address without the kind.
    assert_eq!(message.addr, "/a/b");
}

#[test]
fn presets_follow_the_conventions_of_receivers() {
    let (socket, port) = udp();
    let rig = Rig::new(&format!("protocol=osc port={port} osc-preset=resolume")).play();
    rig.push_event(tempo(140.0));
    rig.push(
        rig.now(),
        &[beat(1, rig.now()), beat(4, rig.now() + ms(50))],
    );
    let (address, arguments) = osc(&receive(&socket));
    assert_eq!(address, "/composition/tempocontroller/tempo");
    assert_eq!(arguments, [OscType::Float(0.25)]);
    let (address, arguments) = osc(&receive(&socket));
    assert_eq!(address, "/composition/tempocontroller/resync");
    assert_eq!(arguments, [OscType::Int(1)]);

    let (socket, port) = udp();
    let rig = Rig::new(&format!("protocol=osc port={port} osc-preset=qlcplus")).play();
    rig.push(rig.now(), &[beat(1, rig.now() + ms(50))]);
    let on = osc(&receive(&socket));
    assert_eq!(on, ("/dance/beat".into(), vec![OscType::Float(1.0)]));
    let pressed = Instant::now();
    let off = osc(&receive(&socket));
    assert_eq!(off, ("/dance/beat".into(), vec![OscType::Float(0.0)]));
    assert!(pressed.elapsed() > Duration::from_millis(50));
}

#[test]
fn os2l_tells_beats_and_is_connected_again() {
    let (listener, port) = tcp();
    let rig = Rig::new(&format!("protocol=os2l host=127.0.0.1 port={port}")).play();
    let mut stream = BufReader::new(accept(&listener));
    let next = |stream: &mut BufReader<std::net::TcpStream>| -> Value {
        let mut object = Vec::new();
        stream.read_until(b'}', &mut object).unwrap();
        serde_json::from_slice(&object).unwrap()
    };
    rig.push_event(tempo(120.0));
    let now = rig.now();
    let beats = [beat(0, now), onset(90, now), beat(1, now + ms(50))];
    rig.push(now, &beats);
    let first = json!({"evt": "beat", "change": true, "pos": 0, "bpm": 120.0, "strength": 50.0});
    assert_eq!(next(&mut stream), first);
    let second = next(&mut stream);
    assert_eq!(
        (&second["pos"], &second["change"]),
        (&json!(1), &json!(false))
    );
    // A beat is missing: the position keeps to the bar, and says that it jumped.
    rig.push(rig.now(), &[beat(3, rig.now())]);
    let third = next(&mut stream);
    assert_eq!((&third["pos"], &third["change"]), (&json!(3), &json!(true)));

    // The program ends, and another is started later.
    drop((stream, listener));
    rig.wait(|rig| !rig.flag("connected"));
    rig.push(rig.now(), &[beat(4, rig.now())]);
    rig.wait(|rig| rig.count("dropped") == 1);
    std::thread::sleep(Duration::from_millis(400));
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut stream = BufReader::new(accept(&listener));
    rig.wait(|rig| rig.flag("connected"));
    rig.push(rig.now(), &[beat(5, rig.now())]);
    assert_eq!(next(&mut stream)["pos"], 5);
    let warnings = rig.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains(&format!("Lost the connection to OS2L 127.0.0.1:{port}")));
    // Counted once it has been handed over, which the receiver may be faster than.
    rig.wait(|rig| rig.count("sent") == 4);
    assert_eq!(rig.count("reconnects"), 1);
}

#[test]
fn os2l_finds_the_program_by_its_announcement() {
    let (listener, port) = tcp();
    let daemon = mdns_sd::ServiceDaemon::new().unwrap();
    let local = || mdns_sd::IfKind::LoopbackV4;
    daemon.disable_interface(mdns_sd::IfKind::All).unwrap();
    daemon.enable_interface(local()).unwrap();
    let info = mdns_sd::ServiceInfo::new(
        "_os2l._tcp.local.",
        "test",
        "gstdance-test.local.",
        "127.0.0.1",
        port,
        None,
    )
    .unwrap();
    daemon.register(info).unwrap();
    let rig = Rig::new("protocol=os2l interface=127.0.0.1").play();
    accept(&listener);
    assert_eq!(rig.count("reconnects"), 0);
    daemon.shutdown().unwrap();
}

#[test]
fn a_receiver_that_is_not_there_is_given_up() {
    // A port that was free a moment ago.
    let port = tcp().1;
    let rig = Rig::new(&format!(
        "protocol=os2l host=127.0.0.1 port={port} retry-limit=2"
    ));
    rig.start();
    let mut warnings = Vec::new();
    let until = Instant::now() + Duration::from_secs(10);
    while warnings.len() < 2 && Instant::now() < until {
        warnings.extend(rig.warnings());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(warnings[0].contains(&format!("No connection to OS2L 127.0.0.1:{port}")));
    assert!(warnings[1].contains("after 3 attempts"), "{warnings:?}");
    rig.push(rig.now(), &[beat(0, rig.now())]);
    rig.finish();
    assert_eq!((rig.count("sent"), rig.count("dropped")), (0, 1));
    assert_eq!(rig.warnings(), [""; 0]);
}

#[test]
fn a_receiver_that_takes_nothing_holds_nothing_up() {
    let (listener, port) = tcp();
    let rig = Rig::new(&format!("protocol=os2l host=127.0.0.1 port={port}")).play();
    let _stalled = accept(&listener);
    let start = Instant::now();
    let mut id = 0;
    while rig.count("dropped") == 0 {
        assert!(start.elapsed() < Duration::from_secs(60));
        let beats: Vec<_> = (id..id + 500).map(|id| beat(id, rig.now())).collect();
        rig.push(rig.now(), &beats);
        id += 500;
        rig.wait(|rig| rig.count("sent") + rig.count("dropped") == id);
    }
    assert!(rig.flag("connected"));
    rig.finish();
}

#[test]
fn wled_shows_peaks_and_the_spectrum_of_raw_audio() {
    let (socket, port) = udp();
    let rig = Rig::with_caps(
        "audio/x-raw,format=F32LE,rate=8000,channels=1,layout=interleaved",
        &format!("protocol=wled host=127.0.0.1 port={port}"),
    )
    .play();
    let start = rig.now() + ms(100);
    let samples: Vec<u8> = (0..1600)
        .map(|n| 0.5 * (std::f32::consts::TAU * 440.0 / 8000.0 * n as f32).sin())
        .flat_map(f32::to_le_bytes)
        .collect();
    let mut carrier = gst::Buffer::from_slice(samples);
    carrier.get_mut().unwrap().set_pts(start);
    marks::attach(
        carrier.get_mut().unwrap(),
        "ear",
        &[beat(0, start + ms(150))],
    );
    rig.push_buffer(carrier);
    let number =
        |packet: &[u8], at: usize| f32::from_le_bytes(packet[at..at + 4].try_into().unwrap());
    let mut peaks = 0;
    for n in 0..11 {
        let packet = receive(&socket);
        assert_eq!((packet.len(), &packet[..6]), (44, &b"00002\0"[..]));
        assert_eq!(packet[17], n + 1);
        assert!(packet[16] <= 1);
        if packet[16] == 1 {
            peaks += 1;
            assert!(packet[18..34].iter().any(|band| *band > 150), "{packet:?}");
            // The level of half of full scale, and the frequency within a bin.
            assert!((number(&packet, 8) - 127.5).abs() < 5.0);
            assert!((number(&packet, 40) - 440.0).abs() < 25.0);
            assert!((number(&packet, 36) / 2048.0 - 1.0).abs() < 0.2);
            assert!(number(&packet, 12) > 20.0);
        }
    }
    assert_eq!(peaks, 1);
    rig.wait(|rig| rig.count("sent") == 1);
}

#[test]
fn wled_flashes_without_audio_to_a_group() {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let group = "239.0.0.1".parse().unwrap();
    let own = "127.0.0.1".parse().unwrap();
    socket.join_multicast_v4(&group, &own).unwrap();
    let rig = Rig::new(&format!("protocol=wled interface=127.0.0.1 port={port}")).play();
    rig.push(rig.now(), &[onset(0, rig.now() + ms(50))]);
    let on = receive(&socket);
    assert_eq!((on[16], on[18]), (1, (255.0 * 1.25 / 2.25) as u8));
    let off = receive(&socket);
    assert_eq!((off[16], &off[18..34]), (0, &[0; 16][..]));
}

/// A pipe with a reader that notes the running time of each byte.
fn midi(properties: &str, work: impl FnOnce(&Rig)) -> Vec<(f64, u8)> {
    let dir = Dir::new();
    let path = dir.file("midi");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let rig = Rig::new(&format!(
        "protocol=midi-clock device={} {properties}",
        path.display()
    ));
    // Nobody reads yet: it is tried again.
    rig.start();
    rig.wait(|rig| !rig.warnings().is_empty());
    let pipeline = rig.pipeline.clone();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        for byte in BufReader::new(std::fs::File::open(path).unwrap()).bytes() {
            let now = pipeline.current_running_time().unwrap_or_default();
            bytes.push((now.nseconds() as f64 / 1e6, byte.unwrap()));
        }
        bytes
    });
    rig.wait(|rig| rig.flag("connected"));
    work(&rig);
    rig.pipeline.set_state(gst::State::Null).unwrap();
    reader.join().unwrap()
}

#[test]
fn midi_clock_ticks_with_the_beats() {
    let mut first = 0;
    let bytes = midi("", |rig| {
        first = (rig.now() + ms(300)).mseconds();
        let at = |n: u64| ms(first + 400 * n);
        for n in 0..6 {
            while rig.now() + ms(200) < at(n) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let beat = Mark {
                bpm: Some(150.0),
                ..beat(n, at(n))
            };
            rig.push(rig.now(), &[beat]);
        }
        while rig.now() < at(6) {
            std::thread::sleep(Duration::from_millis(5));
        }
        rig.pipeline.set_state(gst::State::Paused).unwrap();
        // A rest too short to be noticed stops nothing.
        std::thread::sleep(Duration::from_millis(500));
        rig.pipeline.set_state(gst::State::Playing).unwrap();
        let sent = rig.count("sent");
        rig.push(rig.now(), &[beat(7, rig.now() + ms(100))]);
        rig.wait(|rig| rig.count("sent") > sent + 2);
    });
    assert_eq!((bytes[0].1, bytes[1].1), (0xFA, 0xF8));
    let stop = bytes.iter().position(|(_, b)| *b == 0xFC).unwrap();
    let ticks = &bytes[1..stop];
    assert!(ticks.iter().all(|(_, b)| *b == 0xF8));
    // Six beats, and what there is of the next one until the pause.
    assert!((144..=170).contains(&ticks.len()), "{}", ticks.len());
    let mut jitter: Vec<_> = (0..144)
        .map(|n| (ticks[n].0 - first as f64 - n as f64 * 400.0 / 24.0).abs())
        .collect();
    let p95 = quantile(&mut jitter, 0.95);
    println!(
        "ticks off by {:.3} ms, 95 % within {p95:.3} ms",
        quantile(&mut jitter, 0.5)
    );
    assert!(p95 < 50.0, "{p95}");
    // The song goes on with the next whole beat; its place is counted in sixteenths, of six ticks each.
    let place = ticks.len().next_multiple_of(24) / 6;
    let rest: Vec<_> = bytes[stop + 1..].iter().map(|(_, b)| *b).collect();
    assert_eq!(rest[..5], [0xF2, place as u8, 0, 0xFB, 0xF8]);
    assert_eq!(rest.last(), Some(&0xFC));
}

#[test]
#[ignore = "needs a machine that does nothing else"]
fn midi_clock_is_steady_within_1_5_ms() {
    let mut first = 0;
    let bytes = midi("", |rig| {
        first = (rig.now() + ms(300)).mseconds();
        for n in 0..40 {
            while rig.now() + ms(200) < ms(first + 500 * n) {
                std::thread::sleep(Duration::from_millis(5));
            }
            rig.push(rig.now(), &[beat(n, ms(first + 500 * n))]);
        }
        std::thread::sleep(Duration::from_millis(300));
    });
    let ticks = bytes.iter().filter(|(_, b)| *b == 0xF8);
    let mut off: Vec<_> = ticks
        .enumerate()
        .map(|(n, (time, _))| (time - first as f64 - n as f64 * 500.0 / 24.0).abs())
        .collect();
    let p95 = quantile(&mut off, 0.95);
    println!(
        "{} ticks, median {:.3} ms, 95 % within {p95:.3} ms",
        off.len(),
        quantile(&mut off, 0.5)
    );
    assert!(p95 <= 1.5, "{p95} ms");
}

#[test]
fn a_flush_takes_back_what_has_not_left() {
    let (socket, port) = udp();
    let rig = Rig::new(&format!("protocol=osc port={port}")).play();
    rig.push(rig.now(), &[beat(0, rig.now() + ms(5000))]);
    rig.push(rig.now(), &[]);
    std::thread::sleep(Duration::from_millis(100));
    let pad = rig.sink.static_pad("sink").unwrap();
    pad.send_event(gst::event::FlushStart::new());
    pad.send_event(gst::event::FlushStop::new(true));
    assert_eq!(rig.count("dropped"), 1);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 100]).is_err());
}

#[test]
fn marks_wait_while_the_stream_rests() {
    let (socket, port) = udp();
    let rig = Rig::new(&format!("protocol=osc port={port}")).play();
    let at = rig.now() + ms(300);
    rig.push(rig.now(), &[beat(0, at)]);
    std::thread::sleep(Duration::from_millis(50));
    rig.pipeline.set_state(gst::State::Paused).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(rig.count("sent"), 0);
    rig.pipeline.set_state(gst::State::Playing).unwrap();
    rig.push(at, &[]);
    receive(&socket);
    assert!(rig.now() >= at);
    assert_eq!(rig.count("late"), 0);
}

#[test]
fn the_end_waits_for_the_last_mark() {
    let (socket, port) = udp();
    let rig = Rig::new(&format!("protocol=osc port={port}")).play();
    let at = rig.now() + ms(700);
    rig.push(rig.now(), &[beat(0, at)]);
    rig.finish();
    assert!(rig.now() >= at);
    assert_eq!(rig.count("sent"), 1);
    receive(&socket);
    rig.pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(rig.count("sent"), 1, "the counts outlive the stream");
}

#[test]
fn marks_in_events_are_sent_too() {
    let (socket, port) = udp();
    let rig = Rig::new(&format!("protocol=osc port={port}")).play();
    rig.push_event(marks::event("ear", &[onset(3, rig.now())]));
    assert_eq!(osc(&receive(&socket)).0, "/dance/onset");
}

#[test]
fn bad_settings_are_refused() {
    let settings = gst::ResourceError::Settings;
    let refused = |properties: &str, parts: &[&str]| {
        assert_refused("marknetsink", properties, settings, parts);
    };
    refused("protocol=midi-clock", &["'device'", "raw MIDI port"]);
    refused("osc-address=beat", &["'osc-address'", "'beat'", "'/'"]);
    refused("osc-address=/a*", &["'osc-address'", "'/a*'"]);
    refused(
        "protocol=wled host=lamp.local",
        &["'host'", "lamp.local", "IPv4"],
    );
    refused(
        "protocol=wled interface=eth0",
        &["'interface'", "eth0", "IPv4"],
    );
    refused(
        "protocol=obs password-location=/nowhere/secret",
        &["'password-location'", "/nowhere/secret"],
    );
    let (_listener, port) = tcp();
    refused(
        &format!("protocol=websocket port={port}"),
        &["listen", &format!("127.0.0.1:{port}"), "in use"],
    );
}

#[test]
fn settings_stay_while_it_runs() {
    let (_socket, port) = udp();
    let rig = Rig::new(&format!("protocol=osc port={port}")).play();
    rig.sink.set_property("lead", 100u32);
    assert_eq!(rig.sink.property::<u32>("lead"), 0);
    assert!(rig.warnings()[0].contains("'lead'"));
}

#[test]
fn it_starts_and_stops_over_and_over() {
    init();
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let (_server, port) = tcp();
    let free = tcp().1;
    for properties in [
        "protocol=osc".to_owned(),
        format!("protocol=os2l host=127.0.0.1 port={port}"),
        "protocol=wled host=127.0.0.1".to_owned(),
        format!("protocol=websocket port={free}"),
        format!("protocol=obs port={port}"),
        "protocol=midi-clock device=/dev/null".to_owned(),
    ] {
        let rig = Rig::new(&properties);
        for _ in 0..10 {
            let start = Instant::now();
            rig.pipeline.set_state(gst::State::Playing).unwrap();
            rig.push(ms(0), &[beat(0, ms(0))]);
            rig.pipeline.set_state(gst::State::Null).unwrap();
            assert!(start.elapsed() < Duration::from_secs(5), "{properties}");
        }
        drop(rig);
    }
    let until = Instant::now() + Duration::from_secs(10);
    let own = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with("marknet-"))
            .count()
    };
    // Other tests of this program have threads of their own, which end, too.
    while own() > 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(own() < 40, "{} of {} threads", own(), threads());
}

#[test]
fn nothing_leaks() {
    assert_no_leaks("nothing_leaks", || {
        let (socket, port) = udp();
        let rig = Rig::new(&format!("protocol=osc port={port}")).play();
        rig.push(rig.now(), &[beat(0, rig.now()), beat(1, ms(60_000))]);
        receive(&socket);
        rig.pipeline.set_state(gst::State::Null).unwrap();
        let free = tcp().1;
        let rig = Rig::new(&format!("protocol=websocket port={free}")).play();
        let mut page = std::net::TcpStream::connect(("127.0.0.1", free)).unwrap();
        page.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        page.read_to_string(&mut text).unwrap();
        assert!(text.contains("<dance-overlay>"));
        rig.finish();
        rig.pipeline.set_state(gst::State::Null).unwrap();
        // The connector has ended when nobody has the element any more.
        std::thread::sleep(Duration::from_millis(300));
    });
}

#[test]
fn the_pipeline_of_the_page_runs() {
    let source = include_str!("../src/marknetsink/mod.rs");
    let block = source.split("//! ```sh\n").nth(1).unwrap();
    let block = block.split("//! ```").next().unwrap();
    let line = block.replace("//!", " ").replace(['\\', '\n'], " ");
    let (program, description) = line.trim().split_once(' ').unwrap();
    assert_eq!(program, "gst-launch-1.0");
    let (socket, port) = udp();
    let pipeline = Playing::new(&description.replace("port=9000", &format!("port={port}")));
    pipeline.set_state(gst::State::Playing).unwrap();
    assert!(osc(&receive(&socket)).0.starts_with("/dance/"));
    assert_eq!(pipeline.end().type_(), gst::MessageType::Eos);
}
