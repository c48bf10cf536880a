//! nginx as a server of files, with one worker.

use std::fs;
use std::io;
use std::path::Path;

use crate::machine;
use crate::programs;
use crate::server::Server;

/// The file to which [`Log::Uris`] writes, in the benchmark's own directory.
const ACCESS_LOG: &str = "nginx.access";

/// The part of each request that is logged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    Nothing,
    /// The status and the URI: see [`requests`].
    Uris,
}

/// Starts nginx on a core, with the files below `root`.
pub(crate) fn start(core: usize, root: &Path, log: Log) -> io::Result<Server> {
    let address = programs::free_address()?;
    let scratch = Path::new(programs::SCRATCH);
    let configuration = scratch.join("nginx.conf");
    let (root, scratch_path) = (root.display(), scratch.display());
    let access_log = match log {
        Log::Nothing => "access_log off;".to_owned(),
        Log::Uris => {
            fs::write(scratch.join(ACCESS_LOG), "")?;
            format!("log_format uris '$status $request_uri'; access_log {scratch_path}/{ACCESS_LOG} uris;")
        }
    };
    fs::write(
        &configuration,
        format!(
            "daemon off; master_process off; worker_processes 1; pid {scratch_path}/nginx.pid; error_log stderr crit;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ {access_log} sendfile on; tcp_nopush on; keepalive_requests 1000000000;\n\
             types {{ text/html html; text/css css; text/plain txt; application/javascript js; image/png png; }}\n\
             client_body_temp_path {scratch_path}; proxy_temp_path {scratch_path};\n\
             server {{ listen {address}; root {root}; }} }}\n"
        ),
    )?;
    let mut command = machine::command(Some(core), "nginx".as_ref())?;
    command.arg("-p").arg(scratch).arg("-c").arg(&configuration).args(["-e", "stderr"]);
    Server::spawn_at(&mut command, address)
}

/// Returns the status and the URI of each request, in the order of the responses.
pub(crate) fn requests() -> io::Result<Vec<(String, String)>> {
    let text = fs::read_to_string(Path::new(programs::SCRATCH).join(ACCESS_LOG))?;
    let line = |line: &str| line.split_once(' ').map(|(status, uri)| (status.to_owned(), uri.to_owned()));
    Ok(text.lines().filter_map(line).collect())
}
