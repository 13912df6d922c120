// SPDX-License-Identifier: MPL-2.0
//! The trainer.

use crate::checkpoint::{Checkpoint, Figures, Meta};
use crate::config::Training;
use crate::curve::Curve;
use crate::task::{Batch, Means, Task, Tensors};
use crate::torch::{self, Torch, Value};
use anyhow::{Context, Result, bail, ensure};
use dance_corpus::Split;
use dance_networks::layers::Scope;
use dance_networks::network::{Network, check_outputs};
use dance_networks::weights::{Stored, Weights};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};
use tch::{Kind, Tensor};

/// The newest checkpoint, in the output directory.
pub const LAST: &str = "last.safetensors";
/// The checkpoint with the smallest validation loss.
pub const BEST: &str = "best.safetensors";

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All steps were taken.
    Finished,
    /// The validation loss no longer fell.
    Stopped,
    /// The time was up; `--resume` goes on from here.
    Paused,
}

/// The state of a training beyond the interpreter's weights.
struct State {
    meta: Meta,
    first: BTreeMap<String, Tensor>,
    second: BTreeMap<String, Tensor>,
    average: BTreeMap<String, Tensor>,
    curve: Curve,
}

/// One run of a training.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where checkpoints and curves go.
    pub out: PathBuf,
    /// All random numbers come from this.
    pub seed: u64,
    /// How to train.
    pub training: Training,
    /// The configuration as it stands in its file, for the checkpoints.
    pub text: String,
    /// Whether to go on from the newest checkpoint, where there is one. Without, an output
    /// directory that has one is an error.
    pub resume: bool,
    /// When to pause.
    pub limit: Option<Duration>,
}

/// Trains a task as planned, and says how it ended.
///
/// # Errors
/// When data are missing, a loss or gradient is not finite, the disk is full, or the checkpoint is
/// of another task, seed or network. The checkpoints already written stay as they are.
pub fn train<T: Task>(task: &T, plan: &Plan) -> Result<End> {
    let training = &plan.training;
    let begin = Instant::now();
    std::fs::create_dir_all(&plan.out)
        .with_context(|| format!("cannot make {}", plan.out.display()))?;
    let last = plan.out.join(LAST);
    let checkpoint = match (plan.resume, last.exists()) {
        (true, true) => Some(Checkpoint::load(&last)?),
        (false, true) => bail!(
            "{} holds a training already: go on with --resume, or choose another directory",
            plan.out.display()
        ),
        (_, false) => None,
    };
    if training.threads > 0 {
        tch::set_num_threads(i32::try_from(training.threads)?);
    }
    let device = torch::device(&training.device)?;
    let source = match &checkpoint {
        Some(checkpoint) => Weights::Stored(checkpoint.weights.clone()),
        None => Weights::Seeded(plan.seed),
    };
    let interpreter = Torch::new(device, training.precision, source);
    let mut state = match checkpoint {
        Some(checkpoint) => restore::<T>(checkpoint, plan, &interpreter)?,
        None => State {
            meta: Meta {
                task: T::NAME.into(),
                seed: plan.seed,
                config: plan.text.clone(),
                ..Meta::default()
            },
            first: BTreeMap::new(),
            second: BTreeMap::new(),
            average: BTreeMap::new(),
            curve: Curve::default(),
        },
    };
    let mut run = Run {
        task,
        plan,
        interpreter,
        begin: begin - Duration::from_secs_f64(state.meta.seconds),
        progress: progress(training.steps),
        since: Instant::now(),
        steps: 0,
        waited: Duration::ZERO,
    };
    if state.meta.step >= training.steps {
        return Ok(End::Finished);
    }
    if training.is_exhausted(state.meta.since_best) {
        return Ok(End::Stopped);
    }
    std::thread::scope(|scope| {
        let (start, workers) = (state.meta.step, training.workers as u64);
        let mut queues: Vec<Receiver<Result<Batch>>> = Vec::new();
        for worker in 0..workers {
            // One batch waits in the queue while the next is being made.
            let (sender, receiver) = sync_channel(1);
            queues.push(receiver);
            let steps = training.steps;
            scope.spawn(move || {
                let mut index = start + worker;
                while index < steps && sender.send(task.batch(Split::Training, index)).is_ok() {
                    index += workers;
                }
            });
        }
        let end = run.all(&mut state, &queues, begin);
        // Workers that wait to hand over a batch end when nobody takes it any more.
        drop(queues);
        end
    })
}

fn progress(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    let template = "{elapsed_precise} [{bar:30}] {pos}/{len} {per_sec} {eta} {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn restore<T: Task>(checkpoint: Checkpoint, plan: &Plan, interpreter: &Torch) -> Result<State> {
    let mut meta = checkpoint.meta;
    ensure!(
        meta.task == T::NAME && meta.seed == plan.seed,
        "the checkpoint is of the task {} with the seed {}, the configuration of {} with {}",
        meta.task,
        meta.seed,
        T::NAME,
        plan.seed
    );
    meta.config = plan.text.clone();
    let upload = |stored: &Stored| -> Result<BTreeMap<String, Tensor>> {
        stored
            .iter()
            .map(|(path, array)| {
                let value = interpreter.tensor(&array.clone().into())?;
                Ok((path.clone(), value.shallow_clone()))
            })
            .collect()
    };
    let mut curve = Curve::load(&plan.out.join("curve.csv"))?;
    curve.truncate(meta.step);
    Ok(State {
        first: upload(&checkpoint.first)?,
        second: upload(&checkpoint.second)?,
        average: upload(&checkpoint.average)?,
        curve,
        meta,
    })
}

struct Run<'a, T: Task> {
    task: &'a T,
    plan: &'a Plan,
    interpreter: Torch,
    /// When the training would have begun, had it never paused.
    begin: Instant,
    progress: ProgressBar,
    /// Since when steps are timed, how many there were, and how long they waited for data.
    since: Instant,
    steps: u64,
    waited: Duration,
}

impl<T: Task> Run<'_, T> {
    fn all(
        &mut self,
        state: &mut State,
        queues: &[Receiver<Result<Batch>>],
        begin: Instant,
    ) -> Result<End> {
        let training = &self.plan.training;
        let start = state.meta.step;
        self.progress.set_position(start);
        // What lies before this run does not say how fast it is.
        self.progress.reset_eta();
        for step in start..training.steps {
            let queue = &queues[((step - start) % training.workers as u64) as usize];
            let asked = Instant::now();
            let batch = queue
                .recv()
                .context("the thread that makes batches has died")?
                .with_context(|| format!("batch {step} of the training data"))?;
            self.waited += asked.elapsed();
            self.steps += 1;
            let (loss, norm) = self.step(state, step, &batch).map_err(|error| {
                let kept = match step.checked_sub(1) {
                    Some(_) if self.plan.out.join(LAST).exists() => format!(
                        "the last good checkpoint is {}",
                        self.plan.out.join(LAST).display()
                    ),
                    _ => "no checkpoint was written yet".into(),
                };
                error.context(format!("training stopped at step {step}; {kept}"))
            })?;
            let (losses, norms, count) = state.meta.since_validation;
            state.meta.since_validation = (losses + loss, norms + norm, count + 1);
            let done = step + 1;
            state.meta.step = done;
            state.meta.seconds = self.begin.elapsed().as_secs_f64();
            self.progress.set_position(done);
            self.progress.set_message(format!("loss {loss:.4}"));
            let out_of_time = self.plan.limit.is_some_and(|l| begin.elapsed() >= l);
            let finished = done == training.steps;
            let mut stopped = false;
            if done.is_multiple_of(training.validate_every) || finished {
                let (losses, norms, count) = std::mem::take(&mut state.meta.since_validation);
                let trained = std::mem::replace(&mut self.since, Instant::now()).elapsed();
                let waited = std::mem::take(&mut self.waited).as_secs_f64();
                let steps = std::mem::take(&mut self.steps) as f64;
                for (series, value) in [
                    ("training/loss", losses / count as f64),
                    ("training/gradient norm", norms / count as f64),
                    ("training/learning rate", training.rate(step)),
                    ("training/seconds a step", trained.as_secs_f64() / steps),
                    ("training/share of waiting", waited / trained.as_secs_f64()),
                ] {
                    state.curve.push(series, done, value);
                }
                stopped = self.validate(state)?;
                self.since = Instant::now();
            }
            if done.is_multiple_of(training.checkpoint_every) || finished || stopped || out_of_time
            {
                self.save(state, LAST)?;
            }
            if finished || stopped || out_of_time {
                self.progress.abandon();
                return Ok(match (finished, stopped) {
                    (true, _) => End::Finished,
                    (_, true) => End::Stopped,
                    _ => End::Paused,
                });
            }
        }
        Ok(End::Finished)
    }

    /// One update: AdamW (Loshchilov & Hutter 2019, algorithm 2) on the clipped gradient, then the
    /// average of the weights. The loss and the gradient's norm before clipping.
    fn step(&self, state: &mut State, step: u64, batch: &Batch) -> Result<(f64, f64)> {
        let training = &self.plan.training;
        seed(self.plan.seed, step);
        self.interpreter.set_training(true);
        let loss = self
            .task
            .loss(&Scope::root(&self.interpreter), &self.tensors(batch)?)?;
        let value = loss.f_double_value(&[])?;
        ensure!(value.is_finite(), "the loss is {value}");
        loss.f_backward()?;
        let weights = self.interpreter.weights();
        tch::no_grad(|| {
            let mut gradients = Vec::new();
            for (path, weight) in &weights {
                let gradient = weight.grad();
                if gradient.defined() {
                    gradients.push((path, weight.shallow_clone(), gradient));
                }
            }
            ensure!(!gradients.is_empty(), "the loss depends on no weight");
            let squares = gradients
                .iter()
                .map(|(_, _, gradient)| Ok(gradient.f_square()?.f_sum(Kind::Double)?))
                .collect::<Result<Vec<_>>>()?;
            let norm = Tensor::f_stack(&squares, 0)?
                .f_sum(Kind::Double)?
                .f_double_value(&[])?
                .sqrt();
            ensure!(norm.is_finite(), "the gradient's norm is {norm}");
            let scale = if training.clip > 0.0 && norm > training.clip {
                training.clip / norm
            } else {
                1.0
            };
            for (path, mut weight, mut gradient) in gradients {
                if scale < 1.0 {
                    let _ = gradient.f_mul_scalar_(scale)?;
                }
                self.update(state, step, path, &mut weight, &gradient)?;
                let _ = gradient.f_zero_()?;
            }
            // A young average follows faster, or it would remember the initial weights for long.
            let age = step as f64;
            let follow = 1.0 - training.average.min((1.0 + age) / (10.0 + age));
            for (path, weight) in &weights {
                match state.average.get_mut(path) {
                    Some(average) => {
                        let _ = average.f_lerp_(weight, follow)?;
                    }
                    None => {
                        let copy = weight.f_detach()?.copy();
                        state.average.insert(path.clone(), copy);
                    }
                }
            }
            Ok((value, norm))
        })
    }

    fn update(
        &self,
        state: &mut State,
        step: u64,
        path: &str,
        weight: &mut Tensor,
        gradient: &Tensor,
    ) -> Result<()> {
        let Training {
            betas: [beta1, beta2],
            epsilon,
            weight_decay,
            ..
        } = self.plan.training;
        let rate = self.plan.training.rate(step);
        for moments in [&mut state.first, &mut state.second] {
            if !moments.contains_key(path) {
                moments.insert(path.to_owned(), gradient.f_zeros_like()?);
            }
        }
        let (Some(first), Some(second)) = (state.first.get_mut(path), state.second.get_mut(path))
        else {
            bail!("{path} has no moments");
        };
        let _ = first.f_lerp_(gradient, 1.0 - beta1)?;
        let _ = second.f_lerp_(&gradient.f_square()?, 1.0 - beta2)?;
        let t = (step + 1) as f64;
        let (unbias1, unbias2) = (1.0 - beta1.powf(t), 1.0 - beta2.powf(t));
        // Scales and biases have no direction to lose, and are not decayed.
        if weight.dim() >= 2 {
            let _ = weight.f_mul_scalar_(1.0 - rate * weight_decay)?;
        }
        let denominator = second
            .f_sqrt()?
            .f_mul_scalar(1.0 / unbias2.sqrt())?
            .f_add_scalar(epsilon)?;
        let change = first.f_div(&denominator)?.f_mul_scalar(-rate / unbias1)?;
        let _ = weight.f_add_(&change)?;
        Ok(())
    }

    fn tensors(&self, batch: &Batch) -> Result<Tensors<Torch>> {
        tensors(&self.interpreter, batch)
    }

    /// Validates the averaged weights, notes the figures, keeps the best; whether to stop.
    fn validate(&self, state: &mut State) -> Result<bool> {
        let training = &self.plan.training;
        let average = share(&state.average);
        let figures = evaluate(
            self.task,
            &self.interpreter.frozen(average),
            Split::Validation,
            training.validation_batches,
        )?;
        let step = state.meta.step;
        for (name, value) in &figures {
            state
                .curve
                .push(&format!("validation/{name}"), step, *value);
        }
        let loss = figures.get("loss").copied().unwrap_or(f64::NAN);
        ensure!(
            loss.is_finite(),
            "the validation loss at step {step} is {loss}"
        );
        if state.meta.best.is_none_or(|best| loss < best) {
            state.meta.best = Some(loss);
            state.meta.since_best = 0;
            self.save(state, BEST)?;
        } else {
            state.meta.since_best += 1;
        }
        state.curve.save(&self.plan.out.join("curve.csv"))?;
        state.curve.plot(&self.plan.out.join("curve.png"))?;
        Ok(training.is_exhausted(state.meta.since_best))
    }

    fn save(&self, state: &State, name: &str) -> Result<()> {
        let download = |tensors: &BTreeMap<String, Tensor>| -> Result<Stored> {
            tensors
                .iter()
                .map(|(path, tensor)| Ok((path.clone(), torch::download(tensor)?)))
                .collect()
        };
        Checkpoint {
            meta: state.meta.clone(),
            weights: download(&self.interpreter.weights())?,
            first: download(&state.first)?,
            second: download(&state.second)?,
            average: download(&state.average)?,
        }
        .save(&self.plan.out.join(name))
    }
}

fn share(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    tensors
        .iter()
        .map(|(path, tensor)| (path.clone(), tensor.shallow_clone()))
        .collect()
}

/// The random numbers of a step depend on the seed and the step alone, so that a training that
/// resumes draws the ones it would have drawn.
fn seed(seed: u64, step: u64) {
    use rand::Rng;
    let mut rng = dance_networks::weights::rng(seed, &format!("step {step}"));
    tch::manual_seed(rng.next_u64() as i64);
}

fn tensors(interpreter: &Torch, batch: &Batch) -> Result<Tensors<Torch>> {
    let tensors = batch
        .iter()
        .map(|(name, array)| Ok((name.clone(), interpreter.tensor(array)?)))
        .collect::<Result<BTreeMap<String, Value>>>()?;
    Ok(Tensors::new(tensors))
}

/// The mean loss and figures of an interpreter's weights over the first batches of a split.
///
/// # Errors
/// As the task's.
pub fn evaluate<T: Task>(
    task: &T,
    interpreter: &Torch,
    split: Split,
    batches: u64,
) -> Result<Figures> {
    interpreter.set_training(false);
    let network = task.network();
    let ports = network.outputs();
    let mut means = Means::default();
    for index in 0..batches {
        let batch = task
            .batch(split, index)
            .with_context(|| format!("batch {index} of the {} data", split.name()))?;
        let figures = tch::no_grad(|| -> Result<Figures> {
            let scope = Scope::root(interpreter);
            let tensors = tensors(interpreter, &batch)?;
            let outputs = network.forward(&scope, &tensors.inputs(network)?)?;
            check_outputs(interpreter, &ports, &outputs)?;
            let arrays = ports
                .iter()
                .zip(&outputs)
                .map(|(port, output)| Ok((port.name.clone(), torch::download(output)?)))
                .collect::<Result<BTreeMap<_, _>>>()?;
            let mut figures = task.figures(&batch, &arrays)?;
            let loss = task.loss(&scope, &tensors)?.f_double_value(&[])?;
            figures.insert("loss".into(), loss);
            Ok(figures)
        })?;
        means.add(&figures);
    }
    Ok(means.get())
}

/// The figures of a checkpoint's averaged weights over the first batches of a split.
///
/// # Errors
/// When the checkpoint does not fit, and as the task's.
pub fn evaluate_checkpoint<T: Task>(
    task: &T,
    checkpoint: &Checkpoint,
    device: &str,
    split: Split,
    batches: u64,
) -> Result<Figures> {
    let weights = Weights::Stored(checkpoint.average.clone());
    let interpreter = Torch::new(
        torch::device(device)?,
        crate::config::Precision::Float32,
        weights,
    );
    evaluate(task, &interpreter, split, batches)
}
