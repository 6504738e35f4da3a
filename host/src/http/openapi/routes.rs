use axum::{Router, routing::MethodRouter};

use crate::http::State;

/// Routes, and their paths beside them: a router does not tell what it has.
#[derive(Default)]
pub(in crate::http) struct Routes {
    router: Router<State>,
    paths: Vec<&'static str>,
}

impl Routes {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn route(mut self, path: &'static str, methods: MethodRouter<State>) -> Self {
        self.router = self.router.route(path, methods);
        self.paths.push(path);
        self
    }

    pub fn into_router(self) -> Router<State> {
        self.router
    }

    #[cfg(test)]
    pub fn paths(&self) -> &[&'static str] {
        &self.paths
    }
}
