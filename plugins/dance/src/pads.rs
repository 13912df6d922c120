// SPDX-License-Identifier: MPL-2.0
//! Pads whose functions are methods of their element, called under a guard: a panic is posted as an error of the element
//! and answered with a refusal, as is every call after it.

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

/// Begins a pad of the template `name`, under the template's name.
pub(crate) fn build<T: IsA<gst::Element> + glib::object::IsClass>(
    class: &glib::Class<T>,
    name: &str,
) -> gst::PadBuilder<gst::Pad> {
    class.pad_template(name).map_or_else(
        // Not taken: elements name templates that they declare.
        || gst::Pad::builder(gst::PadDirection::Unknown).name(name),
        |template| gst::Pad::builder_from_template(&template).name(name),
    )
}

/// Calls `work` with the element that the pad belongs to; `refused` if there is none, or if it panics.
fn guarded<E: ElementImpl, R>(
    parent: Option<&gst::Object>,
    refused: impl Fn() -> R,
    work: impl FnOnce(&E) -> R,
) -> R {
    match parent {
        Some(_) => E::catch_panic_pad_function(parent, refused, work),
        None => refused(),
    }
}

/// The functions of a pad.
pub(crate) trait Guarded: Sized {
    /// What it does with a buffer.
    fn chain<E: ElementImpl>(
        self,
        work: fn(&E, &gst::Pad, gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError>,
    ) -> Self;

    /// What it does with an event.
    fn event<E: ElementImpl>(self, work: fn(&E, &gst::Pad, gst::Event) -> bool) -> Self;

    /// What it answers to a query.
    fn query<E: ElementImpl>(self, work: fn(&E, &gst::Pad, &mut gst::QueryRef) -> bool) -> Self;

    /// What it does when it is activated (`true`) in push mode, its only one, or deactivated.
    fn activate<E: ElementImpl>(
        self,
        work: fn(&E, &gst::Pad, bool) -> Result<(), gst::LoggableError>,
    ) -> Self;

    /// The pads that carry the same stream.
    fn links<E: ElementImpl>(self, work: fn(&E, &gst::Pad) -> Vec<gst::Pad>) -> Self;
}

impl Guarded for gst::PadBuilder<gst::Pad> {
    fn chain<E: ElementImpl>(
        self,
        work: fn(&E, &gst::Pad, gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError>,
    ) -> Self {
        self.chain_function(move |pad, parent, buffer| {
            let failed = || Err(gst::FlowError::Error);
            guarded(parent, failed, |element| work(element, pad, buffer))
        })
    }

    fn event<E: ElementImpl>(self, work: fn(&E, &gst::Pad, gst::Event) -> bool) -> Self {
        self.event_function(move |pad, parent, event| {
            guarded(parent, || false, |element| work(element, pad, event))
        })
    }

    fn query<E: ElementImpl>(self, work: fn(&E, &gst::Pad, &mut gst::QueryRef) -> bool) -> Self {
        self.query_function(move |pad, parent, query| {
            guarded(parent, || false, |element| work(element, pad, query))
        })
    }

    fn activate<E: ElementImpl>(
        self,
        work: fn(&E, &gst::Pad, bool) -> Result<(), gst::LoggableError>,
    ) -> Self {
        self.activatemode_function(move |pad, parent, mode, active| {
            let refused = |why: &str| {
                let name = pad.name();
                gst::loggable_error!(gst::CAT_RUST, "{mode:?} mode on pad '{name}': {why}")
            };
            if mode != gst::PadMode::Push {
                return Err(refused("only push mode is supported"));
            }
            let failed = || Err(refused("the element has panicked"));
            guarded(parent, failed, |element| work(element, pad, active))
        })
    }

    fn links<E: ElementImpl>(self, work: fn(&E, &gst::Pad) -> Vec<gst::Pad>) -> Self {
        self.iterate_internal_links_function(move |pad, parent| {
            let pads = guarded(parent, Vec::new, |element| work(element, pad));
            gst::Iterator::from_vec(pads)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element that panics in whatever its pad is asked to do.
    mod imp {
        use super::*;

        pub struct Panicking(pub gst::Pad);

        impl Panicking {
            fn chain(
                &self,
                _pad: &gst::Pad,
                _buffer: gst::Buffer,
            ) -> Result<gst::FlowSuccess, gst::FlowError> {
                panic!("in chain")
            }

            fn event(&self, _pad: &gst::Pad, _event: gst::Event) -> bool {
                panic!("in event")
            }

            fn activate(&self, _pad: &gst::Pad, active: bool) -> Result<(), gst::LoggableError> {
                assert!(!active || self.obj().name() != "refuses", "in activate");
                Ok(())
            }
        }

        #[glib::object_subclass]
        impl ObjectSubclass for Panicking {
            const NAME: &'static str = "GstDancePanicking";
            type Type = super::Panicking;
            type ParentType = gst::Element;

            fn with_class(class: &Self::Class) -> Self {
                let pad = build(class, "sink").chain(Self::chain).event(Self::event);
                Self(pad.activate(Self::activate).build())
            }
        }

        impl ObjectImpl for Panicking {
            fn constructed(&self) {
                self.parent_constructed();
                crate::element::add_pads(&*self.obj(), [&self.0]);
            }
        }

        impl GstObjectImpl for Panicking {}

        impl ElementImpl for Panicking {
            crate::element::metadata!("Panicking", "Test", "Panics");
            crate::element::pad_templates! { "sink": Sink Always gst::Caps::new_any(); }
        }
    }

    glib::wrapper! {
        pub struct Panicking(ObjectSubclass<imp::Panicking>) @extends gst::Element, gst::Object;
    }

    fn element(name: &str) -> (Panicking, gst::Bus) {
        gst::init().unwrap();
        let element: Panicking = glib::Object::builder().property("name", name).build();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        (element, bus)
    }

    fn has_error(bus: &gst::Bus) -> bool {
        bus.pop_filtered(&[gst::MessageType::Error]).is_some()
    }

    #[test]
    fn a_panic_while_data_flows_is_an_error_of_the_element() {
        let (element, bus) = element("plain");
        element.set_state(gst::State::Paused).unwrap();
        let pad = element.static_pad("sink").unwrap();
        assert!(!pad.send_event(gst::event::StreamStart::new("a")));
        assert!(has_error(&bus));
        assert_eq!(pad.chain(gst::Buffer::new()), Err(gst::FlowError::Error));
        assert!(has_error(&bus));
        element.set_state(gst::State::Null).unwrap();
    }

    #[test]
    fn a_panic_while_a_pad_is_activated_fails_the_start() {
        let (element, bus) = element("refuses");
        assert!(element.set_state(gst::State::Paused).is_err());
        assert!(has_error(&bus));
        element.set_state(gst::State::Null).unwrap();
    }

    #[test]
    fn pads_do_not_pull() {
        let (element, _bus) = element("pushed");
        let pad = element.static_pad("sink").unwrap();
        assert!(pad.activate_mode(gst::PadMode::Pull, true).is_err());
    }
}
