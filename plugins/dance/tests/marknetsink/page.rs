// SPDX-License-Identifier: MPL-2.0
//! The page in a browser: Chromium without a window, told what to do over its own WebSocket.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64;
use gstdance::marks;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use super::common::*;
use super::rig::*;
use super::websocket::server;

struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    session: Value,
    count: u64,
    _profile: Dir,
}

impl Browser {
    /// Starts it on that page; `None` where there is no Chromium.
    fn open(url: &str) -> Option<Self> {
        let profile = Dir::new();
        let data = profile.file("profile");
        let mut process = Command::new("chromium")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--mute-audio",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-sync",
            ])
            .args(["--window-size=1280,720", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", data.display()))
            .arg(url)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let errors = BufReader::new(process.stderr.take().unwrap());
        let mut lines = errors.lines().map_while(Result::ok);
        let address = lines
            .find_map(|line| {
                line.split_once("listening on ")
                    .map(|(_, url)| url.to_owned())
            })
            .expect("Chromium does not say where it listens");
        // It goes on talking, and must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let host = address.trim_start_matches("ws://");
        let host = host.split('/').next().unwrap();
        let stream = TcpStream::connect(host).unwrap();
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).unwrap();
        let (socket, _) = tungstenite::client(address, stream).unwrap();
        let mut browser = Self {
            process,
            socket,
            session: Value::Null,
            count: 0,
            _profile: profile,
        };
        let target = loop {
            let targets = browser.call("Target.getTargets", json!({}));
            let targets = targets["targetInfos"].as_array().unwrap();
            let page = targets.iter().find(|target| target["type"] == "page");
            if let Some(page) = page {
                break page["targetId"].clone();
            }
        };
        let attach = json!({"targetId": target, "flatten": true});
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].clone();
        Some(browser)
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.count += 1;
        let id = self.count;
        let mut call = json!({"id": id, "method": method, "params": params});
        if !self.session.is_null() {
            call["sessionId"] = self.session.clone();
        }
        self.socket.send(Message::text(call.to_string())).unwrap();
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                let mut answer: Value = serde_json::from_str(&text).unwrap();
                if answer["id"] == id {
                    assert!(answer["error"].is_null(), "{answer}");
                    return answer["result"].take();
                }
            }
        }
    }

    /// The value of an expression in the page.
    fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        let mut result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{result}");
        result["result"]["value"].take()
    }

    fn screenshot(&mut self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", json!({"format": "png"}));
        BASE64
            .decode(picture["data"].as_str().unwrap().as_bytes())
            .unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How many pixels of a picture are near to a colour.
fn pixels(png: &[u8], color: [u8; 3]) -> usize {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png))
        .read_info()
        .unwrap();
    let mut data = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut data).unwrap();
    let near = |pixel: &&[u8]| pixel.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 12);
    data[..info.buffer_size()]
        .chunks_exact(info.color_type.samples())
        .filter(near)
        .count()
}

const ACCENT: [u8; 3] = [255, 176, 0];

/// Sends beats of 120 a minute with onsets between them, each half a second ahead.
fn play(rig: &Rig, from: u64, beats: u64) {
    for n in from..from + beats {
        let at = rig.now() + ms(500);
        rig.push(rig.now(), &[beat(n, at), onset(10_000 + n, at + ms(250))]);
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn the_page_flashes_on_the_beat() {
    let (rig, port) = server("lead=100");
    let Some(mut browser) = Browser::open(&format!("http://127.0.0.1:{port}/?debug")) else {
        println!("not tested in a browser: needs the program chromium");
        return;
    };
    rig.wait(|rig| rig.clients() == 1);
    rig.push_event(marks::tempo_event(120.0, 0.75, 4));
    std::thread::sleep(Duration::from_secs(1));
    play(&rig, 0, 12);
    let error = browser.value("document.querySelector('dance-overlay').error");
    println!("the page draws beats off their instants by, in ms: {error}");
    assert!(error["count"].as_u64().unwrap() >= 10, "{error}");
    // Whole frames are skipped where the machine is busy; the bar is one of 40 ms.
    assert!(error["median"].as_f64().unwrap() <= 40.0, "{error}");
    let shadow = "document.querySelector('dance-overlay').shadowRoot";
    let tempo = browser.value(&format!(
        "{shadow}.querySelector('.tempo').textContent.trim()"
    ));
    assert_eq!(tempo, "120.0 BPM");
    let dots = browser.value(&format!("{shadow}.querySelectorAll('.bar i').length"));
    assert_eq!(dots, 4);
    let picture = browser.screenshot();
    if let Ok(path) = std::env::var("GSTDANCE_SCREENSHOT") {
        std::fs::write(path, &picture).unwrap();
    }
    let lit = pixels(&picture, ACCENT);
    assert!(lit > 150, "a dot and the strip are lit: {lit}");
    // The panel is on a dark page, not over all of it.
    assert!(pixels(&picture, [16, 16, 20]) > 1280 * 720 / 2);

    // Who asks for less motion gets no flash, and still the place in the bar.
    let feature = json!({"name": "prefers-reduced-motion", "value": "reduce"});
    browser.call("Emulation.setEmulatedMedia", json!({"features": [feature]}));
    browser.value(&format!(
        "brightest = 0; setInterval(() => brightest = Math.max(brightest, \
         {shadow}.querySelector('.flash').style.opacity), 5); 0"
    ));
    std::thread::sleep(Duration::from_millis(500));
    browser.value("brightest = 0");
    play(&rig, 13, 3);
    let brightest = browser.value("brightest").as_f64().unwrap();
    assert!(brightest < 0.2, "{brightest}");
    let place = browser.value(&format!("{shadow}.querySelectorAll('.bar i.on').length"));
    assert_eq!(place, 1);
    browser.call("Emulation.setEmulatedMedia", json!({"features": []}));

    // Six beats a second: no more than three flashes.
    browser.value(&format!(
        "flashes = 0; was = 0; setInterval(() => {{ const now = +{shadow}.querySelector('.flash').style.opacity; \
         if (now > was + 0.3) flashes++; was = now; }}, 5); 0"
    ));
    for n in 0..12 {
        rig.push(rig.now(), &[beat(100 + n, rig.now() + ms(300))]);
        std::thread::sleep(Duration::from_millis(167));
    }
    std::thread::sleep(Duration::from_millis(500));
    let flashes = browser.value("flashes").as_u64().unwrap();
    assert!((2..=9).contains(&flashes), "{flashes}");
}
