use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;

/// Names beyond these are counted together.
const MOST: usize = 1_000;
const OTHER: &str = "other";

/// Handles by name. One that is known is found without a lock and without an allocation.
#[derive(Debug)]
pub(super) struct Table<T> {
    known: ArcSwap<HashMap<Box<str>, Arc<T>>>,
    grows: Mutex<()>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { known: ArcSwap::from_pointee(HashMap::new()), grows: Mutex::default() }
    }
}

impl<T> Table<T> {
    pub fn get(&self, name: &str, make: impl FnOnce(&str) -> T) -> Arc<T> {
        if let Some(found) = self.known.load().get(name) {
            return Arc::clone(found);
        }
        self.add(name, make)
    }

    fn add(&self, name: &str, make: impl FnOnce(&str) -> T) -> Arc<T> {
        let _alone = self.grows.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.load_full();
        let name = if known.len() < MOST || known.contains_key(name) { name } else { OTHER };
        if let Some(found) = known.get(name) {
            return Arc::clone(found);
        }
        let made = Arc::new(make(name));
        let mut more = HashMap::clone(&known);
        more.insert(name.into(), Arc::clone(&made));
        self.known.store(Arc::new(more));
        made
    }

    pub fn for_each(&self, mut with: impl FnMut(&T)) {
        self.known.load().values().for_each(|one| with(one));
    }
}
