//! Reading through a buffer of fixed size.

use core::fmt;
use core::future::poll_fn;
use core::ops::Range;
use core::task::{Context, Poll};

use crate::task::conn::Conn;
use crate::task::error::Error;
#[cfg(feature = "alloc")]
use crate::task::halves::RecvHalf;

/// A stream of bytes that a task receives: a connection, a reference to one, or a half of one.
pub trait ByteSource {
    /// Receives into `buffer`, or registers a wait of the task. Returns the number of bytes; 0 means the end of the
    /// stream, or an empty buffer. The wait continues from poll to poll.
    ///
    /// # Errors
    ///
    /// Fails if the source has failed, or if the task must not wait.
    fn poll_recv(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>>;

    /// Receives into `buffer`, as [`poll_recv`](Self::poll_recv) does. A dropped operation has received nothing.
    ///
    /// # Errors
    ///
    /// Fails as [`poll_recv`](Self::poll_recv) does.
    fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, Error>> {
        poll_fn(|context| self.poll_recv(context, buffer))
    }
}

impl ByteSource for Conn<'_> {
    #[inline]
    fn poll_recv(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        Self::poll_recv(self, context, buffer)
    }

    /// Receives as [`Conn::recv`] does. The wait ends when the operation is dropped.
    #[inline]
    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        Self::recv(self, buffer).await
    }
}

#[cfg(feature = "alloc")]
impl ByteSource for RecvHalf<'_> {
    #[inline]
    fn poll_recv(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        self.conn().poll_recv(context, buffer)
    }

    #[inline]
    fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, Error>> {
        ByteSource::recv(self.conn(), buffer)
    }
}

impl<S: ByteSource + ?Sized> ByteSource for &S {
    #[inline]
    fn poll_recv(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        (**self).poll_recv(context, buffer)
    }

    #[inline]
    fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, Error>> {
        (**self).recv(buffer)
    }
}

/// A reader with a buffer, which bounds the lines that it accepts. The buffer is an array, a slice, or memory on the
/// heap, and never grows.
///
/// A dropped operation loses no bytes: the next one continues with them. ([`read_exact`](Self::read_exact) is the
/// exception.)
///
/// ```
/// use sinbin_core::task::{BufReader, Conn, Error};
///
/// /// Receives a line with a length, and then as many bytes.
/// async fn receive(conn: &Conn<'_>) -> Result<[u8; 16], Error> {
///     let mut reader = BufReader::new(conn, [0; 80]);
///     let mut body = [0; 16];
///     if reader.next_line().await? == Some(b"16") {
///         reader.read_exact(&mut body).await?;
///     }
///     Ok(body)
/// }
/// ```
pub struct BufReader<S, B> {
    source: S,
    buffer: B,
    /// The bytes of the buffer that were received and not consumed.
    filled: Range<usize>,
    /// True if the rest of a line that was too long is to be discarded.
    skips: bool,
}

impl<S, B: AsRef<[u8]> + AsMut<[u8]>> BufReader<S, B> {
    /// Creates a reader of `source` with an empty buffer.
    #[must_use]
    pub const fn new(source: S, buffer: B) -> Self {
        Self { source, buffer, filled: 0..0, skips: false }
    }

    /// Returns the source. Bytes in the buffer are no longer available from it.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.source
    }

    /// Returns the bytes that were received and not consumed.
    #[must_use]
    #[inline]
    pub fn buffered(&self) -> &[u8] {
        &self.buffer.as_ref()[self.filled.clone()]
    }

    /// Removes the first `count` bytes of the buffer, or all bytes if it contains fewer.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.filled.start = self.filled.start.saturating_add(count).min(self.filled.end);
        if self.filled.is_empty() {
            self.filled = 0..0;
        }
    }

    /// Returns the source and the buffer. Bytes in the buffer are lost unless [`buffered`](Self::buffered) was used.
    #[must_use]
    pub fn into_parts(self) -> (S, B) {
        (self.source, self.buffer)
    }

    /// Returns the unused part of the buffer, which is empty if the buffer is full.
    fn spare(&mut self) -> &mut [u8] {
        let buffer = self.buffer.as_mut();
        if self.filled.start > 0 && self.filled.end == buffer.len() {
            buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        &mut buffer[self.filled.end..]
    }
}

impl<S: ByteSource, B: AsRef<[u8]> + AsMut<[u8]>> BufReader<S, B> {
    /// Receives more bytes into the buffer. Returns their number; 0 means the end of the stream, or a full buffer.
    ///
    /// # Errors
    ///
    /// Fails if the source fails.
    pub async fn fill(&mut self) -> Result<usize, Error> {
        self.spare();
        let count = self.source.recv(&mut self.buffer.as_mut()[self.filled.end..]).await?;
        self.filled.end += count;
        Ok(count)
    }

    /// Receives into an empty buffer, or registers a wait of the task. Returns the bytes in the buffer; none are
    /// available at the end of the stream only.
    ///
    /// # Errors
    ///
    /// Fails if the source fails.
    pub fn poll_fill_buf(&mut self, context: &Context<'_>) -> Poll<Result<&[u8], Error>> {
        if self.filled.is_empty() {
            match self.source.poll_recv(context, self.buffer.as_mut()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(received) => self.filled = 0..received?,
            }
        }
        Poll::Ready(Ok(self.buffered()))
    }

    /// Receives up to `into.len()` bytes, from the buffer if it contains any. Returns the number of bytes; 0 means the
    /// end of the stream, or an empty slice.
    ///
    /// # Errors
    ///
    /// Fails if the source fails.
    pub async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        if self.filled.is_empty() {
            if into.len() >= self.buffer.as_ref().len() {
                return self.source.recv(into).await;
            }
            self.fill().await?;
        }
        Ok(self.take(into))
    }

    /// Moves bytes of the buffer to `into`, and returns their number.
    pub(crate) fn take(&mut self, into: &mut [u8]) -> usize {
        let bytes = self.buffered();
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        count
    }

    /// Receives exactly `into.len()` bytes. A dropped operation may have received some of them.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Ended`] if the stream ends before, and fails if the source fails.
    pub async fn read_exact(&mut self, into: &mut [u8]) -> Result<(), Error> {
        let mut read = 0;
        while read < into.len() {
            match self.read(&mut into[read..]).await? {
                0 => return Err(Error::Ended),
                count => read += count,
            }
        }
        Ok(())
    }

    /// Receives up to the next `delimiter`. Returns the bytes with it, or without it if the stream ends before, and
    /// `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// Returns [`Error::TooLong`] if the buffer is full and does not contain the delimiter. Its bytes stay in the
    /// buffer. Fails if the source fails.
    pub async fn read_until(&mut self, delimiter: u8) -> Result<Option<&[u8]>, Error> {
        let (range, _) = self.find(delimiter).await?;
        Ok((!range.is_empty()).then(|| &self.buffer.as_ref()[range]))
    }

    /// Receives the next line, and returns it without its end (`\n` or `\r\n`). The last line may have no end. Returns
    /// `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// Returns [`Error::TooLong`] if a line, including its end, does not fit into the buffer. The next call discards
    /// the rest of that line, and returns the line after it. Fails if the source fails.
    pub async fn next_line(&mut self) -> Result<Option<&[u8]>, Error> {
        loop {
            match self.find(b'\n').await {
                Err(error @ Error::TooLong { limit }) => {
                    self.consume(usize::MAX);
                    if !core::mem::replace(&mut self.skips, true) || limit == 0 {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
                Ok(_) if self.skips => self.skips = false,
                Ok((range, _)) if range.is_empty() => return Ok(None),
                Ok((range, has_end)) => {
                    let line = &self.buffer.as_ref()[range];
                    let line = if has_end { &line[..line.len() - 1] } else { line };
                    return Ok(Some(if has_end { line.strip_suffix(b"\r").unwrap_or(line) } else { line }));
                }
            }
        }
    }

    /// Receives up to the next `delimiter`, and consumes the bytes. Returns where they are in the buffer until the next
    /// operation, and true if the delimiter is the last of them.
    async fn find(&mut self, delimiter: u8) -> Result<(Range<usize>, bool), Error> {
        let mut searched = 0;
        loop {
            let found = self.buffered()[searched..].iter().position(|byte| *byte == delimiter);
            if let Some(found) = found {
                return Ok((self.consume_range(searched + found + 1), true));
            }
            searched = self.filled.len();
            if self.spare().is_empty() {
                return Err(Error::TooLong { limit: self.buffer.as_ref().len() });
            }
            if self.fill().await? == 0 {
                return Ok((self.consume_range(self.filled.len()), false));
            }
        }
    }

    /// Consumes the first `count` bytes, and returns their range. They stay in place until the next operation.
    fn consume_range(&mut self, count: usize) -> Range<usize> {
        let start = self.filled.start;
        self.consume(count);
        start..start + count
    }
}

impl<S, B> fmt::Debug for BufReader<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufReader").field("filled", &self.filled).finish_non_exhaustive()
    }
}

/// The lines of a stream, from [`Conn::lines`].
#[derive(Debug)]
pub struct Lines<S, B> {
    reader: BufReader<S, B>,
}

impl<S: ByteSource, B: AsRef<[u8]> + AsMut<[u8]>> Lines<S, B> {
    /// Creates the lines of `source`, which have to fit into `buffer` one at a time.
    #[must_use]
    pub const fn new(source: S, buffer: B) -> Self {
        Self { reader: BufReader::new(source, buffer) }
    }

    /// Receives the next line, and returns it without its end: see [`BufReader::next_line`].
    ///
    /// # Errors
    ///
    /// Fails as [`BufReader::next_line`] does.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        self.reader.next_line().await
    }

    /// Returns the reader, for a stream that does not consist of lines from here on.
    #[must_use]
    pub fn into_reader(self) -> BufReader<S, B> {
        self.reader
    }
}

impl<'d> Conn<'d> {
    /// Receives lines through `buffer`, which is an array, a slice, or memory on the heap. A line, including its end
    /// (`\n` or `\r\n`), must fit into it.
    ///
    /// ```
    /// use sinbin_core::task::{Conn, Error};
    ///
    /// /// Answers each line with its length.
    /// async fn lengths(conn: Conn<'_>) -> Result<(), Error> {
    ///     let mut lines = conn.lines([0; 128]);
    ///     loop {
    ///         match lines.next().await {
    ///             Ok(Some(line)) => conn.send_all(&[b'0' + line.len() as u8 % 10, b'\n']).await?,
    ///             Ok(None) => return Ok(()),
    ///             Err(Error::TooLong { .. }) => conn.send_all(b"too long\n").await?,
    ///             Err(error) => return Err(error),
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub const fn lines<B: AsRef<[u8]> + AsMut<[u8]>>(&self, buffer: B) -> Lines<&Self, B> {
        Lines::new(self, buffer)
    }

    /// Receives exactly `buffer.len()` bytes. A dropped operation may have received some of them.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Ended`] if the stream ends before, and fails as [`recv`](Self::recv) does.
    pub async fn recv_exact(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let mut received = 0;
        while received < buffer.len() {
            match self.recv(&mut buffer[received..]).await? {
                0 => return Err(Error::Ended),
                count => received += count,
            }
        }
        Ok(())
    }
}
