//! The examples of transports and framings of one's own, as programs that are run.

use crate::raw::soon;

#[allow(dead_code, unreachable_pub, reason = "a program, not a module")]
#[path = "../../examples/custom_transport.rs"]
mod custom_transport;

#[tokio::test]
async fn s001_29_the_example_speaks_over_a_transport_of_its_own() {
    assert_eq!(soon(custom_transport::converse()).await.unwrap(), (vec![1, 2, 3, 4, 0], 1));
}

#[allow(dead_code, unreachable_pub, reason = "a program, not a module")]
#[path = "../../examples/radio_modem.rs"]
mod radio_modem;

#[tokio::test]
async fn s001_29_the_example_speaks_over_a_serial_line_of_its_own() {
    assert_eq!(soon(radio_modem::converse()).await.unwrap(), (5050, vec![2, 0xD8, 0xFF]));
}

#[allow(dead_code, unreachable_pub, reason = "a program, not a module")]
#[path = "../../examples/custom_framing.rs"]
mod custom_framing;

#[tokio::test]
async fn s001_23_the_example_speaks_in_a_framing_of_its_own() {
    assert_eq!(soon(custom_framing::converse()).await.unwrap(), (vec![0x7E7E, 2, 3], "pump".to_owned()));
}
