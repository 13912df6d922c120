// SPDX-License-Identifier: MPL-2.0
//! Structures in custom metas of buffers and in events, which consumers in any language can read.

use std::sync::LazyLock;

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| crate::element::category("dancemeta", "Marks and motion on buffers"));

/// Attaches a meta of that name, which `write` fills.
pub(crate) fn attach(
    buffer: &mut gst::BufferRef,
    name: &str,
    write: impl FnOnce(&mut gst::StructureRef),
) {
    match gst::meta::CustomMeta::add(buffer, name) {
        Ok(mut meta) => write(meta.mut_structure()),
        // Only an unregistered meta ends here, and the plugin registers it at load.
        Err(err) => gst::error!(CAT, "could not attach {name}: {err}"),
    }
}

/// What `read` makes of the metas of that name, in the order in which they were attached; what cannot be read is logged
/// and passed over.
pub(crate) fn read<T, E: std::fmt::Display>(
    buffer: &gst::BufferRef,
    name: &str,
    read: impl Fn(&gst::StructureRef) -> Result<T, E>,
) -> Vec<T> {
    let metas = buffer.iter_meta::<gst::Meta>().filter_map(|meta| {
        let s = meta.try_as_custom_meta()?.structure();
        (s.name() == name).then(|| or_log(read(s))).flatten()
    });
    metas.collect()
}

/// What `read` makes of a serialized downstream event of that name.
pub(crate) fn from_event<T, E: std::fmt::Display>(
    event: &gst::EventRef,
    name: &str,
    read: impl Fn(&gst::StructureRef) -> Result<T, E>,
) -> Option<T> {
    let gst::EventView::CustomDownstream(event) = event.view() else {
        return None;
    };
    let s = event.structure().filter(|s| s.name() == name)?;
    or_log(read(s))
}

/// The value, unless it could not be read.
pub(crate) fn or_log<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<T> {
    result.inspect_err(|err| gst::warning!(CAT, "{err}")).ok()
}
