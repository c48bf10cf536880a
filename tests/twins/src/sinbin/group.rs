//! Tasks that come and go in a group: `group IDLE COUNT` spawns IDLE tasks that wait, and then COUNT that end at once,
//! one after the other.

use std::time::Duration;

use sinbin::Settings;
use sinbin::group::JoinSet;

use crate::{MainError, argument};

pub(super) fn main(arguments: &[String]) -> Result<(), MainError> {
    let idle: u32 = argument(arguments, 0, "IDLE")?.parse()?;
    let count: u32 = argument(arguments, 1, "COUNT")?.parse()?;
    Settings::default().run(async |handle| {
        let tasks = JoinSet::new(handle);
        for _ in 0..idle {
            tasks.spawn(handle.sleep(Duration::from_secs(3600)))?;
        }
        for _ in 0..count {
            tasks.spawn(async {})?;
            tasks.join_next().await?;
        }
        tasks.cancel_all();
        Ok::<_, sinbin::task::Error>(())
    })??;
    Ok(())
}
