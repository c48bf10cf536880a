use std::io::ErrorKind;

use sinbin::fs::{self, File};
use sinbin::task::{Error, join};

use crate::{Directory, LOCAL, run};

#[test]
fn files_are_written_and_read() {
    let directory = Directory::new("files");
    run(async |handle| {
        let path = directory.path("file");
        let file = File::create(handle, &path).await?;
        file.write_all("hello, ").await?;
        file.write_all(b"world").await?;
        file.sync_all().await?;
        assert_eq!(file.metadata().await?.len(), 12);
        assert_eq!(fs::metadata(handle, &path).await?.len(), 12);
        let file = File::open(handle, &path).await?;
        assert_eq!(file.read(5).await?, b"hello");
        assert_eq!(file.read_at(7, 100).await?, b"world");
        assert_eq!(file.read_at(100, 100).await?, b"");
        assert_eq!(fs::read(handle, &path, 12).await?, b"hello, world");
        fs::write(handle, &path, "new").await?;
        assert_eq!(std::fs::read(&path)?, b"new");
        Ok::<_, std::io::Error>(())
    })
    .expect("the disk works");
}

#[test]
fn an_error_has_the_operation_and_the_path() {
    let directory = Directory::new("no-files");
    run(async |handle| {
        let path = directory.path("none");
        let error = File::open(handle, &path).await.expect_err("there is none");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().starts_with(&format!("open {}: ", path.display())), "{error}");
        fs::write(handle, &path, "12345").await.expect("the disk works");
        let error = fs::read(handle, &path, 4).await.expect_err("it is too long").to_string();
        assert_eq!(error, format!("read {}: the file has more than 4 bytes", path.display()));
    });
}

#[test]
fn a_file_is_sent_whole_or_in_part_to_a_reader_that_is_slow() {
    const LOTS: usize = 5 << 20;
    let directory = Directory::new("sending");
    let path = directory.path("file");
    let bytes: Vec<u8> = (0..=250_u8).cycle().take(LOTS).collect();
    std::fs::write(&path, &bytes).expect("the disk works");
    run(async |handle| {
        let listener = handle.listen(LOCAL).expect("a port");
        for range in [0..LOTS as u64, 1000..2000, 0..u64::MAX, LOTS as u64 - 3..u64::MAX, 7..7] {
            let (client, server) = join(handle.connect(listener.address()), listener.accept()).await;
            let (client, (server, _)) = (client.expect("it listens"), server.expect("it connects"));
            let send = async {
                let file = File::open(handle, &path).await?;
                let sent = file.send_to(&server, range.clone()).await?;
                server.shutdown()?;
                Ok::<_, std::io::Error>(sent)
            };
            let receive = async {
                let (mut all, mut buffer) = (Vec::new(), vec![0; 10_000]);
                loop {
                    match client.recv(&mut buffer).await.expect("it is open") {
                        0 => return all,
                        count => all.extend_from_slice(&buffer[..count]),
                    }
                }
            };
            let (sent, received) = join(send, receive).await;
            let end = usize::try_from(range.end.min(LOTS as u64)).expect("it is small");
            let wanted = &bytes[usize::try_from(range.start).expect("it is small")..end];
            assert_eq!(sent.expect("it is sent"), wanted.len() as u64);
            assert!(received == wanted, "{} bytes instead of {}", received.len(), wanted.len());
        }
        Ok::<_, Error>(())
    })
    .expect("it runs");
}
