//! The control plane's end of one shard: its command queue and its thread.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use plenum_core::Command;

use crate::counters::PublishedCounters;
use crate::error::SubmitError;
use crate::log::SHARD_THREAD_PREFIX;
use crate::sys::WakeFd;

/// What both ends share.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) wake: WakeFd,
    /// The wake descriptor is signalled already: saves a system call per command.
    pub(crate) woken: AtomicBool,
    pub(crate) stopping: AtomicBool,
    pub(crate) counters: PublishedCounters,
}

impl Mailbox {
    pub(crate) fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.wake.signal();
        }
    }

    /// To be called before the queue is looked at: a later command signals again.
    pub(crate) fn clear_wake(&self) {
        self.wake.clear();
        // A swap, not a store: it sees the push of whoever found the flag set and therefore did not signal.
        self.woken.swap(false, Ordering::AcqRel);
    }
}

/// One shard as the control plane sees it.
#[derive(Debug)]
pub(crate) struct ShardLink {
    commands: Sender<Command>,
    mailbox: Arc<Mailbox>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ShardLink {
    /// Starts the thread; `run` gets the other end.
    pub(crate) fn start(
        index: u16,
        queue: usize,
        run: impl FnOnce(Arc<Mailbox>, Receiver<Command>) + Send + 'static,
    ) -> io::Result<Self> {
        let (commands, receiver) = crossbeam_channel::bounded(queue);
        let mailbox = Arc::new(Mailbox {
            wake: WakeFd::new()?,
            woken: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            counters: PublishedCounters::new(),
        });
        let theirs = Arc::clone(&mailbox);
        let thread = std::thread::Builder::new()
            .name(format!("{SHARD_THREAD_PREFIX}{index}"))
            .spawn(move || run(theirs, receiver))?;
        Ok(Self { commands, mailbox, thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn submit(&self, command: Command) -> Result<(), SubmitError> {
        if self.mailbox.stopping.load(Ordering::Acquire) {
            return Err(SubmitError::Stopped);
        }
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => SubmitError::QueueFull,
            TrySendError::Disconnected(_) => SubmitError::Stopped,
        })?;
        self.mailbox.wake();
        Ok(())
    }

    pub(crate) fn counters(&self) -> &PublishedCounters {
        &self.mailbox.counters
    }

    /// Has the shard look at the event ring again.
    pub(crate) fn wake(&self) {
        self.mailbox.wake();
    }

    pub(crate) fn ask_to_stop(&self) {
        self.mailbox.stopping.store(true, Ordering::Release);
        // Not through `wake`: a thread that is just clearing must not miss it.
        self.mailbox.wake.signal();
    }

    /// Waits for the thread's end; a second caller waits too.
    pub(crate) fn join(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a shard's thread had ended by a panic");
        }
    }
}
