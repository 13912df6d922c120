// SPDX-License-Identifier: MPL-2.0
//! What elements ask of upstream.

use gst::prelude::*;

/// Whether media comes as it happens, so that nothing that is late can be caught up with; `None` where nobody knows.
pub(crate) fn is_live(sinkpad: &gst::Pad) -> Option<bool> {
    let mut query = gst::query::Latency::new();
    sinkpad.peer_query(&mut query).then(|| query.result().0)
}

/// Answers a LATENCY query with upstream's latency and `own` on top; any other as pads do by default.
pub(crate) fn answer_latency(
    element: &impl IsA<gst::Object>,
    sinkpad: &gst::Pad,
    srcpad: &gst::Pad,
    query: &mut gst::QueryRef,
    own: impl FnOnce() -> gst::ClockTime,
) -> bool {
    let gst::QueryViewMut::Latency(latency) = query.view_mut() else {
        return gst::Pad::query_default(srcpad, Some(element), query);
    };
    let mut upstream = gst::query::Latency::new();
    if !sinkpad.peer_query(&mut upstream) {
        return false;
    }
    let (live, min, max) = upstream.result();
    let own = own();
    gst::debug!(
        gst::CAT_RUST,
        obj = srcpad,
        "upstream {min}..{max:?}, own {own}"
    );
    latency.set(live, min + own, max.map(|max| max + own));
    true
}
