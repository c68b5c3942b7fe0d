//! Several processes, and processes that are killed.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    process::{ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use super::*;
use crate::clock::SystemClock;

fn open_here(dir: &Path) -> Gallery {
    Gallery::open(&settings(dir), MODEL, Arc::new(SystemClock::new())).unwrap()
}

/// Says a line that the parent reads: acknowledged.
fn say(line: &str) {
    println!("\n>{line}");
    std::io::stdout().flush().unwrap();
}

/// The child's lines, without what the test harness prints around them.
fn said(line: &str) -> Option<&str> {
    line.strip_prefix('>')
}

/// Not a test of its own: enrols and deletes for ever, in the process that the next test kills.
#[test]
fn child_that_is_killed() {
    let Some(dir) = as_child() else { return };
    let gallery = open_here(&dir);
    let acme = tenant("acme");
    let mut mine = Vec::new();
    for n in 0u64.. {
        let made = gallery.enroll(&acme, new(&format!("s{}", n % 50), n)).unwrap();
        say(&format!("+ {}", made.id));
        mine.push(made.id);
        if n % 3 == 2 {
            let id = mine.swap_remove(n as usize * 7 % mine.len());
            say(&format!("? {id}"));
            gallery.delete_embedding(&acme, &id).unwrap();
            say(&format!("- {id}"));
        }
    }
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let dir = folder();
    let acme = tenant("acme");
    // What must be there; what must not; what was being deleted when the process died.
    let (mut there, mut gone, mut open_end) = (HashSet::new(), HashSet::new(), HashSet::new());
    for round in 0..12u64 {
        let mut process =
            child("gallery::tests::crash::child_that_is_killed", dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let killer = std::thread::spawn(move || {
            // Long enough to get going, and never at the same point.
            std::thread::sleep(Duration::from_millis(40 + round * 37 % 90));
            assert!(process.try_wait().unwrap().is_none(), "it ended by itself");
            process.kill().unwrap();
            process.wait().unwrap();
        });
        for line in lines {
            let Ok(line) = line else { break };
            let Some((what, id)) = said(&line).and_then(|line| line.split_once(' ')) else { continue };
            // The last line may be cut off.
            let Ok(id) = id.parse::<EmbeddingId>() else { continue };
            match what {
                "+" => drop(there.insert(id)),
                "?" => {
                    there.remove(&id);
                    open_end.insert(id);
                }
                _ => {
                    open_end.remove(&id);
                    gone.insert(id);
                }
            }
        }
        killer.join().unwrap();
        let gallery = open_here(dir.path());
        assert_sound(&gallery);
        let mut filter = ListFilter { limit: 1000, active_only: false, ..ListFilter::default() };
        let mut listed = HashSet::new();
        loop {
            let page = gallery.list(&acme, &filter).unwrap();
            listed.extend(page.enrolments.iter().map(|row| row.id));
            filter.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        assert!(there.is_subset(&listed), "{} acknowledged enrolments are lost", there.difference(&listed).count());
        assert!(gone.is_disjoint(&listed), "a deleted one is back");
        // Enrolled or half-deleted when the process died, and not acknowledged: from now on as the store has it.
        open_end.clear();
        there = listed;
    }
    assert!(there.len() > 20, "the child got going: {}", there.len());
}

/// Not a test of its own: does what the next test's process says on standard input.
#[test]
fn child_that_obeys() {
    let Some(dir) = as_child() else { return };
    let gallery = open_here(&dir);
    let acme = tenant("acme");
    say("ready");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["enrol", name, seed] => {
                let made = gallery.enroll(&acme, new(name, seed.parse().unwrap())).unwrap();
                say(&made.id.to_string());
            }
            ["enrol-many", count] => {
                for n in 0..count.parse().unwrap() {
                    gallery.enroll(&acme, new("many", n)).unwrap();
                }
                say("done");
            }
            ["delete", id] => {
                gallery.delete_embedding(&acme, &id.parse().unwrap()).unwrap();
                say("done");
            }
            ["find", seed] => {
                let found = gallery.search(&acme, &face(seed.parse().unwrap()), 1, 0.9).unwrap();
                say(found.first().map_or("nobody", |hit| hit.enrolment.subject.as_str()));
            }
            ["key"] => {
                let key = gallery.add_key(&acme, None, Default::default()).unwrap();
                say(&format!("{} {}", key.id, key.secret));
            }
            ["revoke", id] => {
                gallery.revoke_key(id).unwrap();
                say("done");
            }
            other => panic!("{other:?}"),
        }
    }
}

struct Other {
    process: std::process::Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Other {
    fn start(dir: &Path) -> Self {
        let mut process = child("gallery::tests::crash::child_that_obeys", dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut other = Self { process, to, from };
        assert_eq!(other.line(), "ready");
        other
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        while self.from.read_line(&mut line).unwrap() > 0 {
            if let Some(said) = said(line.trim_end()) {
                return said.to_owned();
            }
            line.clear();
        }
        panic!("the other process ended");
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.to, "{line}").unwrap();
        self.line()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn processes_see_what_each_other_does() {
    let dir = folder();
    let gallery = open_here(dir.path());
    let acme = tenant("acme");
    gallery.enroll(&acme, new("anna", 1)).unwrap();
    let mut other = Other::start(dir.path());
    assert_eq!(other.ask("find 1"), "anna");
    assert!(!gallery.refresh().unwrap(), "nothing happened");

    let bert: EmbeddingId = other.ask("enrol bert 2").parse().unwrap();
    // The door looks at memory alone; refreshing brings it up to date.
    assert_eq!(gallery.best_two(&acme, &face(2)).unwrap().len(), 1);
    assert!(gallery.refresh().unwrap());
    assert_eq!(gallery.best_two(&acme, &face(2)).unwrap()[0].0, subject("bert"));
    other.ask("enrol cora 3");
    assert_eq!(gallery.search(&acme, &face(3), 1, 0.9).unwrap().len(), 1, "searching looks for itself");
    other.ask(&format!("delete {bert}"));
    assert!(gallery.search(&acme, &face(2), 1, 0.9).unwrap().is_empty());
    gallery.enroll(&acme, new("dora", 4)).unwrap();
    assert_eq!(other.ask("find 4"), "dora");
    gallery.delete_subject(&acme, &subject("dora")).unwrap();
    assert_eq!(other.ask("find 4"), "nobody");
    assert_sound(&gallery);

    assert_eq!(other.ask("enrol early 5000").len(), 36);
    // Further behind than the log reaches, and past retention: still the same.
    other.ask(&format!("enrol-many {}", super::super::store::LOG_KEPT / 2 + 100));
    assert!(gallery.refresh().unwrap());
    assert_sound(&gallery);
    let stats = gallery.stats().unwrap();
    assert_eq!(stats.active, 3 + 3);
    assert_eq!(gallery.best_two(&acme, &face(5000)).unwrap()[0].0, subject("early"));

    let answer = other.ask("key");
    let (id, secret) = answer.split_once(' ').unwrap();
    assert!(gallery.authenticate_at_once(secret).is_none() && gallery.has_key_at_once(id).is_none(), "it is behind");
    assert_eq!(gallery.authenticate(secret).unwrap().tenant, acme);
    assert_eq!(gallery.authenticate_at_once(secret).unwrap().unwrap().tenant, acme);
    assert_eq!(gallery.has_key_at_once(id), Some(true));
    other.ask(&format!("revoke {id}"));
    assert!(gallery.authenticate_at_once(secret).is_none() && gallery.has_key_at_once(id).is_none());
    assert_eq!(gallery.authenticate(secret).unwrap_err().kind(), Kind::InvalidApiKey);
}
