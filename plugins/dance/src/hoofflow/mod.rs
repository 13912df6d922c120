// SPDX-License-Identifier: MPL-2.0
//! # hoofflow
//!
//! Measures how a picture moves: dense optical flow by a network, and its histogram of orientations.
//!
//! The video passes through untouched, in any raw format of the processor's memory; the analysis works
//! on a copy, scaled to `analysis-width` × `analysis-height`. What it finds is attached as a
//! `GstHoofMeta`: the histogram of oriented optical flow (MuDaR equations 3 and 4), also of the cells of
//! a `grid`, how much moves and how fast beside the camera, the flow itself, and the coarsest features of
//! the network's encoder, so that nobody computes them again. `rhythmtag` finds the beats of a dance in
//! it, `rhythmoverlay` draws it.
//!
//! ## Which frames
//!
//! All of them, or `analysis-fps` a second. The first frame of a stream or after a gap has nothing to be
//! compared with, and says so in its meta (`status=first`), and neither has the first of another scene
//! (`cut`). In a frame that shows the same picture again nothing moves (`repeated`).
//!
//! In a pipeline that is not live the video waits for the analysis, and each meta rides on the frame that
//! it speaks of. In a live one the video waits for nothing: another thread analyses, and the meta rides on
//! the next frame that passes once it is ready; its `timestamp` is that of the frame that it speaks of. Where
//! the machine is too slow the analysis leaves frames out, counts them in `stats` and reports them by QoS
//! messages; the video never loses one, and its threads go before that of the analysis (by nice value, on
//! Linux). What is left at the end of a live stream comes in serialized
//! events `hoof`.
//!
//! With `backward` the flow from each frame back to the one before rides along as well: where both disagree, one frame
//! shows what the other hides, which `dtwretarget` needs to know for pictures between them.
//!
//! With `post-messages` each analysed frame posts an element message `hoof` with the same fields, but for
//! the flow, the grid and the features.
//!
//! ## The flow as a picture
//!
//! ![Frames of Big Buck Bunny and their flow](images/flow.jpg)
//!
//! The request pad `flow` gives the flow in colours: white is still, red goes to the right, yellow down,
//! blue and violet to the left and up, and the deepest colours go `flow-scale` pixels. As after a `tee`,
//! each branch wants a `queue`.
//!
//! ## The model
//!
//! The model is `flow.onnx`, with its card `flow.toml` beside it. Unless the property `model` names a
//! file, it is looked for where `onsetdetect` looks for its own: in the folders of
//! `GST_DANCE_MODEL_PATH`, in the plugin's folder, in the repository's `models`, in `share/gst-dance/models`
//! of the prefix. ONNX Runtime 1.24 or newer runs it: that of the property `onnxruntime-library`, of the
//! environment variable `ORT_DYLIB_PATH`, in the plugin's folder, or the system's. There is no motion
//! without them, so that what is missing is an error at READY, and a model that fails on the way ends the
//! stream with an error. A model is made for one size of pictures, which `analysis-width` and
//! `analysis-height` must be.
//!
//! `execution-provider` is a demand: a provider that is named and cannot be had is an error, unless
//! `allow-fallback` makes a warning of it. `active-execution-provider` names what really runs the most of
//! the network.
//!
//! ## Example
//!
//! ```sh
//! gst-launch-1.0 -m videotestsrc pattern=ball num-buffers=60 ! hoofflow ! fakesink
//! ```
//!
//! Prints a `hoof` message for every frame of a ball that moves.

use gst::glib;

mod analysis;
mod flow_pad;
mod imp;
mod picture;
mod properties;

glib::wrapper! {
    /// The element `hoofflow`.
    pub struct HoofFlow(ObjectSubclass<imp::HoofFlow>)
        @extends gst::Element, gst::Object;
}
