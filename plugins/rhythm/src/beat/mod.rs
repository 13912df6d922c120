//! stub
#![allow(missing_docs, clippy::all)]
pub const DEFAULT_MIN_BPM: f64 = 55.0;
pub const DEFAULT_MAX_BPM: f64 = 215.0;
pub const LOWEST_BPM: f64 = 20.0;
pub const HIGHEST_BPM: f64 = 300.0;
pub const MOST_BEATS_PER_BAR: u8 = 12;
#[derive(Debug, Clone)]
pub struct Config {
    pub frame_rate: f64,
    pub min_bpm: f64,
    pub max_bpm: f64,
    pub beats_per_bar: Vec<u8>,
}
impl Config {
    pub fn new(frame_rate: f64) -> Self {
        Self {
            frame_rate,
            min_bpm: 55.0,
            max_bpm: 215.0,
            beats_per_bar: vec![3, 4],
        }
    }
}
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beat {
    pub time: f64,
    pub strength: f64,
    pub confidence: f64,
    pub bpm: f64,
    pub beat_in_bar: u8,
    pub predicted: bool,
}
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tempo {
    pub bpm: f64,
    pub confidence: f64,
    pub beats_per_bar: u8,
}
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    Beat(Beat),
    Tempo(Tempo),
}
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Error;
impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "x")
    }
}
pub struct Tracker;
impl Tracker {
    pub fn new(_: &Config) -> Result<Self, Error> {
        Ok(Self)
    }
    pub fn delay(&self) -> f64 {
        0.05
    }
    pub fn push(&mut self, _: &crate::onset::Frame, _: &mut impl FnMut(Event)) {}
    pub fn finish(&mut self, _: &mut impl FnMut(Event)) {}
    pub fn reset(&mut self) {}
}
pub struct Offline;
impl Offline {
    pub fn new(_: &Config) -> Result<Self, Error> {
        Ok(Self)
    }
    pub fn push(&mut self, _: &crate::onset::Frame) {}
    pub fn decode(&mut self) -> Vec<Beat> {
        vec![]
    }
    pub fn reset(&mut self) {}
}
