//! What a device has besides its registers: files, queues, and what it says of itself; and what clients may not write.

use dinrail::Area;
use dinrail::service::DeviceIdentity;

use super::Checker;
use crate::config::kinds::ReadOnly;
use crate::config::problem::{Problem, Span};
use crate::config::read::{At, Named};
use crate::config::{Identity, Server};
use crate::read_only;

/// A file has records 0 to 9999.
const MOST_RECORDS: usize = 10_000;

impl Checker<'_> {
    /// Keys that are numbers.
    pub(super) fn check_numbered<T>(&mut self, table: Option<&At<Named<T>>>, what: &str, least: u16) {
        for (key, entry) in table.iter().flat_map(|table| &table.value.0) {
            if !key.parse::<u16>().is_ok_and(|number| number >= least) {
                let problem = Problem::new(format!("{key:?} is not {what}"), &entry.key, "no such number");
                self.add(problem.with_mend(format!("take a number from {least} to 65535")));
            }
        }
    }

    pub(super) fn check_lengths(&mut self, section: &Server) {
        for (_, entry) in section.files.iter().flat_map(|files| &files.value.0) {
            let length = entry.value.value.len();
            if length > MOST_RECORDS {
                let problem =
                    Problem::new(format!("a file cannot have {length} records"), &entry.value.span, "too many");
                self.add(problem.with_mend("write 10000 at most"));
            }
        }
        if let Some(id) = &section.server_id
            && id.value.0.len() > 249
        {
            let title = format!("a server id of {} bytes does not fit in a reply", id.value.0.len());
            self.add(Problem::new(title, &id.span, "too long").with_mend("write 249 bytes at most"));
        }
    }

    pub(super) fn identity(&mut self, section: &Identity) -> DeviceIdentity {
        let texts = [
            (0, &section.vendor),
            (1, &section.product),
            (2, &section.revision),
            (3, &section.url),
            (4, &section.product_name),
            (5, &section.model),
            (6, &section.application),
        ];
        let mut identity = DeviceIdentity::default();
        for (id, text) in texts {
            if let Some(text) = text {
                identity = identity.with_object(id, self.object(&text.value, &text.span));
            }
        }
        for (key, entry) in section.objects.iter().flat_map(|objects| &objects.value.0) {
            match key.parse() {
                Ok(id @ 128..) => {
                    identity = identity.with_object(id, self.object(&entry.value.value, &entry.value.span))
                }
                _ => {
                    let problem =
                        Problem::new(format!("{key:?} is no object of one's own"), &entry.key, "no such object");
                    self.add(problem.with_mend("take a number from 128 to 255"));
                }
            }
        }
        identity
    }

    fn object<'t>(&mut self, text: &'t str, span: &Span) -> &'t [u8] {
        if text.len() > 244 {
            let title = format!("an object of {} bytes does not fit in a reply", text.len());
            self.add(Problem::new(title, span, "too long").with_mend("write 244 bytes at most"));
        }
        text.as_bytes()
    }
}

/// What clients may not write.
pub(super) fn read_only(section: &ReadOnly) -> Option<read_only::ReadOnly> {
    match section {
        ReadOnly::All(true) => Some(read_only::ReadOnly::Everything),
        ReadOnly::All(false) => None,
        ReadOnly::Places(places) => {
            let areas = [(Area::Coil, &places.co), (Area::HoldingRegister, &places.hr)];
            let ranges = areas.into_iter().flat_map(|(area, place)| {
                place.iter().flat_map(move |place| place.0.0.iter().map(move |range| (area, range.value.clone())))
            });
            Some(read_only::ReadOnly::These(ranges.collect()))
        }
    }
}
