//! What of all that is seen somebody wants to see.

use dinrail::Area;
use dinrail::proto::FunctionCode;
use dinrail::sniff::Event;

/// Each list allows everything when it is empty.
pub(super) struct Filter {
    pub(super) units: Vec<u8>,
    pub(super) functions: Vec<u8>,
    pub(super) areas: Vec<Area>,
}

impl Filter {
    pub(super) fn wants(&self, event: &Event) -> bool {
        let unit = |unit: Option<u8>| self.units.is_empty() || unit.is_some_and(|unit| self.units.contains(&unit));
        match event {
            Event::Exchange(exchange) => {
                let function = exchange.function();
                let of = |function: FunctionCode| self.functions.contains(&function.code());
                let is_function = self.functions.is_empty() || function.is_some_and(of);
                let area = function.and_then(area_of);
                let is_area = self.areas.is_empty() || area.is_some_and(|area| self.areas.contains(&area));
                unit(Some(exchange.unit.0)) && is_function && is_area
            }
            // What is broken may be anything that was asked for.
            Event::Garbage { awaited, .. } => unit(awaited.map(u8::from)),
            _ => true,
        }
    }
}

/// The area that a function reads or writes.
fn area_of(function: FunctionCode) -> Option<Area> {
    match function.code() {
        1 | 5 | 15 => Some(Area::Coil),
        2 => Some(Area::DiscreteInput),
        4 => Some(Area::InputRegister),
        3 | 6 | 16 | 22 | 23 | 24 => Some(Area::HoldingRegister),
        _ => None,
    }
}
