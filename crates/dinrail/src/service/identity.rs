//! Device identification, FC 43 / 14, in front of any service (AP 6.21).

use std::collections::BTreeMap;
use std::fmt;

use super::{Call, Reply, Service};
use crate::proto::pdu::device_id::{self, MAX_OBJECT};
use crate::proto::{ExceptionCode, Request, UnitId};

/// What a device says of itself: vendor, product and more, by object id.
///
/// Basic objects (00 to 02) always exist, empty until they are set. Setting a regular one (03 to 7F) or one of the
/// device's own (80 to FF) raises the conformity level that the device reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceIdentity {
    objects: BTreeMap<u8, Vec<u8>>,
}

impl Default for DeviceIdentity {
    fn default() -> Self {
        Self { objects: (0..=2).map(|id| (id, Vec::new())).collect() }
    }
}

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident = $id:literal;)*) => {
        $($(#[$doc])*
        pub fn $name(self, text: impl AsRef<str>) -> Self {
            self.with_object($id, text.as_ref().as_bytes())
        })*
    };
}

impl DeviceIdentity {
    /// The three basic objects: vendor name, product code and revision ("V2.11").
    pub fn new(vendor: impl AsRef<str>, product_code: impl AsRef<str>, revision: impl AsRef<str>) -> Self {
        Self::default().with_vendor_name(vendor).with_product_code(product_code).with_revision(revision)
    }

    objects! {
        /// Object 00.
        with_vendor_name = 0x00;
        /// Object 01.
        with_product_code = 0x01;
        /// Object 02, major and minor revision.
        with_revision = 0x02;
        /// Object 03.
        with_vendor_url = 0x03;
        /// Object 04.
        with_product_name = 0x04;
        /// Object 05.
        with_model_name = 0x05;
        /// Object 06, what the user named the device.
        with_user_application_name = 0x06;
    }

    /// Any object; its value is cut at 244 bytes, the most that one reply can hold.
    pub fn with_object(mut self, id: u8, value: &[u8]) -> Self {
        self.objects.insert(id, value[..value.len().min(MAX_OBJECT)].to_vec());
        self
    }

    /// The value of an object, if it is there.
    pub fn object(&self, id: u8) -> Option<&[u8]> {
        self.objects.get(&id).map(Vec::as_slice)
    }
}

/// A service that knows who it is; [`Service::with_identity`] makes it.
pub struct Identified<S> {
    service: S,
    identity: DeviceIdentity,
}

impl<S> Identified<S> {
    pub(super) fn new(service: S, identity: DeviceIdentity) -> Self {
        Self { service, identity }
    }
}

impl<S: Service> Service for Identified<S> {
    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        self.service.allows(call)
    }

    async fn call(&self, mut call: Call<'_>) -> Reply {
        match self.identify(&mut call) {
            Some(reply) => reply,
            None => self.service.call(call).await,
        }
    }

    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        self.identify(call).or_else(|| self.service.call_now(call))
    }

    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.service.served_units()
    }
}

impl<S> Identified<S> {
    /// The answer to Read Device Identification; `None` for every other request, by its first two bytes alone.
    fn identify(&self, call: &mut Call<'_>) -> Option<Reply> {
        if !matches!(call.pdu(), [43, device_id::MEI_TYPE, ..]) {
            return None;
        }
        let (code, object) = match call.request() {
            Ok(Request::ReadDeviceIdentification { code, object }) => (code, object),
            Ok(_) => return Some(Reply::Exception(ExceptionCode::IllegalFunction)),
            Err(exception) => return Some(Reply::Exception(exception)),
        };
        let objects = self.identity.objects.iter().map(|(id, value)| (*id, value.as_slice()));
        Some(match device_id::answer(call.parts().1, code, object, objects) {
            Ok(length) => Reply::written(length),
            Err(exception) => Reply::Exception(exception),
        })
    }
}

impl<S> fmt::Debug for Identified<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identified").field(&self.identity).finish()
    }
}
