// SPDX-License-Identifier: MPL-2.0
//! Lists of execution providers as a user names them, and where the nodes of a graph really went.

use std::{fmt, str::FromStr};

use ort::AsPointer;

use crate::{
    error::{Error, Result},
    provider::ExecutionProvider,
};

/// An ordered list of providers, the first one first asked for each node: `tensorrt,cuda,cpu`.
///
/// The list is a demand, not a wish: every provider in it must be there, and the first must run
/// something, or loading fails, unless [`allow_fallback`](crate::SessionConfig::allow_fallback) is
/// set. Nodes that no provider of the list can run go to the processor even if the list does not
/// name it, as ONNX Runtime has it; [`Assignment`] tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Providers(Vec<ExecutionProvider>);

impl Providers {
    /// The providers in order, at least one.
    pub fn iter(&self) -> impl Iterator<Item = ExecutionProvider> + '_ {
        self.0.iter().copied()
    }

    /// The provider named first.
    #[must_use]
    pub fn first(&self) -> ExecutionProvider {
        self.0.first().copied().unwrap_or(ExecutionProvider::Cpu)
    }
}

impl Default for Providers {
    /// `cpu`.
    fn default() -> Self {
        Self(vec![ExecutionProvider::Cpu])
    }
}

impl fmt::Display for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, provider) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            provider.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for Providers {
    type Err = Error;

    /// Reads names with commas between them, spaces allowed, case ignored.
    ///
    /// # Errors
    /// [`Error::BadProviders`] for an empty list, an unknown name, a name twice, or anything after
    /// `cpu`: the processor takes every node, so what follows it would never run.
    fn from_str(list: &str) -> Result<Self> {
        let bad = |reason: String| Error::BadProviders {
            list: list.to_owned(),
            reason,
        };
        let mut providers = Vec::new();
        for name in list.split(',').map(str::trim) {
            let provider = ExecutionProvider::ALL
                .into_iter()
                .find(|provider| provider.name().eq_ignore_ascii_case(name))
                .ok_or_else(|| {
                    bad(format!(
                        "`{name}` is none of tensorrt, cuda and cpu, with commas between them"
                    ))
                })?;
            if providers.contains(&provider) {
                return Err(bad(format!("`{provider}` is there twice")));
            }
            if let Some(ExecutionProvider::Cpu) = providers.last() {
                return Err(bad(format!(
                    "`cpu` takes every node, so `{provider}` after it would run none"
                )));
            }
            providers.push(provider);
        }
        Ok(Self(providers))
    }
}

/// A provider that was named and is not used, and why: what a user who allowed the fall-back must
/// still be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The provider that was named.
    pub provider: ExecutionProvider,
    /// Why it is not used.
    pub reason: String,
}

/// How many nodes of the graph run on each provider, as the session really assigned them.
///
/// The nodes are those of the graph after ONNX Runtime's optimisations that come before the
/// assignment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment(Vec<(String, usize)>);

impl Assignment {
    /// Asks a session, which must have been made with `session.record_ep_graph_assignment_info`.
    pub(crate) fn of(session: &ort::session::Session) -> Result<Self> {
        let failed = Error::runtime("tell which provider runs the graph");
        Self::read(session).map_err(failed)
    }

    fn read(session: &ort::session::Session) -> std::result::Result<Self, ort::Error> {
        let api = ort::api();
        let check = |status| {
            // SAFETY: the status was just returned by ONNX Runtime and is used once.
            unsafe { ort::Error::result_from_status(status) }
        };
        let mut subgraphs = std::ptr::null();
        let mut subgraph_count = 0;
        // SAFETY: the session is alive for the whole function, and owns everything the pointers
        // below lead to.
        check(unsafe {
            (api.Session_GetEpGraphAssignmentInfo)(
                session.ptr(),
                &raw mut subgraphs,
                &raw mut subgraph_count,
            )
        })?;
        let mut assignment = Self::default();
        for index in 0..subgraph_count {
            let mut name = std::ptr::null();
            let mut nodes = std::ptr::null();
            let mut node_count = 0;
            // SAFETY: `subgraphs` has `subgraph_count` entries; the results belong to the session.
            check(unsafe {
                let subgraph = *subgraphs.add(index);
                (api.EpAssignedSubgraph_GetNodes)(subgraph, &raw mut nodes, &raw mut node_count)
            })?;
            // SAFETY: as above.
            check(unsafe {
                (api.EpAssignedSubgraph_GetEpName)(*subgraphs.add(index), &raw mut name)
            })?;
            if !name.is_null() {
                // SAFETY: not null, null-terminated, and owned by the session.
                let name = unsafe { std::ffi::CStr::from_ptr(name) };
                assignment.add(&name.to_string_lossy(), node_count);
            }
        }
        Ok(assignment)
    }

    fn add(&mut self, runtime_name: &str, nodes: usize) {
        let name = ExecutionProvider::ALL
            .into_iter()
            .find(|provider| provider.runtime_name() == runtime_name)
            .map_or(runtime_name, |provider| provider.name());
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += nodes,
            None => self.0.push((name.to_owned(), nodes)),
        }
    }

    /// The nodes that run on `provider`.
    #[must_use]
    pub fn nodes(&self, provider: ExecutionProvider) -> usize {
        self.0
            .iter()
            .find(|(name, _)| name == provider.name())
            .map_or(0, |(_, nodes)| *nodes)
    }

    /// The name of the provider that runs the most nodes; `cpu` for a graph without nodes.
    #[must_use]
    pub fn main_provider(&self) -> &str {
        // max_by_key would give the last of equals; the first is the one ONNX Runtime met first.
        self.0
            .iter()
            .rev()
            .max_by_key(|(_, nodes)| *nodes)
            .map_or(ExecutionProvider::Cpu.name(), |(name, _)| name)
    }

    /// Whether no node runs elsewhere than on the processor.
    pub(crate) fn only_processor(&self) -> bool {
        self.0
            .iter()
            .all(|(name, nodes)| name == ExecutionProvider::Cpu.name() || *nodes == 0)
    }

    /// Whether what was asked for is what happens: the provider named first runs a node, or there
    /// is none to run.
    pub(crate) fn serves(&self, first: ExecutionProvider) -> bool {
        first == ExecutionProvider::Cpu
            || self.nodes(first) > 0
            || self.0.iter().all(|(_, nodes)| *nodes == 0)
    }
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no nodes");
        }
        for (index, (name, nodes)) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let plural = if *nodes == 1 { "" } else { "s" };
            write!(f, "{comma}{name}: {nodes} node{plural}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        let providers: Providers = " TensorRT, cuda,cpu".parse().unwrap();
        assert_eq!(providers.to_string(), "tensorrt,cuda,cpu");
        assert_eq!(providers.first(), ExecutionProvider::TensorRt);
        assert_eq!(Providers::default().to_string(), "cpu");
    }

    #[test]
    fn senseless_lists_are_refused_with_their_reason() {
        for (list, part) in [
            ("", "`` is none of"),
            ("cuda,,cpu", "`` is none of"),
            ("gpu", "`gpu` is none of"),
            ("cuda,cuda", "`cuda` is there twice"),
            ("cpu,cuda", "`cuda` after it would run none"),
        ] {
            let error = list.parse::<Providers>().unwrap_err().to_string();
            assert!(error.contains(part), "{list:?}: {error}");
        }
    }

    #[test]
    fn an_assignment_is_counted_by_provider_and_judged_by_the_first_named() {
        let mut assignment = Assignment::default();
        assert!(assignment.serves(ExecutionProvider::Cuda), "nothing to run");
        assignment.add("CPUExecutionProvider", 2);
        assert!(!assignment.serves(ExecutionProvider::Cuda));
        assert!(assignment.serves(ExecutionProvider::Cpu));
        assignment.add("CUDAExecutionProvider", 40);
        assignment.add("CUDAExecutionProvider", 1);
        assert!(assignment.serves(ExecutionProvider::Cuda));
        assert!(!assignment.serves(ExecutionProvider::TensorRt));
        assert_eq!(assignment.to_string(), "cpu: 2 nodes, cuda: 41 nodes");
        assert_eq!(assignment.main_provider(), "cuda");
    }
}
