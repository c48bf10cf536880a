//! The rules for cancelled tasks in scopes, timeouts and shields, for any order of execution. The rules are those of
//! trio, except where the documentation of cancellation says otherwise.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use sinbin_core::TaskId;
use sinbin_core::group::{Cause, Failed};
use sinbin_core::task::WaitError;

/// The reason why a task of a program, or the body of a scope, fails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fails {
    /// An operation was refused because the task is cancelled.
    Cancelled,
    /// The task failed by itself. Each failure has its own number.
    Own(u32),
}

/// A scope that has begun.
pub struct Scope {
    /// The task that runs the scope.
    owner: Rc<Task>,
    /// The number of tasks in the scope whose futures exist.
    alive: Cell<usize>,
    /// The errors that the scope's tasks and body have returned and the scope has not reported yet.
    errors: RefCell<Vec<Fails>>,
    /// True if the scope has a reason to cancel its tasks.
    has_failed: Cell<bool>,
    /// True if the scope was dropped before its end.
    is_dropped: Cell<bool>,
}

/// A task of a program.
pub struct Task {
    /// The scope in which the task was spawned.
    scope: Option<Rc<Scope>>,
    pub id: Cell<Option<TaskId>>,
    /// True if the task has been cancelled.
    is_cancelled: Cell<bool>,
    /// True if the task has been cancelled and no operation has failed for that reason, so that the next one must fail.
    is_due: Cell<bool>,
    was_told: Cell<bool>,
    /// The number of operations that wait outside of a shield.
    open: Cell<u32>,
    /// The number of shields that the task is in.
    pub shields: Cell<u32>,
    /// The number of the task's scopes that have begun and not ended.
    scopes: Cell<u32>,
    is_over: Cell<bool>,
}

/// The task that executes operations, and the way it does so.
#[derive(Clone)]
pub struct How {
    pub task: Rc<Task>,
    /// True if the task ends when an operation is refused, as by `?`. Otherwise it continues.
    pub obeys: bool,
    pub is_shielded: bool,
    /// The number of the task's scopes around the operation.
    pub depth: u32,
}

/// The state of a whole program.
#[derive(Default)]
pub struct Oracle {
    failures: Cell<u32>,
    pub tasks: RefCell<Vec<Rc<Task>>>,
    /// True if all tasks are cancelled.
    pub ends: Cell<bool>,
    /// The events so far, for comparison with another run.
    pub story: RefCell<Vec<String>>,
}

impl Oracle {
    pub fn tell(&self, what: String) {
        self.story.borrow_mut().push(what);
    }

    /// Checks that no task waits that should have learned of a cancellation. Called when no task can continue.
    pub fn all_rest(&self) {
        for task in self.tasks.borrow().iter().filter(|task| task.open.get() > 0) {
            assert!(!self.may_be_told(task), "a task with a reason to end learns of it");
        }
    }

    /// Returns a new failure.
    pub fn fails(&self) -> Fails {
        self.failures.set(self.failures.get() + 1);
        Fails::Own(self.failures.get())
    }

    pub fn task(&self, scope: Option<Rc<Scope>>) -> Rc<Task> {
        let task = Rc::new(Task {
            scope,
            id: Cell::new(None),
            is_cancelled: Cell::new(false),
            is_due: Cell::new(false),
            was_told: Cell::new(false),
            open: Cell::new(0),
            shields: Cell::new(0),
            scopes: Cell::new(0),
            is_over: Cell::new(false),
        });
        self.tasks.borrow_mut().push(task.clone());
        task
    }

    /// Returns true if there is a reason to cancel the task.
    pub fn may_be_told(&self, task: &Task) -> bool {
        let by_scope = |scope: &Rc<Scope>| {
            scope.has_failed.get() || scope.is_dropped.get() || self.may_be_told(&scope.owner)
        };
        self.ends.get() || task.is_cancelled.get() || task.scope.as_ref().is_some_and(by_scope)
    }

    /// Runs an operation of the task. Checks that an operation is refused only if the task is cancelled and not
    /// shielded, and that the first operation outside of a shield after a cancellation is refused.
    pub async fn operate<T>(
        &self,
        How { task, is_shielded, depth, .. }: &How,
        operation: impl Future<Output = Result<T, WaitError>>,
    ) -> Result<T, Fails> {
        let is_shielded = *is_shielded;
        // A scope beside this operation may have been refused already without having returned the error yet.
        let is_due = task.is_due.get() && !is_shielded && task.scopes.get() == *depth;
        let waits = (!is_shielded).then(|| Counts::one(&task.open));
        let result = operation.await;
        drop(waits);
        match &result {
            Ok(_) => {
                assert!(!(is_due && task.is_due.get()), "the next operation of a cancelled task is refused");
            }
            Err(refused) => {
                assert_eq!(*refused, WaitError::Cancelled);
                assert!(!is_shielded, "a shield holds");
                assert!(self.may_be_told(task), "no operation is refused without a reason");
                task.is_told();
            }
        }
        result.map_err(|_| Fails::Cancelled)
    }
}

impl Task {
    /// Notes that the task is cancelled.
    pub fn cancel(&self) {
        if !self.is_over.get() {
            self.is_cancelled.set(true);
            self.is_due.set(!self.was_told.get());
        }
    }

    pub fn was_told(&self) -> bool {
        self.was_told.get()
    }

    pub fn is_told(&self) {
        self.was_told.set(true);
        self.is_due.set(false);
    }
}

/// Increments a counter for the lifetime of this value.
pub struct Counts<'a>(&'a Cell<u32>);

impl<'a> Counts<'a> {
    pub fn one(count: &'a Cell<u32>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Counts<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The future of a task.
pub struct Lives<'a> {
    oracle: &'a Oracle,
    task: Rc<Task>,
    has_begun: bool,
    future: Option<Running<'a>>,
}

pub type Running<'a> = Pin<Box<dyn Future<Output = Result<(), Fails>> + 'a>>;

impl<'a> Lives<'a> {
    pub fn new(oracle: &'a Oracle, task: Rc<Task>, future: Running<'a>) -> Self {
        if let Some(scope) = &task.scope {
            scope.alive.set(scope.alive.get() + 1);
        }
        Self { oracle, task, has_begun: false, future: Some(future) }
    }

    fn ends(&mut self) {
        self.future = None;
        self.task.is_over.set(true);
        if let Some(scope) = &self.task.scope {
            scope.alive.set(scope.alive.get() - 1);
        }
    }
}

impl Future for Lives<'_> {
    type Output = Result<(), Fails>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.has_begun = true;
        let result = std::task::ready!(this.future.as_mut().expect("it is not over").as_mut().poll(context));
        if let (Err(error), Some(scope)) = (result, &this.task.scope) {
            scope.fails(error);
        }
        this.ends();
        Poll::Ready(result)
    }
}

impl Drop for Lives<'_> {
    fn drop(&mut self) {
        if self.future.is_none() {
            return;
        }
        let task = &self.task;
        let goes_with_scope = task.scope.as_ref().is_some_and(|scope| scope.is_dropped.get());
        if self.has_begun && !goes_with_scope && !std::thread::panicking() {
            // The task is dropped before its end.
            assert!(self.oracle.may_be_told(task), "only a cancelled task is dropped");
            assert_eq!(task.open.get(), 0, "a task with an operation that can fail is not dropped");
            assert_eq!(task.shields.get(), 0, "a shielded task is not dropped");
        }
        self.ends();
    }
}

impl Scope {
    pub fn new(owner: &Rc<Task>) -> Rc<Self> {
        Rc::new(Self {
            owner: owner.clone(),
            alive: Cell::new(0),
            errors: RefCell::default(),
            has_failed: Cell::new(false),
            is_dropped: Cell::new(false),
        })
    }

    /// Notes that a task of the scope, or its body, has failed.
    pub fn fails(&self, error: Fails) {
        self.has_failed.set(true);
        self.errors.borrow_mut().push(error);
    }

    /// Notes that the scope's tasks are cancelled.
    pub fn cancels(&self) {
        self.has_failed.set(true);
    }

    /// Notes that the scope has reported these errors. Checks that all were returned and none was reported before.
    /// Returns the error that represents them.
    pub fn takes(&self, oracle: &Oracle, failed: &Failed<Fails>) -> Fails {
        self.has_failed.set(true);
        let causes = std::iter::once(&failed.cause).chain(failed.others.iter().map(|other| &other.cause));
        for cause in causes {
            match cause {
                Cause::Error(error) => {
                    let mut errors = self.errors.borrow_mut();
                    let at = errors.iter().position(|other| other == error);
                    errors.remove(at.expect("an error is reported once"));
                }
                Cause::Wait(refused) => {
                    assert_eq!(*refused, WaitError::Cancelled);
                    assert!(oracle.may_be_told(&self.owner), "no operation is refused without a reason");
                    self.owner.is_told();
                }
                Cause::Panicked => panic!("no task panics"),
            }
        }
        match failed.cause {
            Cause::Error(Fails::Own(_)) => oracle.fails(),
            _ => Fails::Cancelled,
        }
    }
}

/// The future of a scope. Checks that nothing of the scope remains after its end, or after it was dropped.
pub struct Watched<'a, F> {
    oracle: &'a Oracle,
    scope: Rc<Scope>,
    future: Option<Pin<Box<F>>>,
}

impl<'a, F> Watched<'a, F> {
    pub fn new(oracle: &'a Oracle, scope: Rc<Scope>, future: F) -> Self {
        let scopes = &scope.owner.scopes;
        scopes.set(scopes.get() + 1);
        Self { oracle, scope, future: Some(Box::pin(future)) }
    }

    fn ends(&mut self) {
        self.future = None;
        let scopes = &self.scope.owner.scopes;
        scopes.set(scopes.get() - 1);
    }
}

impl<R, F: Future<Output = Result<R, Failed<Fails>>>> Future for Watched<'_, F> {
    type Output = Result<R, Fails>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let result = std::task::ready!(this.future.as_mut().expect("it is not over").as_mut().poll(context));
        assert_eq!(this.scope.alive.get(), 0, "no task outlives the scope");
        this.ends();
        let result = result.map_err(|failed| this.scope.takes(this.oracle, &failed));
        let lost = this.scope.errors.borrow();
        assert!(lost.is_empty(), "no error is lost: {lost:?}");
        drop(lost);
        Poll::Ready(result)
    }
}

impl<F> Drop for Watched<'_, F> {
    fn drop(&mut self) {
        if self.future.is_none() {
            return;
        }
        self.scope.is_dropped.set(true);
        // The scope may have been refused because of the cancellation, and can't report that any more.
        self.scope.owner.is_due.set(false);
        self.ends();
        let left = self.scope.alive.get();
        assert!(left == 0 || std::thread::panicking(), "no task outlives the scope, which is dropped");
    }
}
