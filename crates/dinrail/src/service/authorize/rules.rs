//! Rules: each allows something to a role. What none allows is refused.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::proto::pdu::is_read;
use crate::proto::{Area, ExceptionCode, FunctionCode, Request, UnitId};
use crate::service::Call;

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// What asks and changes nothing: FC 1 to 4, 7, 11, 12, 17, 20, 24 and 43/14, and the reading half of FC 23.
    Read,
    /// Everything else: FC 5, 6, 8, 15, 16, 21, 22, the writing half of FC 23, and functions of one's own.
    Write,
    /// Both.
    All,
}

/// Allows something to a role. As it is made it allows one [`Access`] everywhere; each `with_` narrows it to what is
/// named, and may be called again to name more.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `None` for anyone.
    role: Option<Arc<str>>,
    access: Access,
    /// Ranges of units; `None` for every one.
    units: Option<Vec<RangeInclusive<u8>>>,
    /// A bit for each function code; `None` for every one.
    functions: Option<u128>,
    /// `None` for everywhere, and for what has no address.
    places: Option<Vec<(Kind, RangeInclusive<u16>)>>,
}

/// What an address counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Area(Area),
    File,
}

impl Rule {
    /// Allows this to clients whose certificate has the role `role`, letter for letter.
    pub fn new(role: impl Into<Arc<str>>, access: Access) -> Self {
        Self { role: Some(role.into()), ..Self::anyone(access) }
    }

    /// Allows this to everybody, with any role or without.
    pub fn anyone(access: Access) -> Self {
        Self { role: None, access, units: None, functions: None, places: None }
    }

    /// For these units. A broadcast, which reaches every unit, must be allowed for every one from 0 to 255.
    #[must_use]
    pub fn with_units(mut self, units: RangeInclusive<u8>) -> Self {
        self.units.get_or_insert_default().push(units);
        self
    }

    /// By these functions.
    #[must_use]
    pub fn with_functions(mut self, functions: impl IntoIterator<Item = FunctionCode>) -> Self {
        let bits = self.functions.get_or_insert_default();
        functions.into_iter().for_each(|function| *bits |= 1 << function.code());
        self
    }

    /// At these addresses of an area, 0-based. A rule that names addresses or files allows nothing that has none, such
    /// as device identification or diagnostics. The queue of FC 24 counts by the address of its pointer register.
    #[must_use]
    pub fn with_area(mut self, area: Area, addresses: RangeInclusive<u16>) -> Self {
        self.places.get_or_insert_default().push((Kind::Area(area), addresses));
        self
    }

    /// In these files (FC 20 and 21), with all of their records.
    #[must_use]
    pub fn with_files(mut self, files: RangeInclusive<u16>) -> Self {
        self.places.get_or_insert_default().push((Kind::File, files));
        self
    }

    /// Whether it is about this function of this unit for this role at all.
    fn is_about(&self, role: Option<&str>, unit: u8, function: u8) -> bool {
        self.role.as_deref().is_none_or(|of| role == Some(of))
            && self.units.as_ref().is_none_or(|units| units.iter().any(|units| units.contains(&unit)))
            && self.functions.is_none_or(|functions| function < 128 && functions & (1 << function) != 0)
    }

    fn has(&self, access: Access) -> bool {
        self.access == Access::All || self.access == access
    }

    /// The last address up to which it allows everything from `address` on; `None` when it does not allow that one.
    fn reach(&self, kind: Kind, address: u16) -> Option<u16> {
        let Some(places) = &self.places else { return Some(u16::MAX) };
        let there = places.iter().filter(|(of, addresses)| *of == kind && addresses.contains(&address));
        there.map(|(_, addresses)| *addresses.end()).max()
    }
}

/// What a part of a request is about.
struct Touch {
    access: Access,
    /// From this address to this one; `None` for what has no address.
    place: Option<(Kind, u16, u16)>,
}

/// Who may do what: everything that no [`Rule`] allows is refused. Cloning it shares the rules.
///
/// A request is allowed when each address that it touches is, whether by one rule or by several together, and its
/// reading and its writing are. With the Cargo feature `rules-file` rules are read from a TOML file (`Rules::from_file`).
///
/// ```
/// use dinrail::service::{Access, Memory, Rule, Rules, Service};
/// use dinrail::Area;
///
/// let rules = Rules::new()
///     .with(Rule::anyone(Access::Read))
///     .with(Rule::new("operator", Access::Write).with_area(Area::HoldingRegister, 0..=99))
///     .with(Rule::new("engineer", Access::All));
/// let service = Memory::new().with_rules(rules);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rules(Arc<Vec<Rule>>);

impl Rules {
    /// No rule: everything is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows what this rule says, too.
    #[must_use]
    pub fn with(mut self, rule: Rule) -> Self {
        Arc::make_mut(&mut self.0).push(rule);
        self
    }

    /// Whether a call is allowed.
    ///
    /// # Errors
    /// The exception to answer it with, and nothing may be done: 0x01 when no rule allows it (SEC R-31), and the
    /// specification's own for a request that is not whole, from clients that may use its function.
    pub fn check(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        let role = call.peer().role.as_deref();
        let Some(&function) = call.pdu().first() else { return Err(ExceptionCode::IllegalFunction) };
        let request = match call.request() {
            Ok(request) => request,
            // What it would touch cannot be told; a service that reads it in its own way must not be reached.
            Err(code) => {
                let allowed = self.0.iter().any(|rule| rule.is_about(role, call.unit().0, function));
                return Err(if allowed { code } else { ExceptionCode::IllegalFunction });
            }
        };
        let of_unit = |unit: u8| all_touches(&request, call.pdu(), |touch| self.allow(role, unit, function, &touch));
        // Once it has been spread over the units, it is about one of them.
        let is_for_all = call.is_broadcast() && call.unit() == UnitId(0);
        let allowed = if is_for_all { (0..=u8::MAX).all(of_unit) } else { of_unit(call.unit().0) };
        if allowed { Ok(()) } else { Err(ExceptionCode::IllegalFunction) }
    }

    fn allow(&self, role: Option<&str>, unit: u8, function: u8, touch: &Touch) -> bool {
        let mut rules = self.0.iter().filter(|rule| rule.is_about(role, unit, function) && rule.has(touch.access));
        let Some((kind, first, last)) = touch.place else {
            return rules.any(|rule| rule.places.is_none());
        };
        let mut from = first;
        loop {
            match rules.clone().filter_map(|rule| rule.reach(kind, from)).max() {
                None => return false,
                Some(to) if to >= last => return true,
                // Below `last`, so it does not overflow.
                Some(to) => from = to + 1,
            }
        }
    }
}

impl FromIterator<Rule> for Rules {
    fn from_iter<T: IntoIterator<Item = Rule>>(rules: T) -> Self {
        Self(Arc::new(rules.into_iter().collect()))
    }
}

/// Whether `allow` likes everything that a request touches.
fn all_touches(request: &Request<'_>, pdu: &[u8], mut allow: impl FnMut(Touch) -> bool) -> bool {
    let mut range = |access, area, address: u16, count: usize| {
        // A decoded request ends at 65535 or before.
        let last = address.saturating_add(u16::try_from(count.saturating_sub(1)).unwrap_or(u16::MAX));
        allow(Touch { access, place: Some((Kind::Area(area), address, last)) })
    };
    match *request {
        Request::Read { area, address, count } => range(Access::Read, area, address, count.into()),
        Request::WriteSingleCoil { address, .. } => range(Access::Write, Area::Coil, address, 1),
        Request::WriteSingleRegister { address, .. } | Request::MaskWriteRegister { address, .. } => {
            range(Access::Write, Area::HoldingRegister, address, 1)
        }
        Request::WriteMultipleCoils { address, values } => range(Access::Write, Area::Coil, address, values.len()),
        Request::WriteMultipleRegisters { address, values } => {
            range(Access::Write, Area::HoldingRegister, address, values.len())
        }
        Request::ReadWriteMultipleRegisters { read_address, read_count, write_address, values } => {
            range(Access::Write, Area::HoldingRegister, write_address, values.len())
                && range(Access::Read, Area::HoldingRegister, read_address, read_count.into())
        }
        Request::ReadFifoQueue { address } => range(Access::Read, Area::HoldingRegister, address, 1),
        Request::ReadFileRecord(groups) => groups
            .iter()
            .all(|group| allow(Touch { access: Access::Read, place: Some((Kind::File, group.file, group.file)) })),
        Request::WriteFileRecord(groups) => groups
            .iter()
            .all(|group| allow(Touch { access: Access::Write, place: Some((Kind::File, group.file, group.file)) })),
        _ => allow(Touch { access: if is_read(pdu) { Access::Read } else { Access::Write }, place: None }),
    }
}
