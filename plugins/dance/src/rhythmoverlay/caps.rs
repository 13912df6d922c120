// SPDX-License-Identifier: MPL-2.0
//! What passes the pads, and whether the overlay goes downstream as a meta or into the picture.

use std::sync::LazyLock;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::{
    CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION as META_FEATURE, VideoOverlayCompositionMeta,
};

use super::imp::{CAT, RhythmOverlay};
use crate::lock::lock;

/// Formats that the overlay can be blended into; kept for good, which the leaks tracer is told.
static BLEND_CAPS: LazyLock<gst::Caps> = LazyLock::new(|| {
    let mut caps = gst_video::VideoCapsBuilder::new()
        .format_list(gst_video::VideoFormat::iter_raw().filter(|format| can_blend(*format)))
        .build();
    caps.make_mut().mark_may_be_leaked();
    caps
});
pub(super) static TEMPLATE_CAPS: LazyLock<gst::Caps> = LazyLock::new(|| {
    let mut caps = BLEND_CAPS.copy();
    caps.merge(gst_video::VideoCapsBuilder::new().any_features().build());
    caps
});

/// `gst_video_blend()` unpacks lines and packs them again. A palette or a tile does not survive that,
/// and the packing of UYVP writes past the end of lines of odd length (GStreamer 1.22).
pub(super) fn can_blend(format: gst_video::VideoFormat) -> bool {
    let info = gst_video::VideoFormatInfo::from_format(format);
    !info.has_palette()
        && !info.flags().contains(gst_video::VideoFormatFlags::TILED)
        && format != gst_video::VideoFormat::Uyvp
}

/// The caps with the feature of overlay compositions added, of structures that lack it.
fn with_meta(caps: &gst::CapsRef) -> gst::Caps {
    caps.iter_with_features()
        .map(|(s, features)| {
            let mut features = features.to_owned();
            if !features.is_any() && !features.contains(META_FEATURE) {
                features.add(META_FEATURE);
            }
            (s.to_owned(), features)
        })
        .collect()
}

/// The caps with the feature of overlay compositions removed.
fn without_meta(caps: &gst::CapsRef) -> gst::Caps {
    caps.iter_with_features()
        .map(|(s, features)| {
            let mut features = features.to_owned();
            if !features.is_any() {
                features.remove(META_FEATURE);
            }
            (s.to_owned(), features)
        })
        .collect()
}

impl RhythmOverlay {
    /// What may come in: what downstream takes with metas, with or without metas, and what it takes
    /// without them and can be blended into.
    fn sink_caps(&self, filter: Option<&gst::CapsRef>) -> gst::Caps {
        let wanted = filter.map(|filter| {
            let mut wanted = with_meta(filter);
            wanted.merge(filter.to_owned());
            wanted
        });
        let peer = self.src_pad.peer_query_caps(wanted.as_ref());
        let template = self.sink_pad.pad_template_caps();
        let mut caps = gst::Caps::new_empty();
        if peer.is_any() {
            caps.merge(template);
        } else {
            let (metas, plain) = split(&peer);
            caps.merge(metas.intersect_with_mode(&template, gst::CapsIntersectMode::First));
            let bare = without_meta(&metas);
            caps.merge(bare.intersect_with_mode(&template, gst::CapsIntersectMode::First));
            caps.merge(plain.intersect_with_mode(&BLEND_CAPS, gst::CapsIntersectMode::First));
        }
        filtered(caps, filter)
    }

    /// What may go out: what upstream has, with metas, or without if it can be blended into.
    fn src_caps(&self, filter: Option<&gst::CapsRef>) -> gst::Caps {
        let wanted = filter.map(|filter| {
            let mut wanted = filter.to_owned();
            wanted.merge(without_meta(filter));
            wanted
        });
        let peer = self.sink_pad.peer_query_caps(wanted.as_ref());
        let template = self.src_pad.pad_template_caps();
        let mut caps = gst::Caps::new_empty();
        if peer.is_any() {
            caps.merge(template);
        } else {
            caps.merge(
                with_meta(&peer).intersect_with_mode(&template, gst::CapsIntersectMode::First),
            );
            caps.merge(peer.intersect_with_mode(&BLEND_CAPS, gst::CapsIntersectMode::First));
        }
        filtered(caps, filter)
    }

    pub(super) fn query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Caps(q) = query.view_mut() {
            let caps = if *pad == self.sink_pad {
                self.sink_caps(q.filter())
            } else {
                self.src_caps(q.filter())
            };
            gst::log!(CAT, obj = pad, "caps {caps:?}");
            q.set_result(&caps);
            return true;
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }

    /// Agrees with downstream whether the overlay is attached or blended, and sends it the caps.
    ///
    /// As the overlays of GStreamer do it: metas go to who lists them in its answer to the allocation
    /// query, and only where blending is impossible to who accepts them in caps alone.
    pub(super) fn negotiate(&self, caps: &gst::Caps) -> Result<(), gst::FlowError> {
        let upstream_has_meta = caps
            .features(0)
            .is_some_and(|features| features.contains(META_FEATURE));
        let can_blend = caps.is_subset(&BLEND_CAPS);
        let meta_caps = with_meta(caps);
        let takes_meta = upstream_has_meta
            || !self
                .src_pad
                .peer_query_caps(Some(&meta_caps))
                .intersect(&meta_caps)
                .is_empty();
        let mut attach = upstream_has_meta || (takes_meta && !can_blend);
        let mut sent = false;
        if takes_meta {
            // Filters answer the allocation query only when they know the caps.
            sent = self.src_pad.push_event(gst::event::Caps::new(&meta_caps));
            let mut query = gst::query::Allocation::new(Some(&meta_caps), false);
            if sent && self.src_pad.peer_query(&mut query) {
                attach |= query
                    .find_allocation_meta::<VideoOverlayCompositionMeta>()
                    .is_some();
            }
        }
        if !attach {
            sent = can_blend && self.src_pad.push_event(gst::event::Caps::new(caps));
        }
        if !sent {
            self.src_pad.mark_reconfigure();
            if self.src_pad.pad_flags().contains(gst::PadFlags::FLUSHING) {
                return Err(gst::FlowError::Flushing);
            }
            gst::warning!(CAT, imp = self, "downstream takes no {caps}");
            return Err(gst::FlowError::NotNegotiated);
        }
        gst::info!(
            CAT,
            imp = self,
            "the overlay is {} {caps}",
            if attach {
                "attached to"
            } else {
                "blended into"
            },
        );
        lock(&self.state).attach = attach;
        Ok(())
    }
}

/// The structures with the feature of overlay compositions or with any, and the others.
fn split(caps: &gst::Caps) -> (gst::Caps, gst::Caps) {
    let (metas, plain): (Vec<_>, Vec<_>) = caps
        .iter_with_features()
        .map(|(s, features)| (s.to_owned(), features.to_owned()))
        .partition(|(_, features)| features.is_any() || features.contains(META_FEATURE));
    (metas.into_iter().collect(), plain.into_iter().collect())
}

fn filtered(caps: gst::Caps, filter: Option<&gst::CapsRef>) -> gst::Caps {
    match filter {
        Some(filter) => filter
            .to_owned()
            .intersect_with_mode(&caps, gst::CapsIntersectMode::First),
        None => caps,
    }
}
