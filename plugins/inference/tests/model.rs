// SPDX-License-Identifier: MPL-2.0
//! Models on the processor: loaded, checked, shared, run, carried from run to run; and every way
//! this can fail.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, as tests may"
)]

mod support;

use std::{path::Path, sync::Arc};

use dance_inference::{
    Error, ExecutionProvider, LogLevel, METADATA_KEY, Model, ModelFile, Progress, Runtime, Search,
    SessionConfig, set_log_level, set_log_sink,
};
use support::{Graph, port, runtime, write};

fn load(path: &Path) -> Result<Model, Error> {
    Model::load(&runtime(), path, "test", &SessionConfig::default())
}

fn message(result: Result<impl std::fmt::Debug, Error>) -> String {
    result.unwrap_err().to_string()
}

#[track_caller]
fn assert_parts(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn a_model_runs_and_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let path = Graph::scale(3.0).write_with_card(directory.path(), |_| ());
    let model = load(&path).unwrap();
    assert_eq!(model.active_execution_provider(), "cpu");
    assert_eq!(model.assignment().nodes(ExecutionProvider::Cpu), 1);
    assert_eq!(model.assignment().to_string(), "cpu: 1 node");
    assert!(model.fallbacks().is_empty());

    let mut stream = model.stream(&[("batch", 2)]).unwrap();
    let unread = message(stream.output::<f32>("y").map(|_| ()));
    assert_parts(&unread, &["`y` has no values"]);
    for offset in [0.0, 10.0] {
        let x: Vec<f32> = (0u8..8).map(|i| f32::from(i) + offset).collect();
        stream.set("x", &x).unwrap();
        stream.run().unwrap();
        let y = stream.output::<f32>("y").unwrap();
        assert_eq!(y.shape(), [2, 4]);
        assert_eq!(
            y.iter().copied().collect::<Vec<_>>(),
            x.iter().map(|x| 3.0 * x).collect::<Vec<_>>()
        );
    }
    // Another size on the same session.
    let mut one = model.stream(&[("batch", 1)]).unwrap();
    one.input::<f32>("x").unwrap().fill(2.0);
    one.run().unwrap();
    assert_eq!(
        one.output::<f32>("y").unwrap(),
        ndarray::arr2(&[[6.0_f32; 4]]).into_dyn()
    );
}

#[test]
fn state_is_carried_zeroed_by_reset_and_nobody_elses() {
    let directory = tempfile::tempdir().unwrap();
    let model = load(&Graph::accumulate().write(directory.path())).unwrap();
    let mut streams = [
        model.stream(&[("batch", 1)]).unwrap(),
        model.stream(&[("batch", 1)]).unwrap(),
    ];
    for step in 1..=5_u8 {
        for (factor, stream) in [1.0, 100.0].into_iter().zip(&mut streams) {
            stream.set("x", &[factor, 0.0, -factor]).unwrap();
            stream.run().unwrap();
            let sum = 2.0 * factor * f32::from(step);
            assert_eq!(
                stream.output::<f32>("y").unwrap().as_slice().unwrap(),
                [sum, 0.0, -sum],
                "step {step}"
            );
        }
    }
    let [first, second] = &mut streams;
    first.reset();
    assert!(first.output::<f32>("y").is_err());
    for (stream, expected) in [(first, 2.0), (second, 1200.0)] {
        stream.run().unwrap();
        assert_eq!(
            stream.output::<f32>("y").unwrap().as_slice().unwrap()[0],
            expected
        );
    }
}

#[test]
fn state_goes_from_one_stream_to_another() {
    let directory = tempfile::tempdir().unwrap();
    let model = load(&Graph::accumulate().write(directory.path())).unwrap();
    let sum = |stream: &mut dance_inference::Stream| {
        stream.set("x", &[1.0_f32, 2.0, 3.0]).unwrap();
        stream.run().unwrap();
        stream
            .output::<f32>("y")
            .unwrap()
            .as_slice()
            .unwrap()
            .to_vec()
    };
    let mut first = model.stream(&[("batch", 1)]).unwrap();
    let mut second = model.stream(&[("batch", 1)]).unwrap();
    // One run and three: the two read from different tensors of their pairs.
    assert_eq!(sum(&mut first), [2.0, 4.0, 6.0]);
    second.copy_state(&first).unwrap();
    assert_eq!(sum(&mut second), [4.0, 8.0, 12.0]);
    assert_eq!(sum(&mut second), [6.0, 12.0, 18.0]);
    first.copy_state(&second).unwrap();
    assert_eq!(sum(&mut first), [8.0, 16.0, 24.0]);

    let mut wider = model.stream(&[("batch", 2)]).unwrap();
    let error = message(wider.copy_state(&first));
    assert_parts(&error, &["state", "accumulate"]);
    let other = load(&Graph::root().write(directory.path())).unwrap();
    let error = message(other.stream(&[]).unwrap().copy_state(&first));
    assert_parts(&error, &["root", "accumulate"]);
}

#[test]
fn not_a_number_is_an_error_and_does_not_poison_the_state() {
    let directory = tempfile::tempdir().unwrap();
    let model = load(&Graph::root().write(directory.path())).unwrap();
    let mut stream = model.stream(&[]).unwrap();
    stream.set("x", &[4.0_f32, 9.0]).unwrap();
    stream.run().unwrap();
    stream.set("x", &[4.0_f32, -1.0]).unwrap();
    match stream.run().unwrap_err() {
        Error::NotANumber { output, index } => assert_eq!((output.as_str(), index), ("y", 1)),
        error => panic!("{error}"),
    }
    assert!(
        stream.output::<f32>("y").is_err(),
        "nothing to read from a run that failed"
    );
    stream.set("x", &[1.0_f32, 1.0]).unwrap();
    stream.run().unwrap();
    assert_eq!(
        stream.output::<f32>("y").unwrap().as_slice().unwrap(),
        [1.0, 1.0]
    );
}

#[test]
fn an_output_whose_shape_only_the_run_tells_is_read_like_any_other() {
    // y = the indices of the elements of x that are not zero, as floats: [1, count].
    let mut graph = Graph::scale(1.0);
    graph.nodes = vec![
        ("NonZero", vec!["x"], vec!["indices"]),
        ("Mul", vec!["x", "factor"], vec!["scaled"]),
        ("CastLike", vec!["indices", "scaled"], vec!["y"]),
    ];
    graph.card.inputs = vec![port("x", &["4"])];
    graph.card.outputs = vec![port("y", &["1", "count"])];
    let directory = tempfile::tempdir().unwrap();
    let model = load(&graph.write(directory.path())).unwrap();
    let mut stream = model.stream(&[]).unwrap();
    for (x, expected) in [
        ([0.0_f32, 1.0, 0.0, 1.0], vec![1.0_f32, 3.0]),
        ([1.0, 1.0, 1.0, 0.0], vec![0.0, 1.0, 2.0]),
        ([0.0; 4], vec![]),
    ] {
        stream.set("x", &x).unwrap();
        stream.run().unwrap();
        assert_eq!(
            stream
                .output::<f32>("y")
                .unwrap()
                .iter()
                .copied()
                .collect::<Vec<_>>(),
            expected
        );
    }
}

#[test]
fn wrong_tensors_and_sizes_are_refused_with_what_was_needed() {
    let directory = tempfile::tempdir().unwrap();
    let model = load(&Graph::accumulate().write(directory.path())).unwrap();
    for (sizes, parts) in [
        (&[][..], &["`batch` is given no size"][..]),
        (&[("batch", 0)], &["`batch` is given the size 0"]),
        (
            &[("batch", 1), ("time", 3)],
            &["no input has an axis `time`", "are: batch"],
        ),
        (&[("batch", 1), ("batch", 2)], &["two sizes"]),
        (
            &[("batch", usize::MAX / 2)],
            &["larger than the memory of any machine"],
        ),
    ] {
        assert_parts(&message(model.stream(sizes)), parts);
    }
    let mut stream = model.stream(&[("batch", 1)]).unwrap();
    assert_parts(
        &message(stream.set("x", &[0.0_f32; 5])),
        &["`x` takes 3 values, as [1, 3]; 5 were given"],
    );
    assert_parts(
        &message(stream.set("x", &[0_i64; 3])),
        &["`x` has elements of type float32, not int64"],
    );
    assert_parts(
        &message(stream.set("z", &[0.0_f32; 3])),
        &["no input `z`; it has: x"],
    );
    assert_parts(&message(stream.set("s", &[0.0_f32; 3])), &["`s` is state"]);
    stream.run().unwrap();
    assert_parts(
        &message(stream.output::<f32>("s_next").map(|_| ())),
        &["`s_next` is state"],
    );
    assert_parts(
        &message(stream.output::<i64>("y").map(|_| ())),
        &["float32, not int64"],
    );
}

#[test]
fn corrupt_and_truncated_models_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let sound = Graph::dense(16, 3).to_onnx();
    let mut corrupt = sound.clone();
    corrupt[2..200].fill(0xff);
    for (name, bytes) in [
        ("text", b"this is no model".as_slice()),
        ("half", &sound[..sound.len() / 2]),
        ("one", &sound[..1]),
        ("corrupt", &corrupt),
    ] {
        let path = write(directory.path(), name, bytes);
        let error = load(&path).unwrap_err();
        assert!(matches!(error, Error::BadModel { .. }), "{name}: {error}");
        let size = format!("({} bytes) is not a sound ONNX model", bytes.len());
        assert_parts(&error.to_string(), &[path.to_str().unwrap(), &size]);
    }
    assert_parts(
        &message(load(&write(directory.path(), "empty", b""))),
        &["it is empty"],
    );
    assert_parts(
        &message(load(Path::new("/nowhere/a.onnx"))),
        &["cannot read `/nowhere/a.onnx`"],
    );
    assert_parts(
        &message(load(directory.path())),
        &["it is not a regular file"],
    );
    assert_parts(
        &message(load(Path::new("/dev/zero"))),
        &["it is not a regular file"],
    );
    // What follows a failure is not harmed by it.
    load(&write(directory.path(), "sound", &sound)).unwrap();
}

#[test]
fn every_truncation_of_a_model_is_an_error_or_a_checked_model() {
    let directory = tempfile::tempdir().unwrap();
    let sound = Graph::accumulate().to_onnx();
    for length in (1..sound.len()).step_by(7) {
        let path = write(directory.path(), "cut", &sound[..length]);
        load(&path).expect_err(&format!("{length} of {} bytes", sound.len()));
    }
}

#[test]
fn a_strangers_sound_model_is_told_from_a_broken_one() {
    let directory = tempfile::tempdir().unwrap();
    let graph = Graph::scale(1.0);
    let path = write(
        directory.path(),
        "stranger",
        &graph.to_onnx_with(&[("author", "somebody")]),
    );
    let error = load(&path).unwrap_err();
    assert!(matches!(error, Error::NoCard { .. }));
    assert_parts(
        &error.to_string(),
        &[
            "is a sound ONNX model, but not one made for this element",
            "`test`",
            "x float32[batch, 4]",
            "y float32[batch, 4]",
        ],
    );

    let mut other = Graph::scale(1.0);
    other.card.task = "optical-flow".to_owned();
    for path in [
        write(directory.path(), "other", &other.to_onnx()),
        other.write_with_card(directory.path(), |_| ()),
    ] {
        assert_parts(
            &message(load(&path)),
            &["is a model for `optical-flow`; a model for `test` is needed"],
        );
    }
    let unreadable = write(
        directory.path(),
        "garbled",
        &graph.to_onnx_with(&[(METADATA_KEY, "not = [toml")]),
    );
    assert!(matches!(load(&unreadable), Err(Error::BadCard { .. })));
}

#[test]
fn a_card_that_does_not_fit_its_graph_is_refused_with_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let graph = Graph::scale(1.0);
    let with_card = |name: &str, change: &dyn Fn(&mut dance_inference::Card)| {
        let mut card = graph.card.run_time();
        change(&mut card);
        let metadata = card.to_toml().unwrap();
        write(
            directory.path(),
            name,
            &graph.to_onnx_with(&[(METADATA_KEY, &metadata)]),
        )
    };
    for (name, change, parts) in [
        (
            "shape",
            &(|card: &mut dance_inference::Card| card.inputs = vec![port("x", &["batch", "5"])])
                as &dyn Fn(&mut dance_inference::Card),
            &["the input `x float32[batch, 5]` of the card is `x float32[batch, 4]` in the graph"]
                [..],
        ),
        (
            "rank",
            &|card| card.inputs = vec![port("x", &["4"])],
            &["x float32[4]", "x float32[batch, 4]"],
        ),
        (
            "symbol",
            &|card| card.inputs = vec![port("x", &["time", "4"])],
            &["x float32[time, 4]"],
        ),
        (
            "name",
            &|card| card.outputs = vec![port("z", &["batch", "4"])],
            &["the output `z", "`y float32[batch, 4]`"],
        ),
        (
            "type",
            &|card| card.inputs[0].element = "int64".to_owned(),
            &["x int64[batch, 4]"],
        ),
        (
            "more",
            &|card| card.outputs.push(port("z", &["1"])),
            &["the card has 2 outputs, the graph 1: y float32"],
        ),
    ] {
        let error = load(&with_card(name, change)).unwrap_err();
        assert!(matches!(error, Error::CardMismatch { .. }), "{error}");
        assert_parts(&error.to_string(), parts);
    }
}

#[test]
fn the_cards_file_is_checked_against_the_model() {
    let directory = tempfile::tempdir().unwrap();
    let graph = Graph::scale(1.0);
    let path = graph.write_with_card(directory.path(), |card| {
        card.sha256 = Some("12ab".to_owned())
    });
    assert_parts(
        &message(load(&path)),
        &[
            "is not the model its card was written for",
            "12ab",
            "scale.toml",
        ],
    );
    let path = graph.write_with_card(directory.path(), |card| card.sha256 = None);
    assert_parts(&message(load(&path)), &["has no `sha256`"]);
    let path = graph.write_with_card(directory.path(), |card| card.frame_rate = Some(50.0));
    assert_parts(
        &message(load(&path)),
        &["`frame_rate` is 50.0 in the card's file, and nothing in the model's"],
    );
    std::fs::write(path.with_extension("toml"), "name = ").unwrap();
    assert_parts(&message(load(&path)), &["scale.toml", "line 1"]);
    std::fs::write(path.with_extension("toml"), [0xff, 0xfe]).unwrap();
    assert_parts(&message(load(&path)), &["not UTF-8"]);
    std::fs::remove_file(path.with_extension("toml")).unwrap();
    assert_eq!(load(&path).unwrap().card().name, "scale");

    let path = graph.write_with_card(directory.path(), |card| {
        card.licence = Some("MPL-2.0".to_owned())
    });
    let file = ModelFile::open(&path, "test").unwrap();
    assert_eq!(file.card().unwrap().licence.as_deref(), Some("MPL-2.0"));
    assert_eq!(file.sha256().len(), 64);
}

#[test]
fn a_provider_that_is_not_there_is_an_error_or_is_told_of() {
    // The builds for the processor alone do not have it; those with CUDA, where it is not
    // installed, cannot load it. (On a machine with a GPU and all its libraries this test has
    // nothing to find missing, and fails.)
    let gpu_build = runtime()
        .path()
        .with_file_name("libonnxruntime_providers_cuda.so")
        .exists();
    let why = if gpu_build {
        "cannot open shared object file"
    } else {
        "was built without it"
    };
    let directory = tempfile::tempdir().unwrap();
    let path = Graph::scale(1.0).write(directory.path());
    for (list, first) in [
        ("cuda", ExecutionProvider::Cuda),
        ("cuda,cpu", ExecutionProvider::Cuda),
        ("tensorrt,cuda,cpu", ExecutionProvider::TensorRt),
    ] {
        let config = SessionConfig {
            providers: list.parse().unwrap(),
            ..SessionConfig::default()
        };
        match Model::load(&runtime(), &path, "test", &config).unwrap_err() {
            Error::ProviderUnavailable { provider, reason } => {
                assert_eq!(provider, first);
                let place = runtime().path().parent().unwrap().to_owned();
                assert_parts(&reason, &[why, place.to_str().unwrap()]);
            }
            error => panic!("{error}"),
        }
        let config = SessionConfig {
            allow_fallback: true,
            ..config
        };
        let model = Model::load(&runtime(), &path, "test", &config).unwrap();
        assert_eq!(model.active_execution_provider(), "cpu");
        let fallen: Vec<_> = model
            .fallbacks()
            .iter()
            .map(|fallback| fallback.provider)
            .collect();
        let named: Vec<_> = config
            .providers
            .iter()
            .filter(|&p| p != ExecutionProvider::Cpu)
            .collect();
        assert_eq!(fallen, named);
        model.stream(&[("batch", 1)]).unwrap().run().unwrap();
    }
}

#[test]
fn a_broken_model_is_not_blamed_on_the_provider() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "broken", b"no model");
    let config = SessionConfig {
        providers: "cuda,cpu".parse().unwrap(),
        allow_fallback: true,
        ..SessionConfig::default()
    };
    assert!(matches!(
        Model::load(&runtime(), &path, "test", &config),
        Err(Error::BadModel { .. })
    ));
}

#[test]
fn users_of_one_model_and_configuration_share_a_session() {
    let directory = tempfile::tempdir().unwrap();
    let path = Graph::scale(7.0).write(directory.path());
    let copy = write(directory.path(), "copy", &std::fs::read(&path).unwrap());
    let models: Vec<Model> = std::thread::scope(|scope| {
        let loads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| load(&path).unwrap()))
            .collect();
        loads.into_iter().map(|load| load.join().unwrap()).collect()
    });
    assert!(
        models
            .iter()
            .all(|model| model.shares_session_with(&models[0]))
    );
    assert!(
        load(&copy).unwrap().shares_session_with(&models[0]),
        "the hash counts, not the path"
    );
    let two_threads = SessionConfig {
        intra_threads: 2,
        ..SessionConfig::default()
    };
    let other = Model::load(&runtime(), &path, "test", &two_threads).unwrap();
    assert!(!other.shares_session_with(&models[0]));

    // All at once, each with inputs of its own.
    std::thread::scope(|scope| {
        for (index, model) in models.iter().enumerate() {
            scope.spawn(move || {
                let mut stream = model.stream(&[("batch", 1)]).unwrap();
                for step in 0..200_u16 {
                    let x = f32::from(step) + 1000.0 * index as f32;
                    stream.set("x", &[x; 4]).unwrap();
                    stream.run().unwrap();
                    assert!(
                        stream
                            .output::<f32>("y")
                            .unwrap()
                            .iter()
                            .all(|&y| y == 7.0 * x)
                    );
                }
            });
        }
    });
}

#[test]
fn warming_up_reports_its_steps_and_leaves_no_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = Graph::accumulate().write(directory.path());
    let mut steps = Vec::new();
    let file = ModelFile::open(&path, "test").unwrap();
    let model = file
        .load(&runtime(), &SessionConfig::default(), &mut |step| {
            steps.push(step)
        })
        .unwrap();
    model
        .warm_up(&[("batch", 1)], 2, &mut |step| steps.push(step))
        .unwrap();
    let providers = SessionConfig::default().providers;
    assert_eq!(
        steps,
        [
            Progress::Building { providers },
            Progress::WarmingUp { run: 0, runs: 2 },
            Progress::WarmingUp { run: 1, runs: 2 },
            Progress::Ready
        ]
    );
}

#[test]
fn a_process_keeps_its_first_library() {
    let runtime = runtime();
    let named = |path: &Path| Search {
        property: Some(path.to_owned()),
        ..Search::default()
    };
    assert!(Arc::ptr_eq(
        &runtime,
        &Runtime::get(&named(&support::library())).unwrap()
    ));
    assert!(
        Arc::ptr_eq(&runtime, &Runtime::get(&Search::default()).unwrap()),
        "nothing was named"
    );

    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("libonnxruntime.so");
    std::fs::copy(support::library(), &copy).unwrap();
    let error = message(Runtime::get(&named(&copy)));
    assert_parts(
        &error,
        &[
            copy.to_str().unwrap(),
            runtime.path().to_str().unwrap(),
            "a process can have only one",
        ],
    );
    let error = message(Runtime::get(&named(Path::new("/nowhere.so"))));
    assert_parts(&error, &["there is no such file"]);
}

#[test]
fn the_log_goes_to_the_sink_from_the_level_on() {
    use std::sync::{Mutex, mpsc};
    let (sender, records) = mpsc::channel();
    let sender = Mutex::new(sender);
    set_log_sink(Some(Arc::new(move |record| {
        let _ = sender.lock().unwrap().send((
            record.level,
            record.category.to_owned(),
            record.message.to_owned(),
        ));
    })));
    runtime();
    set_log_level(LogLevel::Info);
    let directory = tempfile::tempdir().unwrap();
    load(&Graph::scale(11.0).write(directory.path())).unwrap();
    set_log_level(LogLevel::Warning);
    set_log_sink(None);
    let records: Vec<_> = records.try_iter().collect();
    assert!(
        !records.is_empty(),
        "making a session is worth a word at this level"
    );
    assert!(
        records
            .iter()
            .all(|(level, category, _)| *level >= LogLevel::Info && !category.is_empty()),
        "{records:?}"
    );
}
