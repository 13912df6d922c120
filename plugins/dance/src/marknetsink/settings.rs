// SPDX-License-Identifier: MPL-2.0
//! The properties.

use std::fmt;
use std::path::PathBuf;
use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

use super::{OscPreset, Protocol};
use crate::property::{self, Properties, Property};

/// A text that no log shows.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) protocol: Protocol,
    pub(super) host: Option<String>,
    /// 0 is the protocol's own.
    port: u32,
    pub(super) interface: Option<String>,
    /// In ms.
    pub(super) lead: u32,
    /// In ms.
    pub(super) late_limit: u32,
    pub(super) retry_limit: u32,
    pub(super) osc_address: String,
    pub(super) osc_preset: OscPreset,
    pub(super) osc_timetags: bool,
    pub(super) allowed_origins: Option<String>,
    pub(super) max_clients: u32,
    pub(super) password: Option<Secret>,
    password_location: Option<PathBuf>,
    pub(super) event_name: String,
    pub(super) text_source: Option<String>,
    pub(super) device: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            protocol: Protocol::default(),
            host: None,
            port: 0,
            interface: None,
            lead: 0,
            late_limit: 1000,
            retry_limit: 100,
            osc_address: "/dance/{kind}".into(),
            osc_preset: OscPreset::default(),
            osc_timetags: false,
            allowed_origins: None,
            max_clients: 128,
            password: None,
            password_location: None,
            event_name: "rhythm-mark".into(),
            text_source: None,
            device: None,
        }
    }
}

pub(super) static PROPERTIES: LazyLock<Properties<Settings>> = LazyLock::new(|| {
    // Apart from the others, whose values are logged.
    let password = glib::ParamSpecString::builder("password")
        .nick("Password")
        .blurb("Password of obs-websocket; it cannot be read back")
        .flags(glib::ParamFlags::WRITABLE | gst::PARAM_FLAG_MUTABLE_READY);
    Properties::new(property::list! { Settings:
        "protocol", "Protocol", "How marks are sent" => READY choice protocol;
        "host", "Host",
            "Receiver, or the address to listen on with websocket; unset: this machine with osc, obs and websocket, the \
             group 239.0.0.1 with wled, what DNS-SD finds with os2l"
            => READY text host;
        "port", "Port", "Port of the receiver, or to listen on with websocket; 0: the protocol's own"
            => READY number port in 0..=u32::from(u16::MAX);
        "interface", "Interface",
            "Network interface for multicast (wled: its IPv4 address) and discovery (os2l: its name or address); unset: \
             the system's choice"
            => READY text interface;
        "lead", "Lead", "How long before its instant a mark leaves, in ms, for the receiver's own delay"
            => READY number lead in 0..=1000;
        "late-limit", "Late limit", "How late a mark may leave, in ms; later ones are dropped"
            => READY number late_limit in 0..=u32::MAX;
        "retry-limit", "Retry limit",
            "How often in a row a connection is tried again; the pauses grow to 5 s"
            => READY number retry_limit in 0..=u32::MAX - 1;
        "osc-address", "OSC address",
            "Address of OSC messages; {kind} stands for onset, beat, downbeat, visual-beat or tempo"
            => READY name osc_address;
        "osc-preset", "OSC preset", "Whose conventions OSC messages follow" => READY choice osc_preset;
        "osc-timetags", "OSC time tags",
            "Put each OSC message into a bundle with the time of the day of its instant"
            => READY switch osc_timetags;
        "allowed-origins", "Allowed origins",
            "Origins of web pages that may connect to the WebSocket, with commas between them, as https://a.example; * \
             allows all; unset: pages of this machine"
            => READY text allowed_origins;
        "max-clients", "Largest number of clients", "How many WebSocket clients there may be at once"
            => READY number max_clients in 0..=4096;
        use [Property::read_only(password.build())];
        "password-location", "Location of the password",
            "File that holds the password of obs-websocket, which a command line would show to others"
            => READY path password_location;
        "event-name", "Event name", "Name of the event that the browser sources of OBS get"
            => READY name event_name;
        "text-source", "Text source", "Text source of OBS that shows the tempo; unset: none"
            => READY text text_source;
        "device", "Device", "Raw MIDI port for midi-clock, as /dev/snd/midiC1D0, or a named pipe"
            => READY path device;
        use property::stats(
            "Counts since the start: sent, of them late ones that became known after they should have left, dropped, \
             missed by one of several receivers, duplicates, reconnects; clients; connected; median and 95th percentile \
             in ns of how late those left that were known in time (lateness) and that were late (late)"
        );
    })
});

impl Settings {
    pub(super) fn port_or(&self, default: u16) -> u16 {
        let port = u16::try_from(self.port).unwrap_or(0);
        if port == 0 { default } else { port }
    }

    /// The password, if there is one.
    ///
    /// # Errors
    /// If the file that is to hold it cannot be read.
    pub(super) fn secret(&self) -> Result<Option<Secret>, String> {
        let Some(path) = &self.password_location else {
            return Ok(self.password.clone());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|err| format!("'password-location' is '{}': {err}", path.display()))?;
        Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let settings = Settings {
            password: Some(Secret::new("hunter2")),
            ..Settings::default()
        };
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(settings.secret().unwrap().unwrap().reveal(), "hunter2");
    }
}
