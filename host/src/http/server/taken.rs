use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::seat::UnderWay;

/// An answer, and whether the client takes it: what it was given and has not come back from is owed.
pub struct Taken {
    body: Body,
    request: UnderWay,
}

impl Taken {
    pub fn new(body: Body, mut request: UnderWay) -> Self {
        request.owe(true);
        Self { body, request }
    }
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        // It came for more.
        this.request.owe(false);
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        this.request.owe(frame.is_some());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
