//! A client in a process that did not run for a while.

use std::future::{Future as _, poll_fn};
use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use dinrail::Client;
use dinrail::client::Options;
use dinrail::transport::Tcp;

/// Answers with the address that was asked for, and says when it has.
fn device(listener: &std::net::TcpListener, answered: &mpsc::Sender<()>) {
    let (mut stream, _) = listener.accept().expect("a client");
    let mut request = [0; 12];
    while stream.read_exact(&mut request).is_ok() {
        let [first, second, .., unit, function, high, low, _, _] = request;
        stream.write_all(&[first, second, 0, 0, 0, 5, unit, function, 2, high, low]).expect("a client");
        let _ = answered.send(());
    }
}

#[tokio::test]
async fn a_reply_that_came_while_nothing_ran_is_no_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (says, answered) = mpsc::channel();
    let device = std::thread::spawn(move || device(&listener, &says));
    let patient = Options::default().with_timeout(Duration::from_secs(60));
    let client = Client::connect_with(Tcp::new(address), patient).await.expect("a connection");
    assert_eq!(client.read_holding_registers(1, 1).await.expect("an answer"), [1]);
    answered.recv().expect("it has answered");

    let timeout = Duration::from_millis(30);
    let hasty = client.with_timeout(timeout);
    let mut first = Box::pin(hasty.read_holding_registers(2, 1));
    // The runtime has this thread and no other. Nothing runs from when the request is sent until its time is up.
    poll_fn(|cx| {
        assert!(first.as_mut().poll(cx).is_pending());
        answered.recv().expect("it has answered");
        std::thread::sleep(timeout * 2);
        Poll::Ready(())
    })
    .await;
    // Another call has the client look at the clock before the runtime looks at its sockets.
    let (first, second) = tokio::join!(first, client.read_holding_registers(3, 1));
    assert_eq!(first.expect("the answer that had come"), [2]);
    assert_eq!(second.expect("an answer"), [3]);
    assert_eq!(client.stats().timeouts, 0);
    drop((hasty, client));
    device.join().expect("it ends with its connection");
}
