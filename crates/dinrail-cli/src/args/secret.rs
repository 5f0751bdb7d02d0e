//! Secrets, which are not typed where others can read them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use dinrail::Error;

/// The first line of a file.
pub(crate) fn secret(file: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let sentence = format!("cannot read the password from {}: {error}", file.display());
        Error::Io(Arc::new(io::Error::new(error.kind(), sentence)))
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
