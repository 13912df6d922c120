// SPDX-License-Identifier: MPL-2.0
//! OBS, played by a server that greets, asks for the password and takes requests as obs-websocket 5
//! does.

use std::net::{TcpListener, TcpStream};

use data_encoding::BASE64;
use gst::prelude::*;
use gstdance::marks;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tungstenite::protocol::frame::{CloseFrame, coding::CloseCode};
use tungstenite::{Message, WebSocket};

use super::common::*;
use super::rig::*;

const PASSWORD: &str = "correct horse battery";

struct Obs(WebSocket<TcpStream>);

impl Obs {
    /// Greets, and lets in who knows the password.
    fn accept(listener: &TcpListener) -> Option<Self> {
        let mut obs = Self(tungstenite::accept(accept(listener)).unwrap());
        let (salt, challenge) = ("pepper", "riddle");
        obs.say(&json!({"op": 0, "d": {
            "obsWebSocketVersion": "5.4.2",
            "rpcVersion": 1,
            "authentication": {"challenge": challenge, "salt": salt},
        }}));
        let identify = obs.hear();
        assert_eq!(
            (&identify["op"], &identify["d"]["rpcVersion"]),
            (&json!(1), &json!(1))
        );
        let digest = |text: String| BASE64.encode(&Sha256::digest(text));
        let secret = digest(format!("{PASSWORD}{salt}"));
        if identify["d"]["authentication"] != digest(format!("{secret}{challenge}")) {
            let frame = CloseFrame {
                code: CloseCode::from(4009),
                reason: "Authentication failed.".into(),
            };
            obs.0.close(Some(frame)).unwrap();
            // Until the other end has taken it.
            while obs.0.read().is_ok() {}
            return None;
        }
        obs.say(&json!({"op": 2, "d": {"negotiatedRpcVersion": 1}}));
        Some(obs)
    }

    fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    fn hear(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.0.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }
}

fn rig(port: u16, password: &str) -> Rig {
    let rig = Rig::new(&format!(
        "protocol=obs port={port} text-source=Tempo event-name=beat"
    ));
    rig.sink.set_property("password", password);
    rig
}

/// The first warning.
fn warning(rig: &Rig) -> String {
    let bus = rig.pipeline.bus().unwrap();
    let patience = gst::ClockTime::from_seconds(20);
    let message = bus.timed_pop_filtered(patience, &[gst::MessageType::Warning]);
    match message.expect("no warning").view() {
        gst::MessageView::Warning(warning) => warning.error().to_string(),
        _ => unreachable!(),
    }
}

#[test]
fn browser_sources_and_a_text_are_told() {
    let (listener, port) = tcp();
    let server = std::thread::spawn(move || Obs::accept(&listener).unwrap());
    let rig = rig(port, PASSWORD).play();
    let mut obs = server.join().unwrap();
    rig.push_event(marks::tempo_event(127.96, 0.75, 4));
    rig.push(rig.now(), &[beat(0, rig.now() + ms(50))]);
    let text = obs.hear();
    assert_eq!(
        (&text["op"], &text["d"]["requestType"]),
        (&json!(6), &json!("SetInputSettings"))
    );
    let data = json!({"inputName": "Tempo", "inputSettings": {"text": "128.0"}, "overlay": true});
    assert_eq!(text["d"]["requestData"], data);
    // It refuses, as for a source that is not there: the stream goes on.
    obs.say(&json!({"op": 7, "d": {
        "requestType": "SetInputSettings",
        "requestId": text["d"]["requestId"],
        "requestStatus": {"result": false, "code": 600, "comment": "No source was found"},
    }}));
    let event = obs.hear();
    assert_eq!(event["d"]["requestType"], "CallVendorRequest");
    assert_ne!(event["d"]["requestId"], text["d"]["requestId"]);
    let request = &event["d"]["requestData"];
    assert_eq!(request["vendorName"], "obs-browser");
    assert_eq!(request["requestType"], "emit_event");
    let data = &request["requestData"];
    assert_eq!(data["event_name"], "beat");
    assert_eq!(data["event_data"]["kind"], "downbeat");
    assert_eq!(data["event_data"]["bpm"], 120.0);
    assert!(data["event_data"]["due-in"].as_f64().unwrap() <= 0.0);
    rig.finish();
}

#[test]
fn a_wrong_password_is_told_and_never_shown() {
    // In a process of its own, for all that GStreamer logs.
    let secret = "swordfish-4711";
    let name = "obs::a_wrong_password_is_told_and_never_shown";
    if !is_child() {
        let environment = [("GST_DEBUG", "*:6"), ("GST_DEBUG_NO_COLOR", "1")];
        let output = run_alone(name, "", &environment);
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        assert!(log.contains("marknetsink"));
        assert!(!log.contains(secret), "the password is in the log");
        return;
    }
    let (listener, port) = tcp();
    let server = std::thread::spawn(move || assert!(Obs::accept(&listener).is_none()));
    let rig = rig(port, secret);
    rig.start();
    let text = warning(&rig);
    assert!(text.contains("is the password right?"), "{text}");
    assert!(!text.contains(secret));
    server.join().unwrap();
    let stats = rig.sink.property::<gst::Structure>("stats").to_string();
    assert!(!stats.contains(secret));
    let pspec = rig.sink.find_property("password").unwrap();
    assert!(!pspec.flags().contains(gst::glib::ParamFlags::READABLE));
}

#[test]
fn without_a_password_the_error_says_what_to_set() {
    let (listener, port) = tcp();
    let _server = std::thread::spawn(move || {
        let mut obs = Obs(tungstenite::accept(accept(&listener)).unwrap());
        let authentication = json!({"challenge": "a", "salt": "b"});
        obs.say(&json!({"op": 0, "d": {"rpcVersion": 1, "authentication": authentication}}));
        let _ = obs.0.read();
    });
    let rig = Rig::new(&format!("protocol=obs port={port}"));
    rig.start();
    let text = warning(&rig);
    assert!(text.contains("'password'"), "{text}");
}
