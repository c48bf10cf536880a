//! `wasi:io/streams`: the streams of connections, of the standard streams and of files.
//!
//! A stream is a number. Those of connections and stdin are the indexes of their sources, and those of stdout and stderr
//! are indexes of [`Stdio`](super::stdio::Stdio). Streams of files belong to wasmtime-wasi: they are always ready, and
//! an operation on them blocks the guest, as it does on most systems.

use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, recv};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sync::io::streams::{
    self, Host, HostInputStream, HostOutputStream, InputStream, OutputStream,
};
use wasmtime_wasi::p2::{DynPollable, StreamError, StreamResult};
use wasmtime_wasi::runtime::in_tokio;

use super::Guest;
use super::io::Io;
use super::poll::Pollable;
use super::sources::{Kind, Part, Source, handle};
use super::stdio::Which;
use super::stream::{LARGE, SMALL, receive};

/// The bit of the numbers of streams that belong to this host. Those of files, which belong to wasmtime-wasi, are small.
const OWN: u32 = 1 << 31;

/// The bit of the numbers of stdout and stderr.
const STANDARD: u32 = 1 << 30;

/// The stream that a number refers to.
enum Stream {
    Source(u32),
    Standard(u32),
    File,
}

impl Stream {
    #[inline]
    const fn of(number: u32) -> Self {
        match (number & OWN, number & STANDARD) {
            (0, _) => Self::File,
            (_, 0) => Self::Source(number & !OWN),
            _ => Self::Standard(number & !(OWN | STANDARD)),
        }
    }
}

/// Creates the handle of a source's input.
pub(super) fn input_of(index: u32) -> Resource<InputStream> {
    Resource::new_own(OWN | index)
}

/// Creates the handle of a source's output.
pub(super) fn output_of(index: u32) -> Resource<OutputStream> {
    Resource::new_own(OWN | index)
}

/// Creates the handle of stdout or stderr.
pub(super) fn standard(index: u32) -> Resource<OutputStream> {
    Resource::new_own(OWN | STANDARD | index)
}

fn length(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

fn zeros(len: u64) -> StreamResult<Vec<u8>> {
    match usize::try_from(len) {
        // A permit is never larger.
        Ok(len) if len <= LARGE => Ok(vec![0; len]),
        _ => Err(StreamError::trap("the guest wrote more zeros than it was permitted to")),
    }
}

fn trap(error: wasmtime::Error) -> StreamError {
    StreamError::Trap(error)
}

impl Io {
    /// Reads up to `most` bytes from a source.
    pub(super) fn read(&mut self, index: u32, most: usize) -> StreamResult<Vec<u8>> {
        // Without readiness, the source may have changed since the last poll.
        self.try_again(index, Part::Input).map_err(trap)?;
        let Source { descriptor, ready, kind, .. } = self.sources.of(index).map_err(trap)?;
        match kind {
            Kind::Tcp(tcp) => receive(most, ready, &mut tcp.input_ended, true, |bytes| {
                recv(&*descriptor, spare_capacity(bytes), RecvFlags::DONTWAIT).map(|(count, _)| count)
            }),
            Kind::Stdin(stdin) => {
                let mut has_ended = stdin.has_ended;
                let bytes = receive(most, ready, &mut has_ended, false, |bytes| {
                    stdin.read(descriptor.as_fd(), bytes)
                });
                stdin.has_ended = has_ended;
                bytes
            }
            Kind::Listener(_) | Kind::Udp(_) => Err(StreamError::Closed),
        }
    }

    /// Reads at least one byte from a source.
    fn read_blocking(&mut self, index: u32, most: usize) -> StreamResult<Vec<u8>> {
        loop {
            let bytes = self.read(index, most)?;
            if most == 0 || !bytes.is_empty() {
                return Ok(bytes);
            }
            self.wait_for(index, Part::Input).map_err(trap)?;
        }
    }

    fn check_write(&mut self, index: u32) -> StreamResult<usize> {
        self.try_again(index, Part::Output).map_err(trap)?;
        let (unsent, most) = (self.sources.unsent, self.sources.most.unsent);
        let Source { ready, kind, .. } = self.sources.of(index).map_err(trap)?;
        let Kind::Tcp(tcp) = kind else { return Err(StreamError::Closed) };
        let before = tcp.output.give_back_permit();
        let checked = tcp.output.check(*ready, most.saturating_sub(unsent - before));
        let counted = checked.as_ref().map_or(0, |(_, counted)| *counted);
        self.sources.unsent = unsent - before + counted;
        checked.map(|(permit, _)| permit)
    }

    fn write(&mut self, index: u32, bytes: &[u8]) -> StreamResult<()> {
        let Source { descriptor, ready, kind, .. } = self.sources.of(index).map_err(trap)?;
        let Kind::Tcp(tcp) = kind else { return Err(StreamError::Closed) };
        let before = tcp.output.permitted();
        let written = tcp.output.write(descriptor.as_fd(), bytes, ready);
        let used = before - tcp.output.permitted();
        self.sources.unsent = self.sources.unsent - used + written.as_ref().copied().unwrap_or(0);
        written.map(drop)
    }

    fn flush(&mut self, index: u32) -> StreamResult<()> {
        match &mut self.sources.of(index).map_err(trap)?.kind {
            Kind::Tcp(tcp) => tcp.output.flush(),
            _ => Err(StreamError::Closed),
        }
    }

    /// Waits until a write is permitted, and returns how many bytes it may have.
    fn permit(&mut self, index: u32) -> StreamResult<usize> {
        loop {
            match self.check_write(index)? {
                0 => self.wait_for(index, Part::Output).map_err(trap)?,
                permit => return Ok(permit),
            }
        }
    }

    fn write_blocking(&mut self, index: u32, bytes: &[u8]) -> StreamResult<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let permit = self.permit(index)?.min(rest.len());
            let (piece, others) = rest.split_at(permit);
            self.write(index, piece)?;
            rest = others;
        }
        self.flush_blocking(index)
    }

    fn flush_blocking(&mut self, index: u32) -> StreamResult<()> {
        // If writing has closed the stream, the next operation reports it.
        match self.flush(index).and_then(|()| self.permit(index)) {
            Ok(_) | Err(StreamError::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Guest {
    /// Waits for capacity of stdout, and writes a piece.
    fn write_standard(&mut self, index: u32, bytes: &[u8]) -> StreamResult<()> {
        for piece in bytes.chunks(SMALL) {
            while self.io.stdio.check(index)? < piece.len() {
                self.io.wait_for_stdout().map_err(trap)?;
            }
            self.io.stdio.write(index, piece)?;
        }
        Ok(())
    }
}

impl Host for Guest {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        match error {
            StreamError::Closed => Ok(streams::StreamError::Closed),
            StreamError::LastOperationFailed(error) => {
                Ok(streams::StreamError::LastOperationFailed(self.table.push(error)?))
            }
            StreamError::Trap(error) => Err(error),
        }
    }
}

impl HostInputStream for Guest {
    fn read(&mut self, stream: Resource<InputStream>, len: u64) -> StreamResult<Vec<u8>> {
        match Stream::of(stream.rep()) {
            Stream::Source(index) => self.io.read(index, length(len)),
            Stream::File => self.read_file(&stream, len),
            Stream::Standard(_) => Err(StreamError::Closed),
        }
    }

    fn blocking_read(&mut self, stream: Resource<InputStream>, len: u64) -> StreamResult<Vec<u8>> {
        match Stream::of(stream.rep()) {
            Stream::Source(index) => self.io.read_blocking(index, length(len)),
            Stream::File => self.read_file(&stream, len),
            Stream::Standard(_) => Err(StreamError::Closed),
        }
    }

    fn skip(&mut self, stream: Resource<InputStream>, len: u64) -> StreamResult<u64> {
        self.read(stream, len).map(|bytes| bytes.len() as u64)
    }

    fn blocking_skip(&mut self, stream: Resource<InputStream>, len: u64) -> StreamResult<u64> {
        self.blocking_read(stream, len).map(|bytes| bytes.len() as u64)
    }

    fn subscribe(&mut self, stream: Resource<InputStream>) -> Result<Resource<DynPollable>> {
        match Stream::of(stream.rep()) {
            Stream::Source(index) => self.io.subscribe_to(index, Part::Input),
            Stream::Standard(_) | Stream::File => self.io.subscribe(Pollable::Always),
        }
    }

    fn drop(&mut self, stream: Resource<InputStream>) -> Result<()> {
        match Stream::of(stream.rep()) {
            Stream::Source(index) => self.io.release(index, handle::INPUT),
            Stream::Standard(_) => {}
            Stream::File => HostInputStream::drop(&mut self.table, stream)?,
        }
        Ok(())
    }
}

impl HostOutputStream for Guest {
    fn check_write(&mut self, stream: Resource<OutputStream>) -> StreamResult<u64> {
        let permit = match Stream::of(stream.rep()) {
            Stream::Source(index) => self.io.check_write(index)?,
            Stream::Standard(index) => self.io.stdio.check(index)?,
            Stream::File => self.check_file(&stream)?,
        };
        Ok(permit as u64)
    }

    fn write(&mut self, stream: Resource<OutputStream>, contents: Vec<u8>) -> StreamResult<()> {
        match Stream::of(stream.rep()) {
            Stream::Source(index) => self.io.write(index, &contents),
            Stream::Standard(index) => self.io.stdio.write(index, &contents),
            Stream::File => HostOutputStream::write(&mut self.table, stream, contents),
        }
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<OutputStream>,
        contents: Vec<u8>,
    ) -> StreamResult<()> {
        if contents.len() > SMALL {
            return Err(StreamError::trap("the guest wrote more than 4096 bytes in one blocking call"));
        }
        match Stream::of(stream.rep()) {
            Stream::Source(index) => self.io.write_blocking(index, &contents),
            Stream::Standard(index) => self.write_standard(index, &contents),
            Stream::File => HostOutputStream::blocking_write_and_flush(&mut self.table, stream, contents),
        }
    }

    fn flush(&mut self, stream: Resource<OutputStream>) -> StreamResult<()> {
        match Stream::of(stream.rep()) {
            Stream::Source(index) => self.io.flush(index),
            Stream::Standard(_) => Ok(()),
            Stream::File => HostOutputStream::flush(&mut self.table, stream),
        }
    }

    fn blocking_flush(&mut self, stream: Resource<OutputStream>) -> StreamResult<()> {
        match Stream::of(stream.rep()) {
            Stream::Source(index) => {
                self.io.flush(index)?;
                self.io.permit(index).map(drop)
            }
            Stream::Standard(_) => Ok(()),
            Stream::File => HostOutputStream::blocking_flush(&mut self.table, stream),
        }
    }

    fn subscribe(&mut self, stream: Resource<OutputStream>) -> Result<Resource<DynPollable>> {
        match Stream::of(stream.rep()) {
            Stream::Source(index) => self.io.subscribe_to(index, Part::Output),
            Stream::Standard(index) if self.io.stdio.which(index) == Some(Which::Out) => {
                self.io.subscribe(Pollable::Stdout)
            }
            Stream::Standard(_) | Stream::File => self.io.subscribe(Pollable::Always),
        }
    }

    fn write_zeroes(&mut self, stream: Resource<OutputStream>, len: u64) -> StreamResult<()> {
        self.write(stream, zeros(len)?)
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<OutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        self.blocking_write_and_flush(stream, zeros(len)?)
    }

    fn splice(
        &mut self,
        stream: Resource<OutputStream>,
        source: Resource<InputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        let len = self.check_write(Resource::new_borrow(stream.rep()))?.min(len);
        if len == 0 {
            return Ok(0);
        }
        let bytes = self.read(source, len)?;
        let count = bytes.len() as u64;
        if count > 0 {
            self.write(stream, bytes)?;
        }
        Ok(count)
    }

    fn blocking_splice(
        &mut self,
        stream: Resource<OutputStream>,
        source: Resource<InputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        let piece = len.min(SMALL as u64);
        // The output is ready before any byte is taken from the input.
        match Stream::of(stream.rep()) {
            Stream::Source(index) => drop(self.io.permit(index)?),
            Stream::Standard(_) | Stream::File => {}
        }
        let bytes = self.blocking_read(source, piece)?;
        let count = bytes.len() as u64;
        if count > 0 {
            self.blocking_write_and_flush(stream, bytes)?;
        }
        Ok(count)
    }

    fn drop(&mut self, stream: Resource<OutputStream>) -> Result<()> {
        match Stream::of(stream.rep()) {
            Stream::Source(index) => self.io.release(index, handle::OUTPUT),
            Stream::Standard(index) => {
                self.io.uncount();
                self.io.stdio.close(index);
            }
            Stream::File => HostOutputStream::drop(&mut self.table, stream)?,
        }
        Ok(())
    }
}

/// Streams of files, which belong to wasmtime-wasi.
impl Guest {
    /// Reads from a file. Like on most systems, that blocks. Without that, a guest could not wait for a file.
    fn read_file(&mut self, stream: &Resource<InputStream>, len: u64) -> StreamResult<Vec<u8>> {
        HostInputStream::blocking_read(&mut self.table, Resource::new_borrow(stream.rep()), len)
    }

    /// Returns how many bytes a write to a file may have, once the previous one has completed.
    fn check_file(&mut self, stream: &Resource<OutputStream>) -> StreamResult<usize> {
        let file = self.table.get_mut(stream)?;
        in_tokio(async { file.write_ready().await })
    }
}
