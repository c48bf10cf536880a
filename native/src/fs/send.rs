//! Sending files.

use std::io;
use std::ops::Range;

use sinbin_core::task::Conn;

use super::File;

impl File<'_> {
    /// Sends a range of the file's bytes on a connection, and returns their number, which is smaller if the file ends
    /// before. On Linux, the system moves them from its cache to the socket, and no byte passes through the process
    /// (`sendfile`). A read of the disk then happens on the loop: for files that are seldom in the system's cache, use
    /// [`read_at`](Self::read_at), as this function does on other systems.
    ///
    /// # Errors
    ///
    /// Fails with the system's error, and as [`Conn::send_all`] and [`read_at`](Self::read_at) do.
    pub async fn send_to(&self, conn: &Conn<'_>, range: Range<u64>) -> io::Result<u64> {
        #[cfg(target_os = "linux")]
        return sendfile::send(&self.file, conn, range).await;
        #[cfg(not(target_os = "linux"))]
        return self.copy_to(conn, range).await;
    }

    /// Sends a range of the file's bytes by reading them on a thread.
    #[cfg(not(target_os = "linux"))]
    async fn copy_to(&self, conn: &Conn<'_>, range: Range<u64>) -> io::Result<u64> {
        /// The number of bytes that are read at a time.
        const PIECE: u64 = 128 * 1024;
        let mut at = range.start;
        while at < range.end {
            let limit = usize::try_from(PIECE.min(range.end - at)).unwrap_or(0);
            let bytes = self.read_at(at, limit).await?;
            if bytes.is_empty() {
                break;
            }
            conn.send_all(&bytes).await?;
            at += bytes.len() as u64;
        }
        Ok(at - range.start)
    }
}

#[cfg(target_os = "linux")]
mod sendfile {
    use std::net::TcpStream;
    use std::{fs, io};

    use sinbin_core::IoError;
    use sinbin_core::task::Conn;

    use super::Range;

    /// The maximum number of bytes of a call: other tasks run between two calls.
    const PIECE: u64 = 1 << 20;

    pub(super) async fn send(file: &fs::File, conn: &Conn<'_>, range: Range<u64>) -> io::Result<u64> {
        let mut offset = range.start;
        while offset < range.end {
            let limit = usize::try_from(PIECE.min(range.end - offset)).unwrap_or(0);
            let sent = conn.send_by(|socket| {
                let stream = socket.downcast_ref::<TcpStream>().ok_or(IoError::Unsupported)?;
                let sent = rustix::fs::sendfile(stream, file, Some(&mut offset), limit);
                sent.map_err(|error| io::Error::from(error).into())
            });
            if sent.await? == 0 {
                break;
            }
        }
        Ok(offset - range.start)
    }
}
