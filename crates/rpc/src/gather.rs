//! Messages that are ready at the same time leave in one write. HTTP/2 flushes as soon as a stream has something to send, and the
//! scheduler runs whoever was woken last first: without this, each of a hundred answers to one commit is a system call of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// A connection that lets everyone else who is ready run once before it writes.
#[derive(Debug)]
pub struct Gather<S> {
    inner: S,
    /// The others have had their turn, and what is written now goes out until it is flushed.
    gathered: bool,
}

impl<S> Gather<S> {
    /// Over this connection.
    pub fn new(inner: S) -> Self {
        Self { inner, gathered: false }
    }

    /// The connection itself.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// A task that wakes itself while it runs goes behind those that are ready.
    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.gathered {
            return Poll::Ready(());
        }
        self.gathered = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_gathered(cx));
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_gathered(cx));
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gathered = false;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: Connected> Connected for Gather<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.inner.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn who_is_ready_runs_before_anything_is_written() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut gather = Gather::new(near);
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let ran = Arc::clone(&ran);
            tokio::spawn(async move { ran.fetch_add(1, Ordering::Relaxed) });
        }
        gather.write_all(b"one").await.unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 10);
        gather.flush().await.unwrap();
        let mut read = [0; 3];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"one");
    }

    #[tokio::test]
    async fn more_than_fits_at_once_arrives_whole() {
        let (near, mut far) = tokio::io::duplex(16);
        let sent: Vec<u8> = (0..10_000u32).map(|number| number as u8).collect();
        let copy = sent.clone();
        tokio::spawn(async move {
            let mut gather = Gather::new(near);
            for part in copy.chunks(777) {
                gather.write_all(part).await.unwrap();
                gather.flush().await.unwrap();
            }
            gather.shutdown().await.unwrap();
        });
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, sent);
    }
}
