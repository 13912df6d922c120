// SPDX-License-Identifier: MPL-2.0
//! Tags of a stream that an element adds the tempo to.

/// The stream's own tags and the tempo: a pad keeps one list of them, so that each is sent with the other.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    upstream: Option<gst::TagList>,
    bpm: Option<f64>,
}

impl Tags {
    /// Takes a tag event of the stream, and returns it with the tempo, if there is one.
    pub(crate) fn pass(&mut self, event: gst::Event) -> gst::Event {
        let gst::EventView::Tag(tag) = event.view() else {
            return event;
        };
        if tag.tag().scope() != gst::TagScope::Stream {
            return event;
        }
        self.upstream = Some(tag.tag_owned());
        match self.bpm {
            Some(bpm) => self.with_bpm(bpm),
            None => event,
        }
    }

    /// Takes the tempo, and returns the event that carries it.
    pub(crate) fn with_bpm(&mut self, bpm: f64) -> gst::Event {
        self.bpm = Some(bpm);
        let mut tags = self.upstream.clone().unwrap_or_default();
        tags.make_mut()
            .add::<gst::tags::BeatsPerMinute>(&bpm, gst::TagMergeMode::Replace);
        gst::event::Tag::new(tags)
    }

    /// Another stream begins, with tags of its own.
    pub(crate) fn new_stream(&mut self) {
        self.upstream = None;
    }
}
