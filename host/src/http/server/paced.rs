use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

use super::{bare, seat::Seat};

/// A connection that notes when a request begins, and that gives up a client who takes nothing of what is written.
pub struct Paced {
    stream: TcpStream,
    seat: Arc<Seat>,
    patience: Duration,
    /// Since a write was refused.
    stuck: Option<Pin<Box<Sleep>>>,
    /// What is written in place of an answer of hyper's own, and how far it is.
    instead: Option<(String, usize)>,
}

impl Paced {
    pub fn new(stream: TcpStream, seat: Arc<Seat>, patience: Duration) -> Self {
        Self { stream, seat, patience, stuck: None, instead: None }
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.stream), cx) {
            self.stuck = None;
            self.seat.wrote(written.as_ref().copied().unwrap_or_default());
            return Poll::Ready(written);
        }
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stuck.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Writes the other answer out, then says that the whole of hyper's was taken.
    fn write_instead(&mut self, cx: &mut Context<'_>, all: usize) -> Poll<io::Result<usize>> {
        while let Some((text, at)) = self.instead.take() {
            let written =
                self.write(cx, |stream, cx| stream.poll_write(cx, text.as_bytes().get(at..).unwrap_or_default()));
            let now = match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => at + count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.instead = Some((text, at));
                    return Poll::Pending;
                }
            };
            if now < text.len() {
                self.instead = Some((text, now));
            }
        }
        Poll::Ready(Ok(all))
    }
}

impl AsyncRead for Paced {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.seat.read(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Paced {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.instead.is_none() {
            this.instead = bare::dressed(bytes).map(|text| (text, 0));
        }
        if this.instead.is_some() {
            return this.write_instead(cx, bytes.len());
        }
        this.write(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // An answer of hyper's own stands alone.
        if let [only] = parts {
            return Pin::new(this).poll_write(cx, only);
        }
        this.write(cx, |stream, cx| stream.poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
