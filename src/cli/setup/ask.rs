//! Questions at a terminal, or on whatever standard input is: one line an answer, an empty one for the default.

use std::io::{BufRead, Write};

use super::super::{Output, output::DIM};
use crate::error::{Error, Kind, Result};

/// Asks, or takes defaults.
pub(super) struct Asker {
    out: Output,
    silent: bool,
}

impl Asker {
    /// One that, where `silent`, asks nothing and takes defaults.
    pub fn new(out: Output, silent: bool) -> Self {
        Self { out, silent }
    }

    pub fn asks_nothing(&self) -> bool {
        self.silent
    }

    /// An answer in words: the one that the option `flag` gave, or what is said, or the default.
    ///
    /// # Errors
    /// [`Kind::MissingField`] where there is neither.
    pub fn text(&self, flag: &str, question: &str, given: Option<String>, default: Option<&str>) -> Result<String> {
        if let Some(given) = given {
            return Ok(given);
        }
        let said = if self.silent { None } else { self.hear(question, default)? };
        said.or(default.map(str::to_owned)).ok_or_else(|| {
            Error::new(Kind::MissingField, format!("no answer to: {question}")).help(format!("answer it by {flag}"))
        })
    }

    /// An answer that may be left out.
    pub fn optional(&self, question: &str) -> Result<Option<String>> {
        if self.silent { Ok(None) } else { self.hear(question, None) }
    }

    /// Yes or no: where nothing is asked, `silent`.
    pub fn yes_or_no(&self, question: &str, default: bool, silent: bool) -> Result<bool> {
        if self.silent {
            return Ok(silent);
        }
        let said = self.hear(question, Some(if default { "yes" } else { "no" }))?;
        match said.as_deref().map(str::to_lowercase).as_deref() {
            None => Ok(default),
            Some("y" | "yes") => Ok(true),
            Some("n" | "no") => Ok(false),
            Some(other) => Err(Error::new(Kind::InvalidField, format!("'{other}' is neither yes nor no"))),
        }
    }

    /// One of several, by number or by name. Where nothing is asked, the only one.
    ///
    /// # Errors
    /// [`Kind::MissingField`], with `none` as its help, where there is nothing to choose from.
    pub fn choice<T: Clone>(&self, flag: &str, question: &str, from: &[(T, String)], none: &str) -> Result<T> {
        match from {
            [] => return Err(Error::new(Kind::MissingField, format!("{question} There is none")).help(none)),
            [(only, words)] => {
                self.out.say(format!("{DIM}{question}{DIM:#} {words}"));
                return Ok(only.clone());
            }
            _ => {}
        }
        for (number, (_, words)) in (1..).zip(from) {
            self.out.say(format!("{number:>3}  {words}"));
        }
        let said = self.text(flag, &format!("{question} (1 to {})", from.len()), None, None)?;
        let at = said.parse::<usize>().ok().and_then(|number| from.get(number.checked_sub(1)?));
        at.map(|(chosen, _)| chosen.clone())
            .ok_or_else(|| Error::new(Kind::InvalidField, format!("'{said}' is none of 1 to {}", from.len())))
    }

    /// A line of standard input; none where it is empty.
    fn hear(&self, question: &str, default: Option<&str>) -> Result<Option<String>> {
        let default = default.map(|default| format!(" {DIM}[{default}]{DIM:#}")).unwrap_or_default();
        // To standard error, which a person sees also where results are for a machine.
        let mut terminal = anstream::stderr();
        let _ = write!(terminal, "{question}{default} ").and_then(|()| terminal.flush());
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        if read.map_err(|error| Error::new(Kind::Io, "standard input cannot be read").source(error))? == 0 {
            let error = Error::new(Kind::MissingField, format!("nobody answers: {question}"));
            return Err(error.help("run it at a terminal, or with --yes and an option for each answer"));
        }
        let line = line.trim();
        Ok((!line.is_empty()).then(|| line.to_owned()))
    }
}
