//! Connections: taken in, bounded in number and in time, and let go in peace at the end.

mod bare;
mod paced;
mod seat;
mod taken;

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tower::Service;

use self::{
    paced::Paced,
    seat::{Kind, Seat, Seats, Times},
    taken::Taken,
};
use crate::{config::Pressure, lifecycle::Lifecycle};

/// The longest header section that is read at all, in bytes; what is answered has 24 KiB at most (`pressure::guard`). Each
/// connection may hold as much before anybody knows who it is.
const MAX_BUFFER: usize = 32 << 10;
/// Requests at once on one connection of HTTP/2.
const MAX_STREAMS: u32 = 100;
/// When the system has no more sockets to give.
const PAUSE: Duration = Duration::from_secs(1);

/// On the few connections beyond the bound: only health and metrics are answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spare;

/// Serves until the host stops, and then until the requests under way are answered.
pub async fn serve(listener: TcpListener, router: Router, settings: Pressure, lifecycle: Lifecycle) {
    let mut builder = Builder::new(TokioExecutor::new());
    // Times are kept by the seat, which knows of both versions and of what comes before either.
    builder.http1().header_read_timeout(None).max_buf_size(MAX_BUFFER);
    builder.http2().max_header_list_size(MAX_BUFFER as u32).max_concurrent_streams(MAX_STREAMS);
    let times = Times { header: settings.header_timeout, idle: settings.idle_timeout, write: settings.write_timeout };
    let door = Arc::new(Door { builder, router, times, seats: Seats::new(settings.connections), lifecycle });
    let connections = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            stream = accept(&listener) => stream,
            () = door.lifecycle.stopping() => break,
        };
        // Answers are written whole: nothing is gained by waiting for more of them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "a connection keeps its delay");
        }
        match door.seats.take() {
            Some(seat) => drop(connections.spawn(Arc::clone(&door).connection(stream, seat))),
            None => turn_away(stream),
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Of that connection alone.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!(error = %error, "no connection can be accepted for a moment");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Without a word of the client's being read.
fn turn_away(stream: TcpStream) {
    let written = stream.into_std().and_then(|mut stream| io::Write::write_all(&mut stream, bare::full().as_bytes()));
    if let Err(error) = written {
        tracing::debug!(error = %error, "a connection beyond the bound was closed without an answer");
    }
}

struct Door {
    builder: Builder<TokioExecutor>,
    router: Router,
    times: Times,
    seats: Arc<Seats>,
    lifecycle: Lifecycle,
}

impl Door {
    async fn connection(self: Arc<Self>, stream: TcpStream, seat: Arc<Seat>) {
        let (router, of_requests) = (self.router.clone(), Arc::clone(&seat));
        let service = service_fn(move |request: Request<Incoming>| answer(&router, &of_requests, request));
        let io = TokioIo::new(Paced::new(stream, Arc::clone(&seat), self.times.write));
        let mut connection = pin!(self.builder.serve_connection(io, service));
        let mut stopping = pin!(self.lifecycle.stopping());
        let mut is_stopping = false;
        let mut look = pin!(tokio::time::sleep(self.times.header));
        loop {
            tokio::select! {
                served = connection.as_mut() => {
                    if let Err(error) = served {
                        tracing::debug!(error = %error, "a connection ended early");
                    }
                    break;
                }
                () = stopping.as_mut(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = seat.wanted() => {
                    if seat.goes() {
                        break;
                    }
                }
                () = look.as_mut() => match seat.left(&self.times) {
                    Some(left) => look.as_mut().reset(tokio::time::Instant::now() + left),
                    None => break,
                },
            }
        }
    }
}

fn answer(
    router: &Router,
    seat: &Arc<Seat>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Taken>, Infallible>> + Send + use<> {
    // Two pointers: the answer may outlive the call.
    let mut router = router.clone();
    let under_way = Seat::begin(seat);
    let is_spare = seat.kind == Kind::Spare;
    async move {
        let mut request = request.map(Body::new);
        if is_spare {
            request.extensions_mut().insert(Spare);
        }
        let response = router.call(request).await?;
        Ok(response.map(|body| Taken::new(body, under_way)))
    }
}
