//! The registered workers, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use runtime_core::name::WorkerName;
use runtime_core::worker::WorkerDescriptor;

/// One cache for the whole runtime: built before the tree and shared, so that no restart makes a second, empty one.
#[derive(Debug, Default)]
pub struct TemplateCache {
    registered: RwLock<Arc<BTreeMap<WorkerName, Arc<WorkerDescriptor>>>>,
}

impl TemplateCache {
    /// Takes the descriptors that the apps registered, in place of those before.
    pub fn refresh(&self, descriptors: impl IntoIterator<Item = Arc<WorkerDescriptor>>) {
        let fresh = descriptors.into_iter().map(|descriptor| (descriptor.name.clone(), descriptor)).collect();
        *self.registered.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
    }

    /// One worker.
    pub fn get(&self, worker: &WorkerName) -> Option<Arc<WorkerDescriptor>> {
        self.all().get(worker).cloned()
    }

    /// A worker as it is configured now; as it was declared while it is not registered.
    pub fn current(&self, declared: &Arc<WorkerDescriptor>) -> Arc<WorkerDescriptor> {
        self.get(&declared.name).unwrap_or_else(|| declared.clone())
    }

    /// All workers.
    pub fn all(&self) -> Arc<BTreeMap<WorkerName, Arc<WorkerDescriptor>>> {
        self.registered.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
