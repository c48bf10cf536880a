//! The functions of `wasi:filesystem`.

use wasmtime::component::Resource;
use wasmtime::{Error, Result};
use wasmtime_wasi::filesystem::WasiFilesystemView;
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types as unsynced};
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
    self, Advice, Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    DirectoryEntryStream, ErrorCode, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::answer::Answer;
use super::interface::{Function, id, interface};
use super::value::Value;
use super::{Player, Recorded};

type File = Resource<Descriptor>;
type Entries = Resource<DirectoryEntryStream>;

interface! {
    PREOPENS, preopens::Host, "preopens.", |guest| &mut guest.filesystem();
    fn get_directories() -> Result<Vec<(File, String)>>;
}

interface! {
    DESCRIPTOR, types::HostDescriptor, "descriptor.", |guest| &mut guest.filesystem();
    fn read_via_stream(this: File, offset: u64) -> FsResult<Resource<DynInputStream>>;
    fn write_via_stream(this: File, offset: u64) -> FsResult<Resource<DynOutputStream>>;
    fn append_via_stream(this: File) -> FsResult<Resource<DynOutputStream>>;
    fn advise(this: File, offset: u64, length: u64, advice: Advice) -> FsResult<()>;
    fn sync_data(this: File) -> FsResult<()>;
    fn get_flags(this: File) -> FsResult<DescriptorFlags>;
    fn get_type(this: File) -> FsResult<DescriptorType>;
    fn set_size(this: File, size: u64) -> FsResult<()>;
    fn set_times(this: File, access: NewTimestamp, modification: NewTimestamp) -> FsResult<()>;
    fn read(this: File, length: u64, offset: u64) -> FsResult<(Vec<u8>, bool)>;
    fn write(this: File, buffer: Vec<u8>, offset: u64) -> FsResult<u64>;
    fn read_directory(this: File) -> FsResult<Entries>;
    fn sync(this: File) -> FsResult<()>;
    fn create_directory_at(this: File, path: String) -> FsResult<()>;
    fn stat(this: File) -> FsResult<DescriptorStat>;
    fn stat_at(this: File, path_flags: PathFlags, path: String) -> FsResult<DescriptorStat>;
    fn set_times_at(
        this: File,
        path_flags: PathFlags,
        path: String,
        access: NewTimestamp,
        modification: NewTimestamp,
    ) -> FsResult<()>;
    fn link_at(
        this: File,
        old_path_flags: PathFlags,
        old_path: String,
        new_descriptor: File,
        new_path: String,
    ) -> FsResult<()>;
    fn open_at(
        this: File,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<File>;
    fn readlink_at(this: File, path: String) -> FsResult<String>;
    fn remove_directory_at(this: File, path: String) -> FsResult<()>;
    fn rename_at(this: File, old_path: String, new_descriptor: File, new_path: String) -> FsResult<()>;
    fn symlink_at(this: File, old_path: String, new_path: String) -> FsResult<()>;
    fn unlink_file_at(this: File, path: String) -> FsResult<()>;
    fn is_same_object(this: File, other: File) -> Result<bool>;
    fn metadata_hash(this: File) -> FsResult<MetadataHashValue>;
    fn metadata_hash_at(this: File, path_flags: PathFlags, path: String) -> FsResult<MetadataHashValue>;
    fn drop(this: File) -> Result<()>;
}

interface! {
    ENTRIES, types::HostDirectoryEntryStream, "directory-entry-stream.", |guest| &mut guest.filesystem();
    fn read_directory_entry(this: Entries) -> FsResult<Option<DirectoryEntry>>;
    fn drop(this: Entries) -> Result<()>;
}

type CodeOfError = Result<Option<unsynced::ErrorCode>>;

/// The function `filesystem-error-code`, which shares its trait with the conversion of errors.
const ERROR_CODE: u32 = id("filesystem.error-code");

impl types::Host for Recorded {
    fn convert_error_code(&mut self, error: FsError) -> Result<ErrorCode> {
        error.downcast().map(Into::into)
    }

    fn filesystem_error_code(&mut self, error: Resource<Error>) -> Result<Option<ErrorCode>> {
        self.recorder.begin();
        Value::put(&error, self.recorder.arguments());
        let answer = unsynced::Host::filesystem_error_code(&mut self.guest.filesystem(), error);
        self.recorder.end(ERROR_CODE, answer).map(|code| code.map(Into::into))
    }
}

impl types::Host for Player {
    fn convert_error_code(&mut self, error: FsError) -> Result<ErrorCode> {
        error.downcast().map(Into::into)
    }

    fn filesystem_error_code(&mut self, error: Resource<Error>) -> Result<Option<ErrorCode>> {
        self.begin();
        Value::put(&error, self.arguments());
        self.answer::<CodeOfError>(ERROR_CODE).map(|code| code.map(Into::into))
    }
}

const ERROR_CODES: &[Function] = &[Function {
    id: ERROR_CODE,
    name: "filesystem.error-code",
    show_arguments: |input, out| {
        <Resource<Error> as Value>::take(input)?.show(out);
        Some(())
    },
    show_answer: |input, out| {
        CodeOfError::take(input)?.show(out);
        Some(())
    },
}];

/// The functions of this file.
pub(super) const ALL: &[&[Function]] = &[PREOPENS, DESCRIPTOR, ENTRIES, ERROR_CODES];
