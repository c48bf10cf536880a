//! The lines of the standard input with their numbers, on the standard output. Neither stream blocks the loop, whether it
//! is a pipe, a terminal, a socket or a file.

#[cfg(unix)]
mod lines {
    use sinbin::io::{Stderr, Stdin, Stdout};
    use sinbin::task::{BufReader, Error, Handle};

    /// The length of the longest line, in bytes.
    const MAX_LINE: usize = 64 * 1024;

    pub async fn number(handle: Handle<'_>) -> Result<(), Error> {
        let mut lines = BufReader::new(Stdin::new(handle)?, vec![0; MAX_LINE]);
        let stdout = Stdout::new(handle)?;
        let mut count = 0_u64;
        let mut numbered = Vec::new();
        while let Some(line) = lines.next_line().await? {
            count += 1;
            numbered.clear();
            numbered.extend_from_slice(format!("{count}\t").as_bytes());
            numbered.extend_from_slice(line);
            numbered.push(b'\n');
            stdout.write_all(&numbered).await?;
        }
        Stderr::new(handle)?.write_all(format!("{count} lines\n").as_bytes()).await
    }
}

#[cfg(unix)]
fn main() -> Result<(), sinbin::MainError> {
    sinbin::run(lines::number)??;
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    println!("the standard streams are waited for on Unix only");
}
