//! Beats, downbeats and tempo from an onset function.
pub(crate) mod space;
mod forward;
mod viterbi;
mod observation;
mod tracker;
pub use tracker::Tracker;
pub use viterbi::Offline;

/// Numbers of the model; the defaults were chosen on one half of the music.
#[derive(Clone, Debug)]
pub struct Model {
    pub lambda: f64,
    pub jump: f64,
    pub region: f64,
    pub centre_bpm: f64,
    pub spread: f64,
    pub pull: f64,
    pub gain: f64,
    pub rest: f64,
    pub slope: f64,
    pub bands: f64,
    pub accent: f64,
    pub half: f64,
    pub metre_change: f64,
    pub x: [f64; 8],
}
impl Default for Model {
    fn default() -> Self {
        let mut m = Self { lambda: 100.0, jump: 1e-3, region: 1.0/16.0, centre_bpm: 125.0, spread: 0.6, pull: 0.0, gain: 0.7, rest: -0.75, slope: 3.8, bands: 0.0, accent: 1.0, half: 1.0, metre_change: 0.002, x: [0.0;8] };
        m.env();
        m
    }
}
impl Model {
    fn env(&mut self) {
        let Ok(s) = std::env::var("M") else { return };
        for kv in s.split(',').filter(|x| !x.is_empty()) {
            let (k, v) = kv.split_once('=').unwrap();
            let v: f64 = v.parse().unwrap();
            match k { "lambda"=>self.lambda=v,"jump"=>self.jump=v,"region"=>self.region=v,"centre"=>self.centre_bpm=v,"spread"=>self.spread=v,"pull"=>self.pull=v,"gain"=>self.gain=v,"rest"=>self.rest=v,"slope"=>self.slope=v,"bands"=>self.bands=v,"accent"=>self.accent=v,"half"=>self.half=v,"mc"=>self.metre_change=v,
             _ if k.starts_with('x') => self.x[k[1..].parse::<usize>().unwrap()]=v, _=>panic!("{k}") }
        }
    }
}

/// What a tracker is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Frames a second of the onset function.
    pub frame_rate: f64,
    /// Slowest tempo.
    pub min_bpm: f64,
    /// Fastest tempo.
    pub max_bpm: f64,
    /// Metres allowed.
    pub beats_per_bar: Vec<u8>,
    /// Seconds before its instant that a beat is reported, if it can be.
    pub lead: f64,
    /// The model.
    pub model: Model,
}
impl Default for Config {
    fn default() -> Self { Self { frame_rate: 100.0, min_bpm: 55.0, max_bpm: 215.0, beats_per_bar: vec![3,4], lead: 0.03, model: Model::default() } }
}
/// A beat.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beat { pub time: f64, pub strength: f64, pub confidence: f64, pub bpm: f64, pub beat_in_bar: u8, pub predicted: bool }
/// Tempo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tempo { pub bpm: f64, pub confidence: f64, pub beats_per_bar: u8 }
/// What a tracker says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event { Beat(Beat), Tempo(Tempo) }
/// Error
#[derive(Clone, Debug, PartialEq)]
pub enum Error { FrameRate(f64), Bpm(f64,f64), Metre(Vec<u8>) }
