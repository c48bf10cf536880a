//! The mirror of `--save`: a file for each page.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use sinbin_crawl::mirror;
use url::Url;

use super::atomic;

/// A directory for pages.
pub(crate) struct Mirror {
    directory: PathBuf,
}

/// Error returned when a page can't be saved.
pub(crate) enum SaveError {
    /// Error returned if no page can be saved any more: the disk is full, for example.
    Ends(String),
    /// Error returned if this page can't be saved.
    Page(String),
}

impl Mirror {
    /// Creates the directory.
    ///
    /// # Errors
    ///
    /// Fails with a message that names the directory.
    pub(crate) fn create(directory: &Path) -> Result<Self, String> {
        fs::create_dir_all(directory)
            .map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// Saves a page.
    ///
    /// # Errors
    ///
    /// Fails with a message that names the file.
    pub(crate) fn save(&self, url: &Url, content_type: Option<&[u8]>, body: &[u8]) -> Result<(), SaveError> {
        let path = self.directory.join(mirror::path(url, content_type));
        let written =
            create_parent(&path).and_then(|()| atomic::write(&path, false, |file| file.write_all(body)));
        written.map_err(|error| {
            let text = format!("cannot save {}: {error}", path.display());
            let ends = [
                ErrorKind::StorageFull,
                ErrorKind::QuotaExceeded,
                ErrorKind::ReadOnlyFilesystem,
                ErrorKind::PermissionDenied,
            ];
            if ends.contains(&error.kind()) { SaveError::Ends(text) } else { SaveError::Page(text) }
        })
    }
}

fn create_parent(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    // The usual case: one call of the system.
    if parent.is_dir() { Ok(()) } else { fs::create_dir_all(parent) }
}
