//! Two loudspeakers recite a poem in turn, with a condition variable: each waits until the next line is its own. The
//! lines come in order, whichever loudspeaker starts, and however often the tasks are woken.

use std::rc::Rc;

use sinbin::sync::{Condition, Lock};
use sinbin::task::{Handle, WaitError};

// "Xiao Ai?" - "Yes." "Let's recite in turn." - "Gladly."
//
// I live at the head of the Long River, - you live at its tail.
// Day after day I think of you and see you not; - we drink of the one river's water.
// When will these waters cease? - When will this sorrow end?
// I ask but that your heart be as mine, - and it will not betray the love that longs.
//
// (Li Zhiyi, to the tune of Bu suan zi, about 1100; the last four lines are the second verse.)
const TMALL_GENIE: (&str, [&str; 6]) = (
    "天猫精灵",
    ["小爱同学", "我们来对古诗吧", "我住长江头", "日日思君不见君", "此水几时休", "只愿君心似我心"],
);
const XIAO_AI: (&str, [&str; 6]) =
    ("小爱", ["在", "好啊", "君住长江尾", "共饮长江水", "此恨何时已", "定不负相思意"]);

struct Poem<'d> {
    /// The number of lines recited so far.
    recited: Lock<'d, usize>,
    next: Condition<'d>,
}

impl<'d> Poem<'d> {
    fn new(handle: Handle<'d>) -> Self {
        Self { recited: Lock::new(handle, 0), next: Condition::new(handle) }
    }

    /// Recites `lines`, which are every second line of the poem from number `first` on.
    async fn recite(self: Rc<Self>, first: usize, (name, lines): (&str, [&str; 6])) -> Result<(), WaitError> {
        let mut recited = self.recited.lock().await?;
        for (line, own) in lines.iter().zip((first..).step_by(2)) {
            recited = self.next.wait_while(recited, |recited| *recited != own).await?;
            println!("{name} : {line}");
            *recited += 1;
            self.next.notify_one()?;
        }
        Ok(())
    }
}

fn main() -> Result<(), sinbin::MainError> {
    sinbin::run(async |handle| {
        let poem = Rc::new(Poem::new(handle));
        let mut xiao_ai = handle.spawn(Rc::clone(&poem).recite(1, XIAO_AI))?;
        let mut genie = handle.spawn(poem.recite(0, TMALL_GENIE))?;
        genie.join().await.expect("it is not cancelled")?;
        xiao_ai.join().await.expect("it is not cancelled")
    })??;
    Ok(())
}
