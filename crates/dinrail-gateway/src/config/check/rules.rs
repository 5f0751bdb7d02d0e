//! Rules of who may do what.

use std::sync::Arc;

use dinrail::Area;
use dinrail::proto::FunctionCode;
use dinrail::service::{self, Rules};

use super::Checker;
use crate::config::kinds::Access;
use crate::config::problem::Problem;
use crate::config::read::At;
use crate::config::{Rule, Server, required};

impl Checker<'_> {
    /// The rules of a server, and the text of the file that they are from, if they are from one.
    pub(super) fn authorization(&mut self, section: &Server) -> (Option<Rules>, Option<Arc<str>>) {
        let (rules, file) = match (&section.rule, &section.rules) {
            (Some(rules), Some(file)) => {
                let problem = Problem::new("the rules are said twice", &file.span, "in a file")
                    .with_other(&rules.value.first().map_or(rules.span.clone(), |rule| rule.span.clone()), "and here");
                self.add(problem.with_mend("keep `rules`, or [[server.rule]]"));
                return (None, None);
            }
            (Some(rules), None) => return (Some(self.rules(rules)), None),
            (None, None) => return (None, None),
            (None, Some(file)) => (self.directory.join(&file.value), file),
        };
        let text = match std::fs::read_to_string(&rules) {
            Ok(text) => text,
            Err(error) => {
                let problem =
                    Problem::new(format!("cannot read {}: {error}", rules.display()), &file.span, "this file");
                self.add(problem.with_mend("name a file that is there; paths begin where the dinrail file is"));
                return (None, None);
            }
        };
        match Rules::from_toml(&text) {
            Ok(rules) => (Some(rules), Some(text.into())),
            Err(error) => {
                let title = format!("the rules in {} cannot be used: {error}", rules.display());
                self.add(Problem::new(title, &file.span, "this file").with_mend("mend that file"));
                (None, None)
            }
        }
    }

    fn rules(&mut self, rules: &At<Vec<At<Rule>>>) -> Rules {
        rules.value.iter().filter_map(|rule| self.rule(rule)).collect()
    }

    fn rule(&mut self, at: &At<Rule>) -> Option<service::Rule> {
        let section = &at.value;
        let mend = "say what it allows: access = \"read\", \"write\" or \"all\"";
        let access = required(section.access.as_ref(), "access", &at.span, mend, self.problems);
        let anyone = section.anyone.as_ref().filter(|anyone| anyone.value);
        let made = match (&section.role, anyone) {
            (Some(role), None) if !role.value.is_empty() => Some(Some(Arc::<str>::from(role.value.as_str()))),
            (Some(role), None) => {
                let problem = Problem::new("a role is empty", &role.span, "no certificate has such a one");
                self.add(problem.with_mend("write the role that is in the certificate"));
                None
            }
            (None, Some(_)) => Some(None),
            (Some(role), Some(anyone)) => {
                let problem = Problem::new("the rule has a role and is for anyone", &role.span, "a role")
                    .with_other(&anyone.span, "anyone");
                self.add(problem.with_mend("take one of the two"));
                None
            }
            (None, None) => {
                let problem = Problem::new("the rule is for nobody", &at.span, "here");
                self.add(problem.with_mend("give it a role, or anyone = true"));
                None
            }
        };
        let access = match access?.value {
            Access::Read => service::Access::Read,
            Access::Write => service::Access::Write,
            Access::All => service::Access::All,
        };
        let mut rule = match made? {
            Some(role) => service::Rule::new(role, access),
            None => service::Rule::anyone(access),
        };
        for units in section.units.iter().flat_map(|units| self.units(&units.value)) {
            rule = rule.with_units(units);
        }
        for range in section.functions.iter().flat_map(|functions| &functions.value.0) {
            for code in range.value.clone() {
                match u8::try_from(code).ok().and_then(FunctionCode::new) {
                    Some(function) => rule = rule.with_functions([function]),
                    None => {
                        let problem = Problem::new(format!("{code} is no function code"), &range.span, "no function");
                        self.add(problem.with_mend("take codes from 1 to 127"));
                        break;
                    }
                }
            }
        }
        let areas = [
            (Area::Coil, &section.co),
            (Area::DiscreteInput, &section.di),
            (Area::HoldingRegister, &section.hr),
            (Area::InputRegister, &section.ir),
        ];
        for (area, ranges) in areas {
            for range in ranges.iter().flat_map(|ranges| &ranges.value.0) {
                rule = rule.with_area(area, range.value.clone());
            }
        }
        for range in section.files.iter().flat_map(|files| &files.value.0) {
            rule = rule.with_files(range.value.clone());
        }
        Some(rule)
    }
}
