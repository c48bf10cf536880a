//! Resolving names on a thread that may block.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::kernel::error::{IoError, Op};
use crate::task::endpoint::{Endpoint, ToEndpoint};
use crate::task::error::{Error, JobError, WaitError};
use crate::task::handle::{Handle, begin};

impl Handle<'_> {
    /// Returns the addresses of a name with a port, such as `example.org:443`, in the order of preference. An address is
    /// its own result, and needs no thread.
    ///
    /// The system's resolver can take any time, and can't be interrupted: use a
    /// [timeout](crate::task::Handle::timeout). A resolver that hangs occupies one of the threads for
    /// [blocking calls](Self::blocking) until it returns.
    ///
    /// # Errors
    ///
    /// Fails with the name and an [`IoError`]: `Unresolved` if it has no address, `Invalid` if the text is no name with
    /// a port, `Unsupported` if the host resolves no names, and `NoRoom` if it has no thread for the call.
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use sinbin_core::task::{Error, Handle};
    /// async fn show(handle: Handle<'_>) -> Result<(), Error> {
    ///     let found = handle.timeout(Duration::from_secs(5), handle.resolve("example.org:443")).await??;
    ///     println!("{found:?}");
    ///     Ok(())
    /// }
    /// ```
    pub async fn resolve(self, name: impl ToEndpoint) -> Result<Vec<SocketAddr>, Error> {
        begin(self).await?;
        let endpoint = name.to_endpoint();
        let failed = |error| Error::endpoint(Op::Resolve, endpoint, error);
        let (host, port) = match endpoint {
            Endpoint::Address(address) => return Ok(Vec::from([address])),
            Endpoint::Name { host, port } => (String::from(host), port),
            Endpoint::Path(_) | Endpoint::Invalid(_) => return Err(failed(IoError::Invalid)),
        };
        let resolver = self.run_context().with(|ops| ops.resolver())?;
        let resolver = resolver.ok_or_else(|| failed(IoError::Unsupported))?;
        match self.blocking(move || resolver.resolve(&host, port)).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(Err(error)) => Err(failed(error)),
            Ok(Ok(_)) | Err(JobError::Failed) => Err(failed(IoError::Unresolved)),
            Err(JobError::Wait(WaitError::Full)) => Err(failed(IoError::NoRoom)),
            Err(JobError::Wait(refused)) => Err(refused.into()),
        }
    }
}
