// SPDX-License-Identifier: MPL-2.0
//! The properties of an element, as one list of rows.
//!
//! A row says everything about a property: its text, when it may be set, which field of the settings it is, and its range;
//! the default is that of the settings' `Default`. `#[derive(glib::Properties)]` is no substitute: it has no rows
//! that several elements share, takes each default a second time, and cannot refuse what comes at the wrong time.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Mutex;

use gst::glib;
use gst::glib::translate::{FromGlib, IntoGlib};
use gst::prelude::*;

use crate::lock::lock;

/// The property can be set in NULL and READY only.
pub(crate) const READY: glib::ParamFlags =
    glib::ParamFlags::READWRITE.union(gst::PARAM_FLAG_MUTABLE_READY);
/// The property can be set at any time.
pub(crate) const PLAYING: glib::ParamFlags =
    glib::ParamFlags::READWRITE.union(gst::PARAM_FLAG_MUTABLE_PLAYING);

type Get<S> = Box<dyn Fn(&mut S) -> glib::Value + Send + Sync>;
type Set<S> = Box<dyn Fn(&mut S, &glib::Value) + Send + Sync>;

/// What is said of a property, and when it may be set.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    name: &'a str,
    nick: &'a str,
    blurb: &'a str,
    flags: glib::ParamFlags,
}

impl<'a> Text<'a> {
    pub(crate) fn new(
        name: &'a str,
        nick: &'a str,
        blurb: &'a str,
        flags: glib::ParamFlags,
    ) -> Self {
        Self {
            name,
            nick,
            blurb,
            flags,
        }
    }
}

/// One property of settings `S`.
pub(crate) struct Property<S> {
    spec: glib::ParamSpec,
    /// None where the element itself answers.
    access: Option<(Get<S>, Set<S>)>,
}

/// A field of settings.
pub(crate) trait Field<S, T>: Fn(&mut S) -> &mut T + Clone + Send + Sync + 'static {}
impl<S, T, F: Fn(&mut S) -> &mut T + Clone + Send + Sync + 'static> Field<S, T> for F {}

/// What a property stores.
pub(crate) trait Stored:
    Clone + ToValue + for<'a> glib::value::FromValue<'a> + 'static
{
}
impl<T: Clone + ToValue + for<'a> glib::value::FromValue<'a> + 'static> Stored for T {}

impl<S: Default + 'static> Property<S> {
    /// A property of a field with this default, which is set to what `take` makes of a value, if anything.
    fn new<T: Clone + ToValue + 'static>(
        field: impl Field<S, T>,
        take: impl Fn(&glib::Value) -> Option<T> + Send + Sync + 'static,
        spec: impl FnOnce(T) -> glib::ParamSpec,
    ) -> Self {
        let read = field.clone();
        let set = move |settings: &mut S, value: &glib::Value| {
            if let Some(value) = take(value) {
                *field(settings) = value;
            }
        };
        Self {
            spec: spec(read(&mut S::default()).clone()),
            access: Some((
                Box::new(move |settings| read(settings).to_value()),
                Box::new(set),
            )),
        }
    }

    /// A property that the element answers itself.
    pub(crate) fn read_only(spec: glib::ParamSpec) -> Self {
        Self { spec, access: None }
    }

    /// The same property of settings that these are a part of.
    pub(crate) fn within<W: 'static>(self, part: impl Field<W, S>) -> Property<W> {
        Property {
            spec: self.spec,
            access: self.access.map(|(get, set)| {
                let written = part.clone();
                let get: Get<W> = Box::new(move |whole| get(part(whole)));
                let set: Set<W> = Box::new(move |whole, value| set(written(whole), value));
                (get, set)
            }),
        }
    }
}

/// Applies the text of a property to the builder of its specification.
macro_rules! spec {
    ($builder:expr, $text:expr) => {{
        let text = $text;
        $builder
            .nick(text.nick)
            .blurb(text.blurb)
            .flags(text.flags)
            .build()
    }};
}

/// A value as it is; GObject has checked the type.
fn plain<T: Stored>(value: &glib::Value) -> Option<T> {
    value.get().ok()
}

/// A number that has a range.
pub(crate) trait Number: Stored + Copy + PartialOrd + Send + Sync {
    /// The specification of such a property.
    fn spec(text: Text<'_>, range: &RangeInclusive<Self>, default: Self) -> glib::ParamSpec;
}

macro_rules! numbers {
    ($($number:ty: $spec:ident, $plain:expr;)*) => {
        $(impl Number for $number {
            fn spec(text: Text<'_>, range: &RangeInclusive<Self>, default: Self) -> glib::ParamSpec {
                let plain = $plain;
                let builder = glib::$spec::builder(text.name)
                    .minimum(plain(*range.start()))
                    .maximum(plain(*range.end()));
                spec!(builder.default_value(plain(default)), text)
            }
        })*
    };
}

numbers! {
    f32: ParamSpecFloat, std::convert::identity;
    f64: ParamSpecDouble, std::convert::identity;
    i64: ParamSpecInt64, std::convert::identity;
    u32: ParamSpecUInt, std::convert::identity;
    gst::ClockTime: ParamSpecUInt64, gst::ClockTime::nseconds;
}

/// A number in a range; none outside it is taken, NaN least of all.
pub(crate) fn number<S: Default + 'static, T: Number>(
    text: Text<'_>,
    field: impl Field<S, T>,
    range: RangeInclusive<T>,
) -> Property<S> {
    let allowed = range.clone();
    let take = move |value: &_| plain(value).filter(|value| allowed.contains(value));
    Property::new(field, take, |default| T::spec(text, &range, default))
}

/// A rate, as a fraction from 0 to `most`.
pub(crate) fn fraction<S: Default + 'static>(
    text: Text<'_>,
    field: impl Field<S, gst::Fraction>,
    most: i32,
) -> Property<S> {
    let [least, most] = [0, most].map(|whole| gst::Fraction::new(whole, 1));
    let builder = gst::ParamSpecFraction::builder(text.name)
        .minimum(least)
        .maximum(most);
    Property::new(field, plain, |default| {
        spec!(builder.default_value(default), text)
    })
}

/// On or off.
pub(crate) fn switch<S: Default + 'static>(
    text: Text<'_>,
    field: impl Field<S, bool>,
) -> Property<S> {
    let builder = glib::ParamSpecBoolean::builder(text.name);
    Property::new(field, plain, |default| {
        spec!(builder.default_value(default), text)
    })
}

/// One of the values of an enumeration.
pub(crate) fn choice<S, T>(text: Text<'_>, field: impl Field<S, T>) -> Property<S>
where
    S: Default + 'static,
    T: HasParamSpec<ParamSpec = glib::ParamSpecEnum> + StaticType + Stored,
    T: FromGlib<i32> + IntoGlib<GlibType = i32>,
{
    let builder = |default| glib::ParamSpecEnum::builder_with_default(text.name, default);
    Property::new(field, plain, |default| spec!(builder(default), text))
}

/// Any of the values of a set of flags.
pub(crate) fn flags<S, T>(text: Text<'_>, field: impl Field<S, T>) -> Property<S>
where
    S: Default + 'static,
    T: HasParamSpec<ParamSpec = glib::ParamSpecFlags> + StaticType + Stored,
    T: FromGlib<u32> + IntoGlib<GlibType = u32>,
{
    let builder = glib::ParamSpecFlags::builder::<T>(text.name);
    Property::new(field, plain, |default| {
        spec!(builder.default_value(default), text)
    })
}

/// A name that always has a value; setting none sets the default.
pub(crate) fn name<S: Default + 'static>(
    text: Text<'_>,
    field: impl Field<S, String>,
) -> Property<S> {
    let default = field(&mut S::default()).clone();
    let builder = glib::ParamSpecString::builder(text.name);
    let take = move |value: &_| plain(value).or_else(|| Some(default.clone()));
    Property::new(field, take, |default| {
        spec!(builder.default_value(default.as_str()), text)
    })
}

/// The path of a file; an empty one is none.
pub(crate) fn path<S: Default + 'static>(
    text: Text<'_>,
    field: impl Field<S, Option<PathBuf>>,
) -> Property<S> {
    let builder = glib::ParamSpecString::builder(text.name);
    let take = |value: &_| {
        let path = plain::<Option<PathBuf>>(value).flatten();
        Some(path.filter(|path| !path.as_os_str().is_empty()))
    };
    Property::new(field, take, |_| spec!(builder, text))
}

/// A text; an empty one is none.
pub(crate) fn text<S: Default + 'static>(
    text: Text<'_>,
    field: impl Field<S, Option<String>>,
) -> Property<S> {
    let read = field.clone();
    Property {
        spec: spec!(glib::ParamSpecString::builder(text.name), text),
        access: Some((
            Box::new(move |settings| read(settings).to_value()),
            Box::new(move |settings, value| {
                let text = value.get::<Option<String>>().ok().flatten();
                *field(settings) = text.filter(|text| !text.is_empty());
            }),
        )),
    }
}

/// Statistics, which the element answers itself.
pub(crate) fn stats<S: Default + 'static>(blurb: &str) -> [Property<S>; 1] {
    let spec = glib::ParamSpecBoxed::builder::<gst::Structure>("stats");
    [Property::read_only(
        spec.nick("Statistics").blurb(blurb).read_only().build(),
    )]
}

/// The tempo, which the element answers itself.
pub(crate) fn tempo<S: Default + 'static>(blurb: &str) -> [Property<S>; 1] {
    let spec = glib::ParamSpecDouble::builder("tempo").minimum(0.0);
    [Property::read_only(
        spec.nick("Tempo").blurb(blurb).read_only().build(),
    )]
}

/// Whether the messages that `blurb` names are posted.
pub(crate) fn post_messages<S: Default + 'static>(
    blurb: &str,
    field: impl Field<S, bool>,
) -> [Property<S>; 1] {
    let text = Text::new("post-messages", "Post messages", blurb, PLAYING);
    [switch(text, field)]
}

/// What marks are moved by, in nanoseconds.
pub(crate) fn offset<S: Default + 'static>(field: impl Field<S, i64>) -> [Property<S>; 1] {
    const MOST: i64 = 2_000_000_000;
    let blurb = "Nanoseconds added to the instant of every mark, for lamps or screens that lag";
    let text = Text::new("offset", "Offset", blurb, PLAYING);
    [number(text, field, -MOST..=MOST)]
}

/// The slowest and the fastest tempo that `what` may have, and what else the latter means.
pub(crate) fn tempo_range<S: Default + 'static>(
    what: &str,
    more: &str,
    range: &RangeInclusive<f64>,
    slowest: impl Field<S, f64>,
    fastest: impl Field<S, f64>,
) -> [Property<S>; 2] {
    let blurb = |extreme| format!("{extreme} tempo in beats per minute that {what} may have");
    let (low, high) = (blurb("Slowest"), blurb("Fastest") + more);
    let low = Text::new("min-bpm", "Minimum tempo", &low, READY);
    let high = Text::new("max-bpm", "Maximum tempo", &high, READY);
    [
        number(low, slowest, range.clone()),
        number(high, fastest, range.clone()),
    ]
}

/// A list of properties of settings `$settings`: rows of name, nick, blurb, when it may be set, kind, field and range; and
/// `use` of rows that other elements have, too.
macro_rules! list {
    ($settings:ty: $($rows:tt)*) => {{
        let mut list: Vec<$crate::property::Property<$settings>> = Vec::new();
        $crate::property::list!(@ list $settings; $($rows)*);
        list
    }};
    (@ $list:ident $settings:ty;) => {};
    (@ $list:ident $settings:ty; use $shared:expr; $($rows:tt)*) => {
        $list.extend($shared);
        $crate::property::list!(@ $list $settings; $($rows)*);
    };
    (@ $list:ident $settings:ty;
        $name:literal, $nick:literal, $blurb:expr => $when:ident $kind:ident $($field:ident).+ $(in $range:expr)?;
        $($rows:tt)*
    ) => {
        let text = $crate::property::Text::new($name, $nick, $blurb, $crate::property::$when);
        $list.push($crate::property::$kind(text, |settings: &mut $settings| &mut settings.$($field).+ $(, $range)?));
        $crate::property::list!(@ $list $settings; $($rows)*);
    };
}

/// The functions `properties`, `set_property` and `property` of an `ObjectImpl`: from a list of properties and the field
/// that has the settings; with what the element answers itself, and what it does after a change.
macro_rules! functions {
    ($properties:ident of $settings:ident $(, $name:literal => $value:expr)* $(; changed $changed:expr)?) => {
        fn properties() -> &'static [glib::ParamSpec] {
            $properties.specs()
        }

        fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
            let _changed = $properties.set(&*self.obj(), &self.$settings, value, spec);
            $(if let Some(both) = _changed {
                let changed: fn(&Self, &[_; 2]) = $changed;
                changed(self, &both);
            })?
        }

        fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
            match spec.name() {
                $($name => {
                    let value: fn(&Self) -> glib::Value = $value;
                    value(self)
                })*
                _ => $properties.get(&self.$settings, spec),
            }
        }
    };
}

pub(crate) use functions;
pub(crate) use list;

/// All properties of an element.
pub(crate) struct Properties<S> {
    specs: Vec<glib::ParamSpec>,
    rows: Vec<Property<S>>,
}

impl<S: Clone + Default + std::fmt::Debug + 'static> Properties<S> {
    pub(crate) fn new(rows: Vec<Property<S>>) -> Self {
        let specs = rows.iter().map(|row| row.spec.clone()).collect();
        Self { specs, rows }
    }

    /// For GObject.
    pub(crate) fn specs(&self) -> &[glib::ParamSpec] {
        &self.specs
    }

    fn access(&self, spec: &glib::ParamSpec) -> Option<&(Get<S>, Set<S>)> {
        let row = self
            .rows
            .iter()
            .find(|row| row.spec.name() == spec.name())?;
        row.access.as_ref()
    }

    /// The value of a property, unless the element answers it itself.
    pub(crate) fn get(&self, settings: &Mutex<S>, spec: &glib::ParamSpec) -> glib::Value {
        let mut settings = lock(settings).clone();
        match self.access(spec) {
            Some((get, _)) => get(&mut settings),
            None => spec.default_value().clone(),
        }
    }

    /// Sets a property, and returns the settings before and after. One that cannot be set any more is refused with
    /// a warning on the bus.
    pub(crate) fn set(
        &self,
        element: &impl IsA<gst::Element>,
        settings: &Mutex<S>,
        value: &glib::Value,
        spec: &glib::ParamSpec,
    ) -> Option<[S; 2]> {
        let (_, set) = self.access(spec)?;
        // While READY becomes PAUSED, the element may have read its settings.
        let (result, current, pending) = element.state(gst::ClockTime::ZERO);
        let starts = result.is_ok() && current == gst::State::Ready && pending > current;
        let is_running = starts || current > gst::State::Ready;
        if is_running && spec.flags().contains(gst::PARAM_FLAG_MUTABLE_READY) {
            gst::element_warning!(
                element,
                gst::ResourceError::Settings,
                (
                    "The property '{}' stays as it is: it can be set in NULL and READY only",
                    spec.name()
                )
            );
            return None;
        }
        let mut settings = lock(settings);
        let before = settings.clone();
        set(&mut settings, value);
        gst::info!(
            gst::CAT_RUST,
            obj = element,
            "{} = {value:?}: {settings:?}",
            spec.name()
        );
        Some([before, settings.clone()])
    }
}
