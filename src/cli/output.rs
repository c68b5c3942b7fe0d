//! What is printed: plain words in colour for a terminal, JSON for machines.

use std::{
    fmt::Display,
    io::{IsTerminal, Write},
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::{Error, Result};

/// Good news.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Bad news.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something to look at.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Less important.
pub const DIM: Style = Style::new().dimmed();

/// Where results go, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON where `json`, else words; in colour only where standard output is a terminal.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether machines read this.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result: `value` as one line of JSON, or the words that `words` makes of it.
    pub fn result<T: Serialize>(self, value: &T, words: impl FnOnce(&T) -> String) {
        let line = if self.json {
            serde_json::to_string(value).expect("what we print has string keys and serialises")
        } else {
            words(value)
        };
        // Whoever reads us may have gone (`| head`); that is no reason to panic as println! does.
        let _ = writeln!(anstream::stdout(), "{line}");
    }

    /// Prints words for a person: to standard output, or to standard error where the former is for machines.
    pub fn say(self, words: impl Display) {
        if self.json {
            let _ = writeln!(anstream::stderr(), "{words}");
        } else {
            let _ = writeln!(anstream::stdout(), "{words}");
        }
    }

    /// Prints words for a person to standard error, beside a result that is something else.
    pub fn aside(self, words: impl Display) {
        let _ = writeln!(anstream::stderr(), "{words}");
    }

    /// Prints what went wrong and what to do, to standard error.
    pub fn error(self, error: &Error) {
        let mut stderr = anstream::stderr();
        if self.json {
            let body = serde_json::json!({
                "error": { "code": error.kind().code(), "message": error.to_string(), "help": error.advice() }
            });
            let _ = writeln!(stderr, "{body}");
            return;
        }
        let _ = writeln!(stderr, "{BAD}error:{BAD:#} {error}");
        if let Some(advice) = error.advice() {
            let _ = writeln!(stderr, "{WARN}help:{WARN:#} {advice}");
        }
    }

    /// A bar for long work over `total` items, shown on a terminal only.
    pub fn progress(self, total: u64, what: &'static str) -> ProgressBar {
        if self.json || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        bar.set_style(
            ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {eta}")
                .expect("the template is a constant and is valid"),
        );
        bar.set_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// Reads a file that the user named.
pub fn read_file(path: &std::path::Path) -> Result<Vec<u8>> {
    use crate::error::{Context, Kind};
    std::fs::read(path).context(Kind::NotFound, || format!("cannot read {}", path.display()))
}
