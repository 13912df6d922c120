// SPDX-License-Identifier: MPL-2.0
//! The task's stages, sources, loss and figures.

use super::*;
use crate::config;

const CONFIG: &str = "out = 'x'
    [training]
    [[task.stages]]
    until = 10
    size = [32, 64]
    batch = 3
    [[task.stages]]
    size = [64, 64]
    batch = 2
    exponent = 0.5
    [task]
    textures = 8
    [task.network]
    name = 'small'
    width = 64
    height = 48
    encoder = [[4], [8], [8]]
    finest = 2
    reach = 2
    [task.network.decoder]
    channels = [8]
    shared = { keys = 4, features = 5 }";

fn task(text: &str) -> Result<FlowTask> {
    FlowTask::new(config::parse::<Settings>(text)?.task, 1)
}

#[test]
fn stages_follow_each_other() {
    let task = task(CONFIG).unwrap();
    let shape = |index| {
        task.batch(Split::Training, index).unwrap()["frames"]
            .shape()
            .to_vec()
    };
    assert_eq!(shape(0), [3, 2, 3, 64, 32]);
    assert_eq!(shape(9), [3, 2, 3, 64, 32]);
    assert_eq!(shape(10), [2, 2, 3, 64, 64]);
    let held_out = task.batch(Split::Validation, 10).unwrap();
    assert_eq!(held_out["frames"].shape(), [HELD_OUT_BATCH, 2, 3, 48, 64]);
    assert_eq!(held_out["exponent"].float32().unwrap().sum(), 1.0);
    let frames = held_out["frames"].float32().unwrap();
    assert!(frames.iter().all(|x| (0.0..=1.0).contains(x)));
}

#[test]
fn senseless_settings_are_refused() {
    for (from, to, word) in [
        ("batch = 3", "batch = 0", "batch"),
        ("[32, 64]", "[36, 64]", "multiple"),
        ("exponent = 0.5", "exponent = 0.0", "exponent"),
        ("textures = 8", "limbs = -1.0", "limbs"),
        (
            "textures = 8",
            "folders = [{ path = '/no/such', share = 0.5 }]",
            "/no/such",
        ),
        (
            "textures = 8",
            "folders = [{ path = '/no/such', share = 1.5 }]",
            "shares",
        ),
        ("textures = 8", "photos = ['/no/such']", "/no/such"),
    ] {
        assert!(CONFIG.contains(from));
        let error = format!("{:#}", task(&CONFIG.replace(from, to)).err().unwrap());
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn figures_are_right_for_still_and_for_true_flow() {
    let task = task(CONFIG).unwrap();
    let batch = task.batch(Split::Test, 0).unwrap();
    let truth = batch["truth"].float32().unwrap().clone();
    let get = |flow: ArrayD<f32>| {
        task.figures(&batch, &BTreeMap::from([("flow".to_owned(), flow)]))
            .unwrap()
    };
    let right = get(truth.clone());
    assert!(
        right["EPE"] < 1e-6 && right["EPE of zero flow"] > 0.5,
        "{right:?}"
    );
    let still = get(ArrayD::zeros(truth.raw_dim()));
    assert_eq!(still["EPE"], still["EPE of zero flow"]);
    assert!(still["EPE under 1 px"] < 1.0 && still["EPE over 10 px"] > 10.0);
}

#[test]
fn folders_are_mixed_in_by_their_shares() {
    let dir = tempfile::tempdir().unwrap();
    let pair = task(CONFIG)
        .unwrap()
        .procedural()
        .clean(Split::Training, 0, [80, 80]);
    pair.first.save(&dir.path().join("a_img1.png")).unwrap();
    pair.second.save(&dir.path().join("a_img2.png")).unwrap();
    pair.flow.save(&dir.path().join("a_flow.flo")).unwrap();
    let folders = format!(
        "textures = 8\nfolders = [{{ path = '{}', share = 0.3 }}]",
        dir.path().display()
    );
    let mixed = task(&CONFIG.replace("textures = 8", &folders)).unwrap();
    let from_folder = (0..400).filter(|&n| mixed.source(n).about().contains("1 pairs of"));
    let share = from_folder.count() as f64 / 400.0;
    assert!((0.2..0.4).contains(&share), "{share}");
    assert!(
        mixed.data().contains("0.3 of them 1 pairs of"),
        "{}",
        mixed.data()
    );
    for n in 0..6 {
        mixed.batch(Split::Training, n).unwrap();
    }
}

#[test]
fn both_configurations_make_tasks() {
    for text in [
        include_str!("../../config/flow-light.toml"),
        include_str!("../../config/flow-pwc.toml"),
    ] {
        task(text).unwrap();
    }
}

#[cfg(feature = "libtorch")]
#[test]
fn the_loss_reaches_every_weight_and_falls() {
    use crate::torch::Torch;
    use dance_networks::weights::Weights;
    let task = task(CONFIG).unwrap();
    let torch = Torch::new(
        tch::Device::Cpu,
        crate::config::Precision::Float32,
        Weights::Seeded(1),
    );
    let batch = task.batch(Split::Training, 11).unwrap();
    let mut losses = Vec::new();
    for _ in 0..20 {
        let tensors = batch
            .iter()
            .map(|(name, array)| Ok((name.clone(), torch.tensor(array)?)))
            .collect::<Result<BTreeMap<_, _>>>()
            .unwrap();
        let loss = task
            .loss(&Scope::root(&torch), &Tensors::new(tensors))
            .unwrap();
        loss.backward();
        losses.push(loss.double_value(&[]));
        tch::no_grad(|| {
            for (path, mut weight) in torch.weights() {
                let gradient = weight.grad();
                assert!(
                    gradient.defined() && gradient.abs().max().double_value(&[]) > 0.0,
                    "{path}"
                );
                let step = gradient.sign() * -2e-3;
                let _ = weight.g_add_(&step);
                weight.zero_grad();
            }
        });
    }
    assert!(losses[19] < 0.97 * losses[0], "{losses:?}");
}

#[cfg(feature = "libtorch")]
#[test]
fn limbs_count_as_much_more_as_is_asked_for() {
    use crate::torch::Torch;
    use dance_networks::network::Array;
    use dance_networks::weights::Weights;
    let torch = Torch::new(
        tch::Device::Cpu,
        crate::config::Precision::Float32,
        Weights::Seeded(1),
    );
    let task =
        |limbs: f32| task(&CONFIG.replace("textures = 8", &format!("limbs = {limbs:?}"))).unwrap();
    let batch = task(0.0).batch(Split::Training, 11).unwrap();
    let shape = [2, 64, 64];
    // The left quarter moves far, where an untrained network finds next to nothing.
    let left = Array3::from_shape_fn(shape, |(_, _, x)| f32::from(x < 16));
    let truth = Array4::from_shape_fn([2, 2, 64, 64], |(_, axis, _, x)| {
        if axis == 0 && x < 16 { 100.0 } else { 0.0 }
    });
    let loss = |limbs: f32, mask: Array3<f32>| {
        let mut batch = batch.clone();
        batch.insert("truth".into(), Array::Float32(truth.clone().into_dyn()));
        batch.insert("limb".into(), Array::Float32(mask.into_dyn()));
        batch.insert("exponent".into(), Array::Float32(arr0(1.0).into_dyn()));
        let tensors = batch
            .iter()
            .map(|(name, array)| Ok((name.clone(), torch.tensor(array)?)));
        let tensors = tensors.collect::<Result<BTreeMap<_, _>>>().unwrap();
        let loss = task(limbs).loss(&Scope::root(&torch), &Tensors::new(tensors));
        loss.unwrap().double_value(&[])
    };
    let plain = loss(0.0, left.clone());
    let without = loss(3.0, Array3::zeros(shape));
    assert!((without / plain - 1.0).abs() < 1e-5, "{without} {plain}");
    // A quarter at weight 4 is 4 of 7 parts of the whole.
    let weighted = loss(3.0, left.clone()) / plain;
    assert!((weighted - 16.0 / 7.0).abs() < 0.1, "{weighted}");
    let weighted = loss(3.0, 1.0 - left) / plain;
    assert!((weighted - 4.0 / 13.0).abs() < 0.1, "{weighted}");
}
