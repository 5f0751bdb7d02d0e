//! Lines that a person types, with a history as long as the command runs.

use crate::failure::Failure;

#[cfg(not(unix))]
pub(super) use self::plain::Editor;
#[cfg(unix)]
pub(super) use self::unix::Editor;

#[cfg(unix)]
mod unix {
    use rustyline::completion::Completer;
    use rustyline::error::ReadlineError;
    use rustyline::highlight::Highlighter;
    use rustyline::hint::Hinter;
    use rustyline::history::DefaultHistory;
    use rustyline::validate::Validator;
    use rustyline::{Config, Context, Helper};

    use super::{Failure, complete};

    pub(crate) struct Editor(rustyline::Editor<Words, DefaultHistory>);

    impl Editor {
        pub(crate) fn new() -> Result<Self, Failure> {
            let config = Config::builder().auto_add_history(true).build();
            let mut editor = rustyline::Editor::with_config(config).map_err(failed)?;
            editor.set_helper(Some(Words));
            Ok(Self(editor))
        }

        /// The next line; `None` at the end. Ctrl-C gives up the line.
        pub(crate) fn line(&mut self, prompt: &str) -> Result<Option<String>, Failure> {
            loop {
                match self.0.readline(prompt) {
                    Ok(line) => return Ok(Some(line)),
                    Err(ReadlineError::Interrupted) => {}
                    Err(ReadlineError::Eof) => return Ok(None),
                    Err(error) => return Err(failed(error)),
                }
            }
        }
    }

    fn failed(error: ReadlineError) -> Failure {
        Failure::Refused(format!("the terminal cannot be read: {error}"))
    }

    /// Completes commands and areas.
    struct Words;

    impl Completer for Words {
        type Candidate = String;

        fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
            let (from, words) = complete(&line[..at]);
            Ok((from, words.into_iter().map(|word| format!("{word} ")).collect()))
        }
    }

    impl Helper for Words {}
    impl Highlighter for Words {}
    impl Hinter for Words {
        type Hint = String;
    }
    impl Validator for Words {}
}

#[cfg(not(unix))]
mod plain {
    use std::io;

    use super::Failure;
    use crate::output;

    /// The terminal edits the line itself, and has its own history.
    pub(crate) struct Editor;

    impl Editor {
        pub(crate) fn new() -> Result<Self, Failure> {
            Ok(Self)
        }

        /// The next line; `None` at the end.
        pub(crate) fn line(&mut self, prompt: &str) -> Result<Option<String>, Failure> {
            output::print(prompt)?;
            let mut line = String::new();
            Ok(if io::stdin().read_line(&mut line)? == 0 { None } else { Some(line) })
        }
    }
}

/// Where the word at the end of a line begins, and what it may become.
#[cfg_attr(not(unix), allow(dead_code))]
fn complete(line: &str) -> (usize, Vec<&'static str>) {
    let from = line.rfind(char::is_whitespace).map_or(0, |at| at + line[at..].chars().next().map_or(0, char::len_utf8));
    let before: Vec<_> = line[..from].split_whitespace().collect();
    let words: &[&str] = match before.as_slice() {
        [] => &super::COMMANDS[..7], // quit is enough
        ["get" | "set", _] => &["co", "di", "hr", "ir"],
        _ => &[],
    };
    (from, words.iter().copied().filter(|word| word.starts_with(&line[from..])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_areas_are_completed() {
        let table: &[(&str, usize, &[&str])] = &[
            ("s", 0, &["set", "stats", "servers"]),
            ("  he", 2, &["help"]),
            ("get ", 4, &[]),
            ("get 1 ", 6, &["co", "di", "hr", "ir"]),
            ("set\u{3000}1 h", 8, &["hr"]),
            ("get 1 hr 0", 9, &[]),
        ];
        for (line, from, words) in table {
            assert_eq!(complete(line), (*from, words.to_vec()), "{line:?}");
        }
    }
}
