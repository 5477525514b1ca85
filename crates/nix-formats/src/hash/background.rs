//! Hashing beside reading and writing: on a thread of its own, as soon as there is enough of it to be worth one.

use std::io;
use std::mem;
use std::sync::mpsc::{channel, sync_channel, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use super::{Hash, HashType, Hasher};

/// How many bytes are handed over at once.
const BLOCK: usize = 256 * 1024;
/// How many blocks may wait to be hashed.
const WAITING: usize = 2;
/// What is hashed before a thread is started, which costs about as much as this.
const ALONE: u64 = 1024 * 1024;

/// A [`Hasher`] that does not hold up whoever writes to it. A few blocks wait at most, so memory does not depend on how much comes.
pub struct BackgroundHasher {
    len: u64,
    state: State,
}

enum State {
    /// Too little so far.
    Few(Hasher),
    /// There is no second processor, or no thread to be had.
    Alone(Hasher),
    Beside(Worker),
}

impl BackgroundHasher {
    pub fn new(algo: HashType) -> BackgroundHasher {
        BackgroundHasher { len: 0, state: State::Few(Hasher::new(algo)) }
    }

    /// How many bytes have come.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn update(&mut self, data: &[u8]) {
        self.len += data.len() as u64;
        match &mut self.state {
            State::Few(hasher) => {
                hasher.update(data);
                if hasher.len() >= ALONE {
                    let hasher = hasher.clone();
                    self.state = Worker::start(hasher.clone()).map_or(State::Alone(hasher), State::Beside);
                }
            }
            State::Alone(hasher) => hasher.update(data),
            State::Beside(worker) => worker.update(data),
        }
    }

    pub fn finish(self) -> Hash {
        match self.state {
            State::Few(hasher) | State::Alone(hasher) => hasher.finish(),
            State::Beside(worker) => worker.finish(),
        }
    }
}

impl io::Write for BackgroundHasher {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A thread that hashes one block after the other.
struct Worker {
    block: Vec<u8>,
    full: SyncSender<Vec<u8>>,
    /// Blocks to be used again.
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<Hasher>,
}

impl Worker {
    fn start(mut hasher: Hasher) -> Option<Worker> {
        if thread::available_parallelism().map_or(1, usize::from) == 1 {
            return None;
        }
        let (full, blocks) = sync_channel::<Vec<u8>>(WAITING);
        let (used, empty) = channel();
        let work = move || {
            for mut block in blocks {
                hasher.update(&block);
                block.clear();
                // At the end nobody takes it any more.
                let _ = used.send(block);
            }
            hasher
        };
        let thread = thread::Builder::new().spawn(work).ok()?;
        Some(Worker { block: Vec::with_capacity(BLOCK), full, empty, thread })
    }

    fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let (now, rest) = data.split_at(data.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            data = rest;
            if self.block.len() == BLOCK {
                let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK));
                self.full.send(mem::replace(&mut self.block, next)).expect("the thread waits for blocks");
            }
        }
    }

    fn finish(self) -> Hash {
        let Worker { block, full, thread, .. } = self;
        drop(full);
        let mut hasher = thread.join().expect("hashing does not panic");
        hasher.update(&block);
        hasher.finish()
    }
}
