//! A macro for hosts that do no I/O.

/// Implements the required methods of [`Host`](sinbin_core::Host) for a host whose tasks do no I/O.
#[macro_export]
macro_rules! no_io {
    () => {
        fn accept(
            &mut self,
            _: sinbin_core::SourceId,
            _: sinbin_core::SourceId,
        ) -> Result<(), sinbin_core::IoError> {
            Err(sinbin_core::IoError::Unsupported)
        }

        fn recv(&mut self, _: sinbin_core::SourceId, _: &mut [u8]) -> Result<usize, sinbin_core::IoError> {
            Err(sinbin_core::IoError::Unsupported)
        }

        fn send(&mut self, _: sinbin_core::SourceId, _: &[u8]) -> Result<usize, sinbin_core::IoError> {
            Err(sinbin_core::IoError::Unsupported)
        }

        fn close(&mut self, _: sinbin_core::SourceId) {}

        fn serve(&mut self, _: sinbin_core::SourceId, _: sinbin_core::SourceId) -> Self::Task {
            unreachable!("nothing is accepted")
        }
    };
}
