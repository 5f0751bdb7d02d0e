//! The text format of Prometheus, read as strictly as its description has it (exposition formats, version 0.0.4).

use std::collections::{BTreeMap, HashMap, HashSet};

/// Samples by name and labels, as in `name{a="x",b="y"}`, labels in the order of their names.
#[derive(Debug)]
pub(crate) struct Exposition(pub(crate) BTreeMap<String, f64>);

impl Exposition {
    /// Reads a text; panics, with the line, at anything that is not as it must be.
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n') && !text.contains('\r'), "the last line ends too");
        let (mut kinds, mut helped) = (HashMap::new(), HashSet::new());
        let mut samples = BTreeMap::new();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(is_name(name) && !help.is_empty(), "{line}");
                assert!(helped.insert(name.to_owned()), "a second {line}");
                name.clone_into(&mut family);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert_eq!(name, family, "the type stands behind the help: {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "a second {line}");
            } else {
                let (name, labels, value) = sample(line);
                let kind = kinds.get(&family).map_or_else(|| panic!("no type before {line}"), String::as_str);
                let fits = match kind {
                    "histogram" => ["_bucket", "_sum", "_count"].iter().any(|end| name == family.clone() + end),
                    _ => name == family,
                };
                assert!(fits, "{line} stands below {family}");
                assert!(value >= 0.0 && value.is_finite(), "{line}");
                let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                assert!(samples.insert(format!("{name}{{{}}}", labels.join(",")), value).is_none(), "twice: {line}");
            }
        }
        let this = Self(samples);
        kinds.iter().filter(|(_, kind)| *kind == "histogram").for_each(|(name, _)| this.check_histogram(name));
        this
    }

    /// A sample that must be there.
    pub(crate) fn of(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("{series} is not among {:#?}", self.0))
    }

    /// The sum of all samples that begin like this.
    pub(crate) fn sum(&self, beginning: &str) -> f64 {
        self.0.iter().filter(|(series, _)| series.starts_with(beginning)).map(|(_, value)| value).sum()
    }

    /// Classes are cumulative and in order, and the last holds everything.
    fn check_histogram(&self, name: &str) {
        for (series, count) in self.0.iter().filter(|(series, _)| series.starts_with(&format!("{name}_count{{"))) {
            let labels = series.split_once('{').expect("labels").1.trim_end_matches('}');
            let bucket = |series: &str| {
                let inside = series.strip_prefix(&format!("{name}_bucket{{le=\""))?.strip_suffix('}')?;
                let (bound, rest) = inside.split_once("\",")?;
                (rest == labels).then(|| bound.parse::<f64>().expect(series))
            };
            let mut classes: Vec<_> =
                self.0.iter().filter_map(|(series, count)| Some((bucket(series)?, *count))).collect();
            classes.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(classes.is_sorted_by(|one, other| one.0 < other.0 && one.1 <= other.1), "{classes:?}");
            assert_eq!(classes.last(), Some(&(f64::INFINITY, *count)), "{series}");
            self.of(&series.replace("_count{", "_sum{"));
        }
    }
}

/// `name{label="value",...} number`.
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, behind) = rest.split_once("=\"").expect(line);
            assert!(is_name(label) && !label.contains(':') && !label.starts_with("__"), "{line}");
            let (value, behind) = unescape(behind, line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            match behind.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = behind.strip_prefix('}').expect(line);
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').expect(line);
    (name.to_owned(), labels, value.parse().expect(line))
}

/// The value up to its closing quote, and what is behind that.
fn unescape<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().expect(line).1 {
                'n' => value.push('\n'),
                escaped @ ('"' | '\\') => value.push(escaped),
                other => panic!("\\{other} in {line}"),
            },
            other => value.push(other),
        }
    }
    panic!("no closing quote in {line}")
}

fn is_name(name: &str) -> bool {
    let good = |(at, char): (usize, char)| {
        char.is_ascii_alphabetic() || "_:".contains(char) || (at > 0 && char.is_ascii_digit())
    };
    !name.is_empty() && name.char_indices().all(good)
}
