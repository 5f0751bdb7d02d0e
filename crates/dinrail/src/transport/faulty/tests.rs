//! Each fault by itself, in virtual time.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;

/// A bad line and its other end.
fn line(faults: Faults) -> (FaultyStream<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(1 << 20);
    (FaultyStream::new(near, faults), far)
}

/// Writes each of `writes` after the other, with time between them, closes, and says what arrives.
async fn through(faults: Faults, writes: &[&[u8]]) -> Vec<u8> {
    let (mut near, mut far) = line(faults);
    for write in writes {
        near.write_all(write).await.expect("open");
        near.flush().await.expect("open");
    }
    near.shutdown().await.expect("open");
    let mut arrived = Vec::new();
    far.read_to_end(&mut arrived).await.expect("open");
    arrived
}

#[tokio::test(start_paused = true)]
async fn without_faults_nothing_changes() {
    assert_eq!(through(Faults::default(), &[b"one", b"two"]).await, b"onetwo");
}

#[tokio::test(start_paused = true)]
async fn bytes_take_their_time_both_ways_and_keep_their_order() {
    let delay = Duration::from_millis(5)..Duration::from_millis(20);
    let (mut near, mut far) = line(Faults::default().with_delay(delay.clone()));
    let mut times = std::collections::BTreeSet::new();
    for number in 0..50u8 {
        let begun = Instant::now();
        // Nobody flushes, and the reader drives what is written.
        near.write_all(&[number]).await.expect("open");
        let answer = async {
            let got = far.read_u8().await.expect("open");
            assert_eq!(got, number);
            // The timer has a resolution of a millisecond.
            let took = begun.elapsed();
            assert!(took >= delay.start && took <= delay.end + Duration::from_millis(1), "{took:?}");
            far.write_all(&[got]).await.expect("open");
        };
        let (got, ()) = tokio::join!(near.read_u8(), answer);
        assert_eq!(got.expect("open"), number);
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(10) && took <= Duration::from_millis(42), "{took:?}");
        times.insert(took);
    }
    assert!(times.len() > 10, "anything in the range: {times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_delayed_write_leaves_without_anybody_who_flushes() {
    let delay = Duration::from_millis(5);
    let (near, mut far) = line(Faults::default().with_delay(delay..delay));
    let (mut reader, mut writer) = tokio::io::split(near);
    let reading = tokio::spawn(async move { reader.read_u8().await });
    tokio::task::yield_now().await;
    writer.write_all(b"x").await.expect("open");
    assert_eq!(far.read_u8().await.expect("open"), b'x');
    far.write_all(b"y").await.expect("open");
    assert_eq!(reading.await.expect("no panic").expect("open"), b'y');
}

#[tokio::test(start_paused = true)]
async fn writes_are_dropped_as_often_as_was_asked_for() {
    let writes = vec![&b"ab"[..]; 10_000];
    let arrived = through(Faults::default().with_drop(0.01).with_seed(7), &writes).await;
    let lost = 10_000 - arrived.len() / 2;
    assert!((70..130).contains(&lost), "{lost} of 10000");
    assert!(arrived.chunks(2).all(|write| write == b"ab"), "whole writes");
}

#[tokio::test(start_paused = true)]
async fn bytes_are_lost_and_bits_flip_one_at_a_time() {
    let zeros = vec![0; 50_000];
    let arrived = through(Faults::default().with_lose(0.1), &[&zeros]).await;
    assert!((44_000..46_000).contains(&arrived.len()), "{}", arrived.len());

    let arrived = through(Faults::default().with_flip(0.1), &[&zeros]).await;
    assert_eq!(arrived.len(), zeros.len());
    let flipped = arrived.iter().filter(|byte| **byte != 0).count();
    assert!((4_500..5_500).contains(&flipped), "{flipped}");
    assert!(arrived.iter().all(|byte| byte.count_ones() <= 1), "one bit of a byte");
}

#[tokio::test(start_paused = true)]
async fn what_is_split_arrives_in_pieces_and_whole() {
    let (mut near, mut far) = line(Faults::default().with_split(1.0));
    near.write_all(b"0123456789").await.expect("open");
    let (mut arrived, mut pieces) = (Vec::new(), 0);
    let flushed = async { near.flush().await.expect("open") };
    let read = async {
        while arrived.len() < 10 {
            pieces += 1;
            assert_ne!(far.read_buf(&mut arrived).await.expect("open"), 0);
        }
    };
    tokio::join!(flushed, read);
    assert_eq!(arrived, b"0123456789");
    assert!((2..=4).contains(&pieces), "{pieces}");
}

#[tokio::test(start_paused = true)]
async fn what_is_merged_arrives_together_or_alone_after_a_while() {
    let (mut near, mut far) = line(Faults::default().with_merge(1.0));
    let begun = Instant::now();
    near.write_all(b"one").await.expect("open");
    near.write_all(b"two").await.expect("open");
    let mut arrived = Vec::new();
    let (flushed, read) = tokio::join!(near.flush(), far.read_buf(&mut arrived));
    flushed.expect("open");
    assert_eq!((read.expect("open"), &arrived[..]), (6, &b"onetwo"[..]));
    assert_eq!(begun.elapsed().as_millis(), PATIENCE.as_millis());
}

#[tokio::test(start_paused = true)]
async fn what_is_duplicated_arrives_twice() {
    assert_eq!(through(Faults::default().with_duplicate(1.0), &[b"ab", b"c"]).await, b"ababcc");
}

#[tokio::test(start_paused = true)]
async fn what_is_written_comes_back_before_the_answer() {
    let (mut near, mut far) = line(Faults::default().with_echo(true));
    near.write_all(b"ask").await.expect("open");
    far.write_all(b"tell").await.expect("open");
    let mut heard = [0; 7];
    near.read_exact(&mut heard).await.expect("open");
    assert_eq!(&heard, b"asktell");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_faults() {
    let faults: Faults = "drop=10%,lose=1%,flip=2%,split,merge,duplicate".parse().expect("right");
    let writes: Vec<Vec<u8>> = (0..200u8).map(|number| vec![number; 9]).collect();
    let writes: Vec<&[u8]> = writes.iter().map(Vec::as_slice).collect();
    let first = through(faults.clone().with_seed(3), &writes).await;
    assert_eq!(through(faults.clone().with_seed(3), &writes).await, first);
    assert_ne!(through(faults.with_seed(4), &writes).await, first);
}

#[tokio::test(start_paused = true)]
async fn the_end_and_errors_pass() {
    let (mut near, far) = line(Faults::default().with_delay(Duration::from_millis(5)..Duration::from_millis(9)));
    drop(far);
    assert_eq!(near.read(&mut [0; 4]).await.expect("an end"), 0);
    let error = async { near.write_all(b"x").await.and(near.flush().await) }.await.expect_err("nobody is there");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_while_the_other_end_does_not_read() {
    let (near, far) = duplex(1024);
    let mut near =
        FaultyStream::new(near, Faults::default().with_delay(Duration::from_millis(1)..Duration::from_millis(2)));
    let wrote = tokio::time::timeout(Duration::from_secs(1), near.write_all(&vec![0; 1 << 20])).await;
    assert!(wrote.is_err(), "a writer must wait");
    drop(far);
}
