//! Durations as people type them: `500ms`, `1s`, `2m`.

use std::time::Duration;

/// A duration above zero, with its unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it must be longer than 0".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err("this is no duration: write a number and a unit, such as 500ms, 1s or 2m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_and_is_above_zero() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        for input in ["", "1", "0s", "-1s", "soon"] {
            assert!(parse_duration(input).is_err(), "{input:?}");
        }
    }
}
