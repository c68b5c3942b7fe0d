//! Running the ordinary clients of registries and repositories: npm, pip, git.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::error::{Context, Error, Result};

/// A client that is being run: its name, what it is doing in words, and for how long it may.
pub struct Run<'a> {
    pub program: &'a str,
    /// The Debian package that has it.
    pub package: &'a str,
    pub doing: String,
    pub limit: Duration,
}

impl Run<'_> {
    /// Runs the command to its end; what it prints goes to `stdout`.
    ///
    /// # Errors
    /// Where it is not installed, fails, or takes longer than it may; then with the end of what it complained about.
    pub fn run(&self, command: &mut Command, stdout: Stdio) -> Result<()> {
        // To a file and not a pipe: a grandchild that outlives the child would keep a pipe open.
        let complaints = tempfile::NamedTempFile::new().context(|| "cannot make a temporary file")?;
        let stderr = complaints.reopen().context(|| "cannot make a temporary file")?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let mut child = match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(format!("{} is not installed", self.program))
                    .help(format!("install it: sudo apt-get install {}", self.package)));
            }
            child => child.context(|| format!("cannot run {}", self.program))?,
        };
        let bar = ProgressBar::new_spinner().with_message(self.doing.clone());
        bar.enable_steady_tick(Duration::from_millis(120));
        let ended = wait(&mut child, self.limit);
        bar.finish_and_clear();
        let failed = match ended.context(|| format!("cannot wait for {}", self.program))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => format!("{} failed ({status})", self.program),
            None => format!("{} was stopped after {} seconds", self.program, self.limit.as_secs()),
        };
        let said = last_words(complaints.path());
        Err(Error::new(if said.is_empty() { failed } else { format!("{failed}: {said}") }))
    }
}

/// Waits for the child; stops it when the time is over.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // Politely first, so that git ends its own children too.
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        if child.try_wait()?.is_some() {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The last lines of what a client complained about, as one.
fn last_words(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    let said = lines[lines.len().saturating_sub(3)..].join("; ");
    said.chars().filter(|c| !c.is_control()).take(400).collect()
}

/// A file for what a client prints.
pub fn output(path: &Path) -> Result<Stdio> {
    File::create(path).map(Stdio::from).context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(program: &'static str, arguments: &[&str], limit: Duration) -> Result<()> {
        let run = Run { program, package: "a-package", doing: String::new(), limit };
        run.run(Command::new(program).args(arguments), Stdio::null())
    }

    #[test]
    fn what_a_client_complains_about_is_told() {
        run("true", &[], Duration::from_secs(9)).unwrap();
        let error =
            run("sh", &["-c", "echo nothing; echo no route to it >&2; exit 3"], Duration::from_secs(9)).unwrap_err();
        assert!(error.to_string().contains("no route to it") && !error.to_string().contains("nothing"), "{error}");
    }

    #[test]
    fn a_client_that_stands_still_is_stopped() {
        let start = Instant::now();
        let error = run("sleep", &["60"], Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("stopped"), "{error}");
        let error = run("sh", &["-c", "trap '' TERM; sleep 60 & wait; wait"], Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("stopped"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_client_that_is_not_there_is_named_with_its_package() {
        let error = run("facegate-no-such-client", &[], Duration::from_secs(9)).unwrap_err();
        assert!(error.to_string().contains("is not installed"), "{error}");
        assert!(error.advice().unwrap().contains("a-package"));
    }
}
