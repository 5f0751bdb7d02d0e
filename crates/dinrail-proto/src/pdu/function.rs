//! Function codes (AP 5.1).

use core::fmt;

use super::Area;

/// A function code: the first byte of every PDU, 1 to 127 (AP 4.1).
///
/// Codes without a name here are legal too: user-defined ones (65-72 and 100-110) and whatever a device speaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionCode(u8);

macro_rules! function_codes {
    ($($(#[$doc:meta])* $konst:ident = $code:literal, $name:literal;)*) => {
        impl FunctionCode {
            $($(#[$doc])* pub const $konst: Self = Self($code);)*

            /// The name that the specification gives the function, if it has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

function_codes! {
    /// AP 6.1.
    READ_COILS = 1, "Read Coils";
    /// AP 6.2.
    READ_DISCRETE_INPUTS = 2, "Read Discrete Inputs";
    /// AP 6.3.
    READ_HOLDING_REGISTERS = 3, "Read Holding Registers";
    /// AP 6.4.
    READ_INPUT_REGISTERS = 4, "Read Input Registers";
    /// AP 6.5.
    WRITE_SINGLE_COIL = 5, "Write Single Coil";
    /// AP 6.6.
    WRITE_SINGLE_REGISTER = 6, "Write Single Register";
    /// AP 6.7, meant for serial lines.
    READ_EXCEPTION_STATUS = 7, "Read Exception Status";
    /// AP 6.8, meant for serial lines.
    DIAGNOSTICS = 8, "Diagnostics";
    /// AP 6.9, meant for serial lines.
    GET_COMM_EVENT_COUNTER = 11, "Get Comm Event Counter";
    /// AP 6.10, meant for serial lines.
    GET_COMM_EVENT_LOG = 12, "Get Comm Event Log";
    /// AP 6.11.
    WRITE_MULTIPLE_COILS = 15, "Write Multiple Coils";
    /// AP 6.12.
    WRITE_MULTIPLE_REGISTERS = 16, "Write Multiple Registers";
    /// AP 6.13, meant for serial lines.
    REPORT_SERVER_ID = 17, "Report Server ID";
    /// AP 6.14.
    READ_FILE_RECORD = 20, "Read File Record";
    /// AP 6.15.
    WRITE_FILE_RECORD = 21, "Write File Record";
    /// AP 6.16.
    MASK_WRITE_REGISTER = 22, "Mask Write Register";
    /// AP 6.17.
    READ_WRITE_MULTIPLE_REGISTERS = 23, "Read/Write Multiple Registers";
    /// AP 6.18.
    READ_FIFO_QUEUE = 24, "Read FIFO Queue";
    /// AP 6.19; its MEI type 14 is Read Device Identification (AP 6.21).
    ENCAPSULATED_INTERFACE_TRANSPORT = 43, "Encapsulated Interface Transport";
}

impl FunctionCode {
    /// The function of this byte; `None` for 0 and for 128 to 255, which are no function codes.
    pub const fn new(code: u8) -> Option<Self> {
        if code >= 1 && code <= 127 { Some(Self(code)) } else { None }
    }

    /// The byte on the wire.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The first byte of an exception reply to this function.
    pub const fn exception_byte(self) -> u8 {
        self.0 | 0x80
    }

    /// The function that reads `area`.
    pub const fn reading(area: Area) -> Self {
        match area {
            Area::Coil => Self::READ_COILS,
            Area::DiscreteInput => Self::READ_DISCRETE_INPUTS,
            Area::HoldingRegister => Self::READ_HOLDING_REGISTERS,
            Area::InputRegister => Self::READ_INPUT_REGISTERS,
        }
    }

    /// Whether asking twice does the same as asking once and changes nothing: what a client may repeat by itself.
    ///
    /// Diagnostics, FC 8, is not among them: some of its sub-functions clear counters or restart the device. FC 43 is,
    /// for the sake of MEI type 14; other types may write. [`pdu::is_read`](super::is_read) looks at the type too.
    pub const fn is_read(self) -> bool {
        matches!(self.0, 1..=4 | 7 | 11 | 12 | 17 | 20 | 24 | 43)
    }
}

impl fmt::Display for FunctionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "FC {} ({name})", self.0),
            None => write!(f, "FC {} (custom)", self.0),
        }
    }
}

impl fmt::Debug for FunctionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
