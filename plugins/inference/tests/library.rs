// SPDX-License-Identifier: MPL-2.0
//! Finding ONNX Runtime: in order, and with errors that say what was found, where, and what was
//! needed.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, as tests may"
)]

mod support;

use std::path::{Path, PathBuf};

use dance_inference::{Error, Fault, MINIMUM_VERSION, Runtime, Search};

fn named(path: impl Into<PathBuf>) -> Search {
    Search {
        property: Some(path.into()),
        ..Search::default()
    }
}

fn fault(path: impl Into<PathBuf>) -> Fault {
    match named(path).find().unwrap_err() {
        Error::LibraryUnusable { fault, .. } => fault,
        error => panic!("{error}"),
    }
}

/// A directory with `name` as a link to `target`, as a distribution would have it.
fn directory_with(name: &str, target: &Path) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(target, directory.path().join(name)).unwrap();
    directory
}

#[test]
fn no_library_at_all_is_told_with_every_place_searched() {
    let empty = tempfile::tempdir().unwrap();
    let search = Search {
        beside: Some(empty.path().to_owned()),
        ..Search::default()
    };
    let error = search.find().unwrap_err().to_string();
    for part in [
        "1.24.0 or newer",
        "onnxruntime-library",
        "ORT_DYLIB_PATH",
        empty.path().to_str().unwrap(),
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(matches!(
        Runtime::get(&Search::default()),
        Err(Error::LibraryNotFound { .. })
    ));
}

#[test]
fn a_search_of_the_system_ends_with_a_library_or_with_its_reason() {
    let search = Search {
        system: true,
        ..Search::default()
    };
    match search.find() {
        Ok(library) => assert!(library.version >= MINIMUM_VERSION && library.path.is_absolute()),
        Err(error) => assert!(error.to_string().contains("system"), "{error}"),
    }
}

#[test]
fn a_named_library_that_will_not_do_is_an_error_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("libonnxruntime.so");
    std::fs::write(&text, "not a library").unwrap();

    assert_eq!(fault("/nowhere/libonnxruntime.so"), Fault::Missing);
    assert_eq!(fault(directory.path()), Fault::Directory);
    assert_eq!(
        fault(&text),
        Fault::NotLoadable("it is not an ELF file".to_owned())
    );
    // A library of ONNX Runtime, but not the one.
    let wrong = support::library().with_file_name("libonnxruntime_providers_shared.so");
    assert_eq!(fault(&wrong), Fault::NotOnnxRuntime);

    let error = named(&text).find().unwrap_err().to_string();
    assert!(
        error.contains(text.to_str().unwrap())
            && error.contains("the property onnxruntime-library"),
        "{error}"
    );
    let by_environment = Search {
        environment: Some(text),
        beside: support::library().parent().map(Path::to_owned),
        ..Search::default()
    };
    let error = by_environment.find().unwrap_err().to_string();
    assert!(
        error.contains("the environment variable ORT_DYLIB_PATH"),
        "{error}"
    );
}

#[test]
fn a_library_that_was_cut_short_is_refused_before_it_kills_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("libonnxruntime.so");
    let whole = std::fs::read(support::library()).unwrap();
    for length in [
        4,
        51,
        63,
        64,
        100,
        4096,
        whole.len() / 2,
        whole.len() * 9 / 10,
    ] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(
            fault(&path),
            Fault::NotLoadable("the file was cut short".to_owned()),
            "{length} of {} bytes",
            whole.len()
        );
    }
}

#[test]
fn a_library_that_is_too_old_is_refused_with_both_versions_before_it_is_used() {
    let old = support::old_library();
    let error = Runtime::get(&named(&old)).unwrap_err().to_string();
    for part in [
        old.to_str().unwrap(),
        "ONNX Runtime 1.22.1, too old",
        "1.24.0 or newer is needed",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // And beside the plugin, where it was not named, it is passed over, and told of.
    let directory = directory_with("libonnxruntime.so.1.22.1", &old);
    let search = Search {
        beside: Some(directory.path().to_owned()),
        ..Search::default()
    };
    let error = search.find().unwrap_err().to_string();
    assert!(
        error.contains("libonnxruntime.so.1.22.1`: it is ONNX Runtime 1.22.1, too old"),
        "{error}"
    );
}

#[test]
fn the_order_is_property_environment_beside() {
    let good = std::fs::canonicalize(support::library()).unwrap();
    let bad = PathBuf::from("/nowhere/libonnxruntime.so");
    let beside = directory_with("libonnxruntime.so.1", &good);
    let search = |property: Option<&PathBuf>, environment: Option<&PathBuf>| Search {
        property: property.cloned(),
        environment: environment.cloned(),
        beside: Some(beside.path().to_owned()),
        system: false,
    };
    assert_eq!(search(None, None).find().unwrap().path, good);
    assert_eq!(search(None, Some(&good)).find().unwrap().path, good);
    assert!(search(None, Some(&bad)).find().is_err());
    assert_eq!(search(Some(&good), Some(&bad)).find().unwrap().path, good);
    assert!(search(Some(&bad), Some(&good)).find().is_err());
}

#[test]
fn an_old_library_beside_the_plugin_does_not_hide_a_new_one() {
    let directory = directory_with("libonnxruntime.so", &support::old_library());
    let new = support::library();
    std::os::unix::fs::symlink(&new, directory.path().join("libonnxruntime.so.1.99")).unwrap();
    let search = Search {
        beside: Some(directory.path().to_owned()),
        ..Search::default()
    };
    assert_eq!(
        search.find().unwrap().path,
        std::fs::canonicalize(new).unwrap()
    );
}
