//! What is wrong with a file, as it is shown: the place, the line with a caret, and the mend.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// Bytes of the file, from this one to before that one.
pub(crate) type Span = Range<usize>;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    title: String,
    span: Span,
    /// What is to be seen at the place itself.
    label: String,
    /// Another place that it is about.
    other: Option<(Span, String)>,
    mend: Option<String>,
    /// The file can be used for all that.
    is_warning: bool,
}

impl Problem {
    pub(crate) fn new(title: impl Into<String>, span: &Span, label: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            span: span.clone(),
            label: label.into(),
            other: None,
            mend: None,
            is_warning: false,
        }
    }

    /// Something that is odd, and does not keep the file from being used.
    pub(crate) fn warning(title: impl Into<String>, span: &Span, label: impl Into<String>) -> Self {
        Self { is_warning: true, ..Self::new(title, span, label) }
    }

    pub(crate) fn with_other(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.other = Some((span.clone(), label.into()));
        self
    }

    /// What to do about it.
    pub(crate) fn with_mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
}

/// Problems as they are found.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    all: Vec<Problem>,
    /// Keys that are there, in wrong letters or with a wrong value, and where: they are not missing as well.
    spoiled: Vec<(String, usize)>,
}

impl Problems {
    pub(crate) fn add(&mut self, problem: Problem) {
        self.all.push(problem);
    }

    /// Remembers that there is something at this place that was to be this key.
    pub(crate) fn spoil(&mut self, key: &str, at: &Span) {
        self.spoiled.push((key.to_owned(), at.start));
    }

    /// Whether there is something below this place that was to be this key.
    pub(crate) fn has_spoiled(&self, key: &str, below: &Span) -> bool {
        self.spoiled.iter().any(|(spoiled, at)| spoiled == key && *at >= below.start)
    }

    /// Whether anything keeps the file from being used.
    pub(crate) fn has_errors(&self) -> bool {
        self.all.iter().any(|problem| !problem.is_warning)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// With the text they are about, in its order.
    pub(crate) fn of(mut self, path: &Path, text: String) -> Invalid {
        self.all.sort_by_key(|problem| (problem.span.start, problem.span.end));
        Invalid { path: path.to_owned(), text, problems: self.all }
    }
}

/// What is shown of one file, at most: whoever has more to mend begins with these.
const MOST_SHOWN: usize = 30;

/// What is wrong with a file. As the error of [`load`](super::load) it is everything that keeps the file from being used, and
/// what is odd besides; as [`Plan::warnings`](crate::Plan::warnings) only the latter. Its `Display` shows each problem as
/// rustc does, the first 30 of them.
#[derive(Clone, Debug)]
pub struct Invalid {
    path: PathBuf,
    text: String,
    problems: Vec<Problem>,
}

impl Invalid {
    /// A file that cannot even be read.
    pub(crate) fn unreadable(path: &Path, why: &str, mend: &str) -> Self {
        let problem = Problem::new(format!("cannot read {}: {why}", path.display()), &(0..0), "").with_mend(mend);
        Self { path: path.to_owned(), text: String::new(), problems: vec![problem] }
    }

    /// How many problems there are, warnings left out: at least one in the error of [`load`](super::load).
    pub fn count(&self) -> usize {
        self.problems.iter().filter(|problem| !problem.is_warning).count()
    }

    /// All problems as text, in colours for a terminal or without.
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let path = self.path.display().to_string();
        let first = self.problems.iter().take(MOST_SHOWN);
        let mut shown: Vec<_> = first.map(|problem| self.show(&renderer, &path, problem)).collect();
        if self.problems.len() > MOST_SHOWN {
            shown.push(format!("... and {} more", self.problems.len() - MOST_SHOWN));
        }
        shown.join("\n\n")
    }

    fn show(&self, renderer: &Renderer, path: &str, problem: &Problem) -> String {
        let level = if problem.is_warning { Level::WARNING } else { Level::ERROR };
        let mut group = Group::with_title(level.primary_title(problem.title.as_str()));
        if !self.text.is_empty() {
            let place = AnnotationKind::Primary.span(self.inside(&problem.span)).label(problem.label.as_str());
            let mut snippet = Snippet::source(self.text.as_str()).path(path).annotation(place);
            if let Some((span, label)) = &problem.other {
                snippet = snippet.annotation(AnnotationKind::Context.span(self.inside(span)).label(label.as_str()));
            }
            group = group.element(snippet);
        }
        if let Some(mend) = &problem.mend {
            group = group.element(Level::HELP.message(mend.as_str()));
        }
        renderer.render(&[group])
    }

    /// A place at the end of the file may lie behind its last byte.
    fn inside(&self, span: &Span) -> Span {
        let end = span.end.min(self.text.len());
        span.start.min(end)..end
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Invalid {}
