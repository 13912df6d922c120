// SPDX-License-Identifier: MPL-2.0
//! `method=model`: what it detects, refused with reasons, and done without where nobody asked for it.
//!
//! The models are of the real interface, written here by `dance-networks`, with a
//! rule instead of trained weights. These tests need ONNX Runtime, and fail where it cannot be had.

use std::path::{Path, PathBuf};

use dance_inference::{ModelFile, Runtime, Search};
use dance_networks::layers::Scope;
use dance_networks::network::{About, Network, Port};
use dance_networks::ops::{Ops, Reduce, Unary};
use dance_networks::weights::Weights;
use dance_networks::{card, onnx};
use dance_rhythm::network::{BANDS, FEATURES, FRAME_RATE};

use super::common::{assert_refused, is_child, library, refusal, run_alone};
use super::*;

/// Takes for an onset and for a beat where the mean of the bands rises from one frame to the next.
#[derive(Clone)]
struct Rise {
    /// What a rise counts; nothing is detected with 0.
    gain: f32,
    /// No number comes out where a band is above this.
    limit: f32,
    bands: usize,
    about: About,
}

impl Default for Rise {
    fn default() -> Self {
        let mut parameters = toml::Table::new();
        parameters.insert("features".into(), FEATURES.into());
        parameters.insert("delay".into(), 0.01.into());
        Self {
            gain: 4.0,
            limit: 1e6,
            bands: BANDS,
            about: About {
                task: "rhythm".into(),
                frame_rate: Some(FRAME_RATE),
                labels: ["onset", "beat", "downbeat"].map(String::from).to_vec(),
                parameters,
                ..About::default()
            },
        }
    }
}

impl Network for Rise {
    fn name(&self) -> &str {
        "rise"
    }

    fn inputs(&self) -> Vec<Port> {
        vec![
            Port::signal(
                "features",
                &["batch".into(), "time".into(), self.bands.into()],
                "",
            ),
            Port::state("before", &["batch".into(), 1.into(), self.bands.into()]),
        ]
    }

    fn outputs(&self) -> Vec<Port> {
        vec![
            Port::signal(
                "activations",
                &["batch".into(), "time".into(), 3.into()],
                "",
            ),
            Port::state("last", &["batch".into(), 1.into(), self.bands.into()]),
        ]
    }

    fn about(&self) -> About {
        self.about.clone()
    }

    fn forward<G: Ops>(
        &self,
        scope: &Scope<G>,
        inputs: &[G::Tensor],
    ) -> anyhow::Result<Vec<G::Tensor>> {
        let [features, before] = inputs else {
            anyhow::bail!("{} inputs", inputs.len());
        };
        let g = scope.ops;
        let all = g.concat(&[before, features], 1)?;
        let rises = g.relu(&g.sub(features, &g.slice(&all, 1, 0, Some(-1))?)?)?;
        let rise = g.scale(&g.mean(&rises, &[-1], true)?, self.gain)?;
        let below = g.sub(
            &g.scalar(self.limit)?,
            &g.reduce(features, Reduce::Max, &[-1], true)?,
        )?;
        let number = g.scale(&g.unary(&below, Unary::Sqrt)?, 0.0)?;
        let onset = g.tanh(&g.add(&rise, &number)?)?;
        let downbeat = g.scale(&onset, 0.1)?;
        let last = g.slice(&all, 1, -1, None)?;
        Ok(vec![g.concat(&[&onset, &onset, &downbeat], -1)?, last])
    }
}

impl Rise {
    fn bytes(&self) -> Vec<u8> {
        card::model(self, Weights::Seeded(1)).unwrap()
    }

    /// Writes `rhythm.onnx` into a folder, without a card's file.
    fn write(&self, folder: &Dir) -> PathBuf {
        let _ = std::fs::remove_file(folder.file("rhythm.toml"));
        write(folder, &self.bytes())
    }

    /// With its card's file.
    fn write_with_card(&self, folder: &Dir) -> PathBuf {
        let path = self.write(folder);
        let mut card = card::card(self, "test").unwrap();
        card.sha256 = Some(
            ModelFile::open(&path, &card.task)
                .unwrap()
                .sha256()
                .to_owned(),
        );
        std::fs::write(path.with_extension("toml"), toml::to_string(&card).unwrap()).unwrap();
        path
    }
}

fn write(folder: &Dir, bytes: &[u8]) -> PathBuf {
    let path = folder.file("rhythm.onnx");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Properties that ask for this model.
fn through(model: &Path) -> String {
    format!(
        "method=model model={} onnxruntime-library={}",
        model.display(),
        library().display()
    )
}

fn active(element: &gst::Element) -> (String, Option<String>) {
    let method = element.property_value("active-method");
    let (_, method) = gst::glib::EnumValue::from_value(&method).unwrap();
    (
        method.nick().to_owned(),
        element.property("active-execution-provider"),
    )
}

/// What these tests start.
const ELEMENT: &str = "onsetdetect";
const INSTANTS: [f64; 6] = [0.5, 1.0, 1.31, 1.8, 2.4, 2.94];

#[test]
fn it_detects_with_the_model() {
    let folder = Dir::new();
    let info = mono_f32(44_100);
    let samples = clicks(44_100, 3.0, &INSTANTS);
    for mode in ["low-latency", "aligned", "offline"] {
        for live in [true, false] {
            let model = Rise::default().write_with_card(&folder);
            let mut run = Run::new(&format!("{} emit=onset mode={mode}", through(&model)));
            run.harness.set_live(live);
            let mut run = run.caps(&info);
            assert_eq!(active(&run.element()), ("model".into(), Some("cpu".into())));
            run.push(buffers(&info, &samples, 441, 0));
            run.eos();
            // The last one lies in the last frames before the end.
            assert_onsets(&run.posted(), &INSTANTS, 0.03);
            assert_eq!(run.out.len(), 300, "{mode}");
        }
    }
    // Everything but the model would detect them.
    let deaf = Rise {
        gain: 0.0,
        ..Rise::default()
    };
    let mut run = Run::new(&through(&deaf.write(&folder))).caps(&info);
    run.push(buffers(&info, &samples, 441, 0));
    run.eos();
    assert!(of_kind(&run.posted(), Kind::Onset).is_empty());
}

/// What is trained is what is fed: nothing but the weights can be wrong with it.
#[test]
fn the_defined_network_fits() {
    let folder = Dir::new();
    let network = dance_networks::rhythm::Rhythm {
        front: 4,
        channels: 8,
        blocks: 3,
        memory: 4,
        dropout: 0.0,
    };
    let model = write(&folder, &card::model(&network, Weights::Seeded(1)).unwrap());
    let info = mono_f32(44_100);
    for mode in ["low-latency", "offline"] {
        let mut run = Run::new(&format!("{} mode={mode}", through(&model))).caps(&info);
        run.push(buffers(&info, &clicks(44_100, 3.0, &INSTANTS), 441, 0));
        run.eos();
        assert_eq!(active(&run.element()).0, "model", "{mode}");
        assert!(run.complaint().is_none(), "{mode}");
        assert_eq!(run.out.len(), 300, "{mode}");
    }
}

/// With its card: what everybody detects with who has ONNX Runtime.
#[test]
fn the_shipped_model_detects_strokes_and_their_beats() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/rhythm.onnx");
    let info = mono_f32(44_100);
    let strokes = every(0.5, 0.5, 20.0);
    let samples = clicks(44_100, 20.0, &strokes);
    for mode in ["low-latency", "aligned", "offline"] {
        let mut run = Run::new(&format!("{} mode={mode}", through(&model))).caps(&info);
        assert_eq!(active(&run.element()), ("model".into(), Some("cpu".into())));
        run.push(buffers(&info, &samples, 441, 0));
        run.eos();
        let marks = run.posted();
        assert_onsets(&marks, &strokes, 0.03);
        let beats = marks.iter().filter(|mark| mark.kind.is_beat());
        let late: Vec<_> = beats.filter(|mark| mark.timestamp.seconds() >= 5).collect();
        assert!((27..=31).contains(&late.len()), "{mode}: {}", late.len());
        for mark in late {
            let off = mark.timestamp.nseconds() as f64 / 1e9 % 0.5;
            assert!(off.min(0.5 - off) < 0.03, "{mode}: {mark:?}");
        }
    }
}

#[test]
fn beats_come_through_the_model() {
    let folder = Dir::new();
    let model = Rise::default().write(&folder);
    let info = mono_f32(44_100);
    let samples = clicks(44_100, 20.0, &every(0.5, 0.25, 20.0));
    for mode in ["low-latency", "offline"] {
        let mut run = Run::new(&format!("{} mode={mode}", through(&model))).caps(&info);
        run.push(buffers(&info, &samples, 441, 0));
        run.eos();
        let marks = run.posted();
        let beats = marks.iter().filter(|mark| mark.kind.is_beat());
        let late: Vec<_> = beats.filter(|mark| mark.timestamp.seconds() >= 5).collect();
        assert!(late.len() >= 28, "{mode}: {} of 30 beats", late.len());
        for mark in late {
            assert!((mark.bpm.unwrap() - 120.0).abs() < 12.0, "{mode}: {mark:?}");
        }
    }
}

#[test]
fn the_sizes_of_buffers_and_blocks_do_not_matter() {
    let folder = Dir::new();
    let model = Rise::default().write(&folder);
    let info = mono_f32(44_100);
    let mut samples = clicks(44_100, 3.0, &INSTANTS);
    // It lasts over the end of the last whole block, after which the frames are run one by one.
    for (n, sample) in samples.iter_mut().enumerate().skip(44_100 * 5 / 2) {
        *sample += 0.2 * (std::f64::consts::TAU * 440.0 * n as f64 / 44_100.0).sin();
    }
    let found: Vec<Vec<_>> = [
        (64, "low-latency"),
        (44_100, "low-latency"),
        (441, "offline"),
        (44_100, "aligned"),
    ]
    .into_iter()
    .map(|(frames, mode)| {
        let mut run = Run::new(&format!("{} emit=onset mode={mode}", through(&model)));
        run.harness.set_live(false);
        let mut run = run.caps(&info);
        run.push(buffers(&info, &samples, frames, 0));
        run.eos();
        let marks = run.posted().into_iter();
        // Sums of another order in another size of the matrices.
        let strength = |mark: &Mark| (mark.strength * 1e4).round();
        marks
            .map(|mark| (mark.timestamp, strength(&mark)))
            .collect()
    })
    .collect();
    assert_eq!(found[0].len(), INSTANTS.len() + 1, "{:?}", found[0]);
    for other in &found[1..] {
        assert_eq!(&found[0], other);
    }
}

#[test]
fn aligned_latency_holds_for_live_and_for_files() {
    let folder = Dir::new();
    let model = Rise::default().write(&folder);
    let info = mono_f32(44_100);
    let samples = clicks(44_100, 3.0, &INSTANTS);
    let mut held = Vec::new();
    for live in [true, false] {
        let mut run = Run::new(&format!("{} mode=aligned", through(&model)));
        run.harness.set_live(live);
        let mut run = run.caps(&info);
        run.push(buffers(&info, &samples, 441, 0));
        let kept = 300 - run.out.len();
        assert_eq!(
            run.harness.query_latency().unwrap(),
            gst::ClockTime::from_mseconds(10) * kept as u64,
            "live: {live}"
        );
        run.eos();
        assert_eq!(run.out.len(), 300);
        assert_eq!(run.stat("late"), 0);
        assert_eq!(
            run.on_buffers()
                .iter()
                .filter(|(mark, _)| mark.kind == Kind::Onset)
                .count(),
            INSTANTS.len()
        );
        held.push(kept);
    }
    assert!(
        held[0] < held[1],
        "a block of frames is waited for only in files: {held:?}"
    );
}

#[test]
fn it_detects_the_same_after_a_flush_new_caps_and_a_gap() {
    let folder = Dir::new();
    let model = Rise::default().write(&folder);
    let info = mono_f32(44_100);
    // Sound from the very beginning to the very end, so that a state that stays shows.
    let samples = clicks(44_100, 1.0, &[0.0, 0.4, 0.7, 0.97]);
    let flush: fn(&mut Run) = |run| {
        run.event(gst::event::FlushStart::new());
        run.event(gst::event::FlushStop::new(true));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        run.event(gst::event::Segment::new(&segment));
    };
    let caps: fn(&mut Run) = |run| {
        for rate in [48_000, 44_100] {
            run.event(gst::event::Caps::new(&mono_f32(rate).to_caps().unwrap()));
        }
    };
    let gap: fn(&mut Run) = |run| {
        let gap = gst::event::Gap::builder(gst::ClockTime::from_seconds(1));
        run.event(gap.duration(gst::ClockTime::from_seconds(10)).build());
    };
    // A flush forgets what is reported at the end only.
    for (mode, name, forget) in [
        ("low-latency", "flush", flush),
        ("low-latency", "caps", caps),
        ("low-latency", "gap", gap),
        ("offline", "caps", caps),
        ("offline", "gap", gap),
    ] {
        let mut run = Run::new(&format!("{} mode={mode}", through(&model))).caps(&info);
        let [first, second] = [0, 60_000_000_000].map(|start| {
            run.push(buffers(&info, &samples, 441, start));
            forget(&mut run);
            let marks = run.posted().into_iter();
            let since = |mark: Mark| (mark.kind, mark.timestamp.nseconds() - start, mark.strength);
            marks.map(since).collect::<Vec<_>>()
        });
        assert!(first.len() >= 3, "{mode} {name}: {first:?}");
        assert!(first[0].1 < 50_000_000, "{mode} {name}: {first:?}");
        assert_eq!(first, second, "{mode} {name}");
    }
}

#[test]
fn what_was_asked_for_and_is_not_there_is_an_error_with_its_place() {
    let folder = Dir::new();
    let model = Rise::default().write_with_card(&folder);
    assert_refused(
        ELEMENT,
        &format!(
            "method=model model={} onnxruntime-library=/nowhere/libonnxruntime.so",
            model.display()
        ),
        gst::ResourceError::NotFound,
        &["/nowhere/libonnxruntime.so", "onnxruntime-library"],
    );
    let text = folder.file("libonnxruntime.so");
    std::fs::write(&text, "not a library").unwrap();
    assert_refused(
        ELEMENT,
        &format!(
            "method=model model={} onnxruntime-library={}",
            model.display(),
            text.display()
        ),
        gst::LibraryError::Init,
        &[text.to_str().unwrap(), "ELF"],
    );
    assert_refused(
        ELEMENT,
        "method=model model=/nowhere/rhythm.onnx",
        gst::ResourceError::NotFound,
        &["/nowhere/rhythm.onnx"],
    );
    // This binary lies where no model does.
    assert_refused(
        ELEMENT,
        "method=model",
        gst::ResourceError::NotFound,
        &["rhythm.onnx", "property model", "share/gst-dance/models"],
    );
    // Who names a file or a provider has asked, too.
    for properties in [
        "model=/nowhere/rhythm.onnx",
        "onnxruntime-library=/nowhere/libonnxruntime.so",
        "execution-provider=cuda",
    ] {
        assert!(
            refusal(ELEMENT, properties).matches(gst::ResourceError::NotFound),
            "{properties}"
        );
    }
    assert_refused(
        ELEMENT,
        &format!("{} execution-provider=gpu", through(&model)),
        gst::ResourceError::Settings,
        &["gpu", "tensorrt, cuda and cpu"],
    );
}

#[test]
fn a_file_that_is_no_such_model_is_refused() {
    let folder = Dir::new();
    let about = |change: fn(&mut About)| {
        let mut rise = Rise::default();
        change(&mut rise.about);
        rise
    };
    let narrow = Rise {
        bands: 40,
        ..Rise::default()
    };
    for (rise, parts) in [
        (
            about(|about| about.task = "optical-flow".into()),
            ["optical-flow", "rhythm"],
        ),
        (
            about(|about| about.frame_rate = Some(50.0)),
            ["frame rate is 50", "100"],
        ),
        (
            about(|about| about.frame_rate = None),
            ["frame rate is nothing", "100"],
        ),
        (
            about(|about| {
                about.parameters.insert("features".into(), "mel-2".into());
            }),
            ["\"mel-2\"", FEATURES],
        ),
        (
            about(|about| {
                about.parameters.insert("delay".into(), 0.5.into());
            }),
            ["`delay` is 0.5", "0.02"],
        ),
        (
            about(|about| {
                about.parameters.remove("delay");
            }),
            ["delay", "rhythm"],
        ),
        (
            about(|about| about.labels.swap(0, 1)),
            ["beat, onset, downbeat", "onset, beat, downbeat"],
        ),
        (
            narrow,
            [
                "features float32[batch, time, 40]",
                "features float32[batch, time, 80]",
            ],
        ),
    ] {
        // Read from the card's file before READY, and from the model itself before PAUSED.
        for write in [Rise::write, Rise::write_with_card] {
            let model = write(&rise, &folder);
            let file = model.to_str().unwrap();
            let parts = [file, parts[0], parts[1]];
            assert_refused(
                ELEMENT,
                &through(&model),
                gst::ResourceError::Settings,
                &parts,
            );
        }
    }
    std::fs::remove_file(folder.file("rhythm.toml")).unwrap();

    let whole = Rise::default().bytes();
    for bytes in [&b""[..], b"not a model", &whole[..whole.len() / 2]] {
        let model = write(&folder, bytes);
        let size = bytes.len().to_string();
        assert_refused(
            ELEMENT,
            &through(&model),
            gst::ResourceError::Settings,
            &[model.to_str().unwrap(), &size],
        );
    }
    let bare = onnx::record(&Rise::default(), Weights::Seeded(1)).unwrap();
    let model = write(&folder, &onnx::encode(&bare.graph, &Default::default()));
    assert_refused(
        ELEMENT,
        &through(&model),
        gst::ResourceError::Settings,
        &[model.to_str().unwrap(), "metadata", "features"],
    );
    let model = Rise::default().write_with_card(&folder);
    write(
        &folder,
        &Rise {
            gain: 2.5,
            ..Rise::default()
        }
        .bytes(),
    );
    assert_refused(
        ELEMENT,
        &through(&model),
        gst::ResourceError::Settings,
        &["SHA-256"],
    );
}

#[test]
fn a_provider_that_is_not_there_is_an_error_or_a_warning_as_the_user_wants() {
    let folder = Dir::new();
    let model = Rise::default().write(&folder);
    // No machine has so many, whatever the library can do.
    let wanted = format!(
        "{} execution-provider=cuda,cpu device=4000",
        through(&model)
    );
    assert_refused(
        ELEMENT,
        &wanted,
        gst::ResourceError::NotFound,
        &["cuda", "allow-fallback"],
    );

    let run = Run::new(&format!("{wanted} allow-fallback=true"));
    assert_eq!(active(&run.element()), ("model".into(), Some("cpu".into())));
    let (mut warned, mut progress) = (false, Vec::new());
    while let Some(message) = run.bus.pop() {
        match message.view() {
            gst::MessageView::Warning(warning) => {
                let text = warning.error().to_string();
                assert!(
                    text.contains("cuda") && text.contains("runs on cpu"),
                    "{text}"
                );
                warned = true;
            }
            gst::MessageView::Progress(step) => progress.push(step.get().0),
            _ => (),
        }
    }
    assert!(warned);
    assert_eq!(progress.first(), Some(&gst::ProgressType::Start));
    assert_eq!(progress.last(), Some(&gst::ProgressType::Complete));
}

#[test]
fn after_a_refusal_a_better_setting_works() {
    init();
    let folder = Dir::new();
    let model = write(&folder, b"not a model");
    let element = gst::parse::launch(&format!("onsetdetect {}", through(&model))).unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Playing).is_err());
    assert!(error(&bus).matches(gst::ResourceError::Settings));
    // In READY, without going back to NULL; then by a file that was repaired; then by a property.
    Rise::default().write(&folder);
    element.set_state(gst::State::Playing).unwrap();
    assert_eq!(active(&element).0, "model");
    element.set_state(gst::State::Ready).unwrap();
    element.set_property("model", "/nowhere/rhythm.onnx");
    assert!(element.set_state(gst::State::Playing).is_err());
    assert!(error(&bus).matches(gst::ResourceError::NotFound));
    element.set_property("model", model.to_str().unwrap());
    element.set_state(gst::State::Playing).unwrap();
    assert_eq!(active(&element), ("model".into(), Some("cpu".into())));
    element.set_state(gst::State::Ready).unwrap();
    element.set_property_from_str("method", "mudar");
    element.set_state(gst::State::Playing).unwrap();
    assert_eq!(active(&element), ("mudar".into(), None));
    element.set_state(gst::State::Null).unwrap();
    assert_eq!(active(&element), ("auto".into(), None));
    bus.set_flushing(true);
}

#[test]
fn a_model_that_fails_on_the_way_is_an_error_after_the_media_up_to_there() {
    let folder = Dir::new();
    let fragile = Rise {
        limit: 0.3,
        ..Rise::default()
    };
    let model = fragile.write(&folder);
    let info = mono_f32(44_100);
    let samples = clicks(44_100, 3.0, &INSTANTS);
    for mode in ["low-latency", "aligned"] {
        let mut run = Run::new(&format!("{} mode={mode}", through(&model))).caps(&info);
        let mut pushed = 0;
        let failed = buffers(&info, &samples, 441, 0).find_map(|buffer| {
            pushed += 1;
            run.harness.push(buffer).err()
        });
        assert_eq!(failed, Some(gst::FlowError::Error), "{mode}");
        assert!(
            (50..80).contains(&pushed),
            "{mode}: {pushed} buffers up to the first stroke"
        );
        let (error, fatal) = run.complaint().unwrap();
        assert!(fatal && error.matches(gst::LibraryError::Failed), "{error}");
        assert!(error.message().contains("not a number"), "{error}");
        if mode == "low-latency" {
            let came = std::iter::from_fn(|| run.harness.try_pull()).count();
            assert_eq!(came, pushed, "all that went in came out");
        }
    }
}

#[test]
fn two_elements_share_one_session() {
    // The count is of the log of ONNX Runtime, which also shows that it comes through.
    if is_child() {
        let folder = Dir::new();
        let model = Rise::default().write(&folder);
        let first = Run::new(&through(&model));
        let second = Run::new(&through(&model));
        assert_eq!(active(&first.element()), active(&second.element()));
        return;
    }
    let output = run_alone(
        "model::two_elements_share_one_session",
        "",
        &[("GST_DEBUG", "onnxruntime:4"), ("GST_DEBUG_NO_COLOR", "1")],
    );
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert_eq!(
        log.matches("Session successfully initialized").count(),
        1,
        "{log}"
    );
}

/// Whether a library is found where nobody names one.
fn the_system_has_one() -> bool {
    let search = Search {
        system: true,
        ..Search::default()
    };
    search.find().is_ok()
}

/// Detects a little without a wish, and returns what with, and the warning there was.
fn detect_without_a_wish(folder_has_strokes_at: &[f64]) -> (String, Option<String>) {
    let info = mono_f32(44_100);
    let samples = clicks(44_100, 3.0, folder_has_strokes_at);
    let mut run = Run::new("emit=onset").caps(&info);
    run.push(buffers(&info, &samples, 441, 0));
    run.eos();
    assert_eq!(run.out.len(), 300);
    let method = active(&run.element()).0;
    let mut marks = Vec::new();
    let mut warning = None;
    while let Some(message) = run.bus.pop() {
        match message.view() {
            gst::MessageView::Warning(text) => warning = Some(text.error().to_string()),
            gst::MessageView::Error(err) => panic!("{}", err.error()),
            gst::MessageView::Element(_) => {
                let s = message.structure().unwrap();
                marks.push(Mark::from_structure(s).unwrap());
            }
            _ => (),
        }
    }
    assert_onsets(&marks, folder_has_strokes_at, 0.03);
    (method, warning)
}

/// Runs the test of that name in a process with this environment; returns its log.
fn alone(name: &str, environment: &[(&str, &str)]) -> String {
    let mut all = vec![
        ("GST_DEBUG", "onsetdetect:4,onnxruntime:4"),
        ("GST_DEBUG_NO_COLOR", "1"),
    ];
    all.extend(environment);
    let output = run_alone(&format!("model::{name}"), "", &all);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    log
}

#[test]
fn without_a_wish_the_model_is_taken_where_it_is_found() {
    if is_child() {
        assert_eq!(detect_without_a_wish(&INSTANTS), ("model".into(), None));
        return;
    }
    let folder = Dir::new();
    let model = Rise::default().write_with_card(&folder);
    let log = alone(
        "without_a_wish_the_model_is_taken_where_it_is_found",
        &[
            ("ORT_DYLIB_PATH", library().to_str().unwrap()),
            (
                "GST_DANCE_MODEL_PATH",
                &format!("/nowhere:{}", model.parent().unwrap().display()),
            ),
        ],
    );
    assert!(
        log.contains(&format!("running {} on cpu", model.display())),
        "{log}"
    );
}

#[test]
fn without_a_wish_and_a_model_there_is_superflux() {
    if is_child() {
        assert_eq!(detect_without_a_wish(&INSTANTS), ("superflux".into(), None));
        assert!(Runtime::current().is_none(), "nobody needs ONNX Runtime");
        return;
    }
    let log = alone(
        "without_a_wish_and_a_model_there_is_superflux",
        &[("GST_DANCE_MODEL_PATH", "/nowhere")],
    );
    let logged = log
        .lines()
        .filter(|line| line.contains("detecting by superflux"));
    let logged: Vec<_> = logged.collect();
    assert_eq!(logged.len(), 1, "{log}");
    assert!(
        logged[0].contains("INFO") && logged[0].contains("/nowhere/rhythm.onnx"),
        "{log}"
    );
}

#[test]
fn without_a_wish_and_a_library_there_is_superflux() {
    if is_child() {
        let expected = if the_system_has_one() {
            "model"
        } else {
            "superflux"
        };
        assert_eq!(detect_without_a_wish(&INSTANTS), (expected.into(), None));
        return;
    }
    let folder = Dir::new();
    let model = Rise::default().write_with_card(&folder);
    let log = alone(
        "without_a_wish_and_a_library_there_is_superflux",
        &[
            ("ORT_DYLIB_PATH", ""),
            (
                "GST_DANCE_MODEL_PATH",
                model.parent().unwrap().to_str().unwrap(),
            ),
        ],
    );
    if !the_system_has_one() {
        assert_eq!(
            log.matches("detecting by superflux: no ONNX Runtime")
                .count(),
            1,
            "{log}"
        );
    }
}

#[test]
fn without_a_wish_a_model_that_is_broken_is_told_of() {
    if is_child() {
        let (method, warning) = detect_without_a_wish(&INSTANTS);
        assert_eq!(method, "superflux");
        let warning = warning.unwrap();
        assert!(
            warning.contains("not a sound ONNX model") && warning.contains("superflux"),
            "{warning}"
        );
        return;
    }
    let folder = Dir::new();
    let model = write(&folder, b"not a model");
    alone(
        "without_a_wish_a_model_that_is_broken_is_told_of",
        &[
            ("ORT_DYLIB_PATH", library().to_str().unwrap()),
            (
                "GST_DANCE_MODEL_PATH",
                model.parent().unwrap().to_str().unwrap(),
            ),
        ],
    );
}

#[test]
fn without_a_wish_a_model_that_fails_on_the_way_gives_place() {
    if is_child() {
        let info = mono_f32(44_100);
        // Loud enough for the model to fail at the second.
        let samples = clicks(44_100, 3.0, &INSTANTS);
        for mode in ["low-latency", "aligned", "offline"] {
            let mut run = Run::new(&format!("emit=onset mode={mode}")).caps(&info);
            assert_eq!(active(&run.element()).0, "model");
            run.push(buffers(&info, &samples, 441, 0));
            run.eos();
            assert_eq!(active(&run.element()), ("superflux".into(), None), "{mode}");
            assert_eq!(run.out.len(), 300, "{mode}: nothing is lost");
            let mut warnings = Vec::new();
            let mut marks = Vec::new();
            while let Some(message) = run.bus.pop() {
                match message.view() {
                    gst::MessageView::Warning(text) => warnings.push(text.error().to_string()),
                    gst::MessageView::Error(err) => panic!("{}", err.error()),
                    gst::MessageView::Element(_) => {
                        marks.push(Mark::from_structure(message.structure().unwrap()).unwrap())
                    }
                    _ => (),
                }
            }
            assert_eq!(warnings.len(), 1, "{mode}: {warnings:?}");
            assert!(warnings[0].contains("not a number"), "{mode}: {warnings:?}");
            // The first stroke went down with the model.
            let found = of_kind(&marks, Kind::Onset);
            let rest: Vec<f64> = found.into_iter().filter(|t| *t > 0.9).collect();
            assert_eq!(rest.len(), INSTANTS.len() - 1, "{mode}: {rest:?}");
            for (found, instant) in rest.iter().zip(&INSTANTS[1..]) {
                assert!(
                    (found - instant).abs() < 0.005,
                    "{mode}: {found} for {instant}"
                );
            }
        }
        return;
    }
    let folder = Dir::new();
    let fragile = Rise {
        limit: 0.3,
        ..Rise::default()
    };
    let model = fragile.write(&folder);
    alone(
        "without_a_wish_a_model_that_fails_on_the_way_gives_place",
        &[
            ("ORT_DYLIB_PATH", library().to_str().unwrap()),
            (
                "GST_DANCE_MODEL_PATH",
                model.parent().unwrap().to_str().unwrap(),
            ),
        ],
    );
}

#[test]
fn nothing_of_onnx_runtime_is_touched_before_it_is_needed() {
    if is_child() {
        let info = mono_f32(44_100);
        let element = gst::ElementFactory::make("onsetdetect");
        init();
        let element = element
            .property("model", "/nowhere/rhythm.onnx")
            .build()
            .unwrap();
        assert!(Runtime::current().is_none());
        drop(element);
        let mut run = Run::new("method=superflux").caps(&info);
        run.push(buffers(&info, &clicks(44_100, 1.0, &[0.5]), 441, 0));
        assert!(Runtime::current().is_none());
        return;
    }
    alone(
        "nothing_of_onnx_runtime_is_touched_before_it_is_needed",
        &[("ORT_DYLIB_PATH", library().to_str().unwrap())],
    );
}

#[test]
fn starts_stops_and_flushes_do_no_harm() {
    init();
    let folder = Dir::new();
    let model = Rise::default().write(&folder);
    let pipeline = gst::parse::launch(&format!(
        "audiotestsrc wave=ticks tick-interval=200000000 samplesperbuffer=441 \
         ! onsetdetect mode=aligned {} ! fakesink",
        through(&model)
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    for n in 0..20 {
        pipeline.set_state(gst::State::Playing).unwrap();
        for seek in 0..n {
            let start = gst::ClockTime::from_mseconds(seek * 37);
            // Refused while the pipeline has not started.
            let _ = pipeline.seek_simple(gst::SeekFlags::FLUSH, start);
        }
        // Whether or not it has come to playing.
        let state = [gst::State::Ready, gst::State::Null][n as usize % 2];
        pipeline.set_state(state).unwrap();
    }
    let bus = pipeline.bus().unwrap();
    let error = bus.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Warning]);
    assert!(error.is_none(), "{error:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn it_leaks_nothing_with_a_model() {
    super::common::assert_no_leaks("model::it_leaks_nothing_with_a_model", || {
        let folder = Dir::new();
        let model = Rise::default().write(&folder);
        let info = mono_f32(44_100);
        for mode in ["low-latency", "aligned", "offline"] {
            let mut run = Run::new(&format!("{} mode={mode}", through(&model))).caps(&info);
            run.push(buffers(&info, &clicks(44_100, 3.0, &INSTANTS), 441, 0));
            run.eos();
        }
    });
}
