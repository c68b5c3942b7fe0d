//! Work shared out over threads whose results do not depend on who did what.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::error::{Error, Kind, Result};

/// What `work` makes of 0, 1, … `count` − 1, in that order, on so many threads. Each thread makes a tool for itself first; where
/// one fails, the others end after what they are at.
///
/// # Errors
/// The first error that `tool` or `work` gave; [`Kind::Internal`] where one panicked.
pub fn each<S, T: Send>(
    threads: usize,
    count: usize,
    tool: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Vec<(usize, T)>> {
        let mut done = Vec::new();
        // Whoever fails leaves nothing for the others to begin.
        let attempt = (|| {
            let mut tool = tool()?;
            while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&at| at < count) {
                done.push((at, work(&mut tool, at)?));
            }
            Ok(())
        })();
        attempt.inspect_err(|_| next.store(count, Ordering::Relaxed)).map(|()| done)
    };
    let mut done: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.clamp(1, count.max(1))).map(|_| scope.spawn(worker)).collect();
        let all = workers.into_iter().map(|worker| {
            worker.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a thread of the evaluation panicked")))
        });
        all.collect::<Result<Vec<_>>>()
    })?
    .into_iter()
    .flatten()
    .collect();
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, made)| made).collect())
}

/// As [`each`], where nothing can fail and no tool is needed.
///
/// # Panics
/// Where `work` does.
pub fn map<T: Send>(threads: usize, count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    each(threads, count, || Ok(()), |(), at| Ok(work(at))).expect("the work cannot fail but by a panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_work_whoever_did_it() {
        for threads in [0, 1, 3, 64] {
            assert_eq!(map(threads, 100, |at| at * 2), (0..100).map(|at| at * 2).collect::<Vec<_>>());
        }
        assert!(map(4, 0, |at| at).is_empty());
    }

    #[test]
    fn an_error_ends_the_work() {
        let refuse = |at| if at == 7 { Err(Error::new(Kind::Model, "seven")) } else { Ok(at) };
        assert_eq!(each(2, 1000, || Ok(()), |(), at| refuse(at)).unwrap_err().kind(), Kind::Model);
        let broken = each(2, 9, || Err::<(), _>(Error::new(Kind::Store, "no tool")), |(), at| Ok(at));
        assert_eq!(broken.unwrap_err().kind(), Kind::Store);
    }
}
