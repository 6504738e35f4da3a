use super::{
    State, answered, unreadable,
    wit::{
        types::Error,
        upstream::{self, Method, Request, Response},
    },
};
use crate::{config, effects::upstream as provider};

impl upstream::Host for State {
    async fn call(&mut self, r: Request) -> wasmtime::Result<Result<Response, Error>> {
        let method = match r.method {
            Method::Get => config::Method::Get,
            Method::Head => config::Method::Head,
            Method::Post => config::Method::Post,
            Method::Put => config::Method::Put,
            Method::Patch => config::Method::Patch,
            Method::Delete => config::Method::Delete,
        };
        let request = provider::Request {
            upstream: r.upstream,
            method,
            path: r.path,
            query: r.query,
            headers: r.headers,
            body: r.body,
        };
        let passed = self.world.call(|all| &all.upstream, &self.attempt, request).await;
        Ok(match answered(self, passed)? {
            Ok(value) => {
                let provider::Response { status, headers, body } =
                    provider::Response::from_answer(value).ok_or_else(|| unreadable(self))?;
                Ok(Response { status, headers, body })
            }
            Err(error) => Err(error),
        })
    }
}
