//! The asynchronous client against servers that misbehave on purpose. Names carry the rows of the mission they prove.

mod comeback;
mod connection;
mod examples;
mod fake;
mod functions;
mod gateway;
mod held_up;
mod jobs;
mod many;
mod pacing;
mod pool;
mod replies;
mod retry;
mod rtu;
mod silence;
mod unsent;

use dinrail::Client;

#[tokio::test]
async fn s003_1_reads_and_closes_on_drop() {
    let (listener, address) = fake::listen().await;
    let server = tokio::spawn(async move {
        let mut peer = fake::Peer::accept(&listener).await;
        for _ in 0..100 {
            let asked = peer.asked().await;
            peer.send(&asked.registers(5)).await;
        }
        peer.try_asked().await
    });
    let client = Client::connect(address).await.expect("a connection");
    for _ in 0..100 {
        assert_eq!(client.read_holding_registers(10, 3).await.expect("an answer"), [15, 16, 17]);
    }
    assert!(client.is_connected());
    drop(client);
    assert_eq!(server.await.expect("no panic"), None, "the connection is closed with the last handle");
}
