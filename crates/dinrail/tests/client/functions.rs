//! Every method: what it sends, and what it makes of the answer.

use dinrail::client::{Client, Options};
use dinrail::proto::pdu::device_id::ReadDeviceId;
use dinrail::proto::pdu::diagnostics::Diagnostic;
use dinrail::proto::pdu::file_record::{FileRead, FileWrite};
use dinrail::{Error, FunctionCode};

use crate::fake::pipe;

/// Runs one call against a server that expects `request` and answers `reply`.
async fn exchange<T>(request: &[u8], reply: &[u8], call: impl AsyncFnOnce(Client) -> Result<T, Error>) -> T {
    let (client, mut peer) = pipe(Options::default());
    let (result, ()) = tokio::join!(call(client), async {
        let asked = peer.asked().await;
        assert_eq!(asked.pdu, request);
        peer.send(&asked.frame(reply)).await;
    });
    result.expect("an answer")
}

#[tokio::test(start_paused = true)]
async fn s003_12_reading() {
    let bits = [true, false, true, true, false, false, false, false, false, true];
    assert_eq!(exchange(&[1, 0, 5, 0, 10], &[1, 2, 0x0D, 2], async |c| c.read_coils(5, 10).await).await, bits);
    assert_eq!(
        exchange(&[2, 0, 5, 0, 10], &[2, 2, 0x0D, 2], async |c| c.read_discrete_inputs(5, 10).await).await,
        bits
    );
    assert_eq!(
        exchange(&[3, 0, 5, 0, 2], &[3, 4, 0, 1, 0, 2], async |c| c.read_holding_registers(5, 2).await).await,
        [1, 2]
    );
    assert_eq!(
        exchange(&[4, 0, 5, 0, 2], &[4, 4, 0, 1, 0, 2], async |c| c.read_input_registers(5, 2).await).await,
        [1, 2]
    );
    let (mut bools, mut words) = ([false; 10], [0; 2]);
    exchange(&[1, 0, 5, 0, 10], &[1, 2, 0x0D, 2], async |c| c.read_coils_into(5, &mut bools).await).await;
    assert_eq!(bools, bits);
    bools = [false; 10];
    exchange(&[2, 0, 5, 0, 10], &[2, 2, 0x0D, 2], async |c| c.read_discrete_inputs_into(5, &mut bools).await).await;
    assert_eq!(bools, bits);
    exchange(&[3, 0, 5, 0, 2], &[3, 4, 0, 1, 0, 2], async |c| c.read_holding_registers_into(5, &mut words).await).await;
    assert_eq!(words, [1, 2]);
    exchange(&[4, 0, 5, 0, 2], &[4, 4, 0, 3, 0, 4], async |c| c.read_input_registers_into(5, &mut words).await).await;
    assert_eq!(words, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn s003_12_writing() {
    exchange(&[5, 0, 5, 0xFF, 0], &[5, 0, 5, 0xFF, 0], async |c| c.write_coil(5, true).await).await;
    exchange(&[6, 0, 5, 1, 2], &[6, 0, 5, 1, 2], async |c| c.write_register(5, 0x102).await).await;
    let coils = async |c: Client| c.write_coils(5, &[true, false, true]).await;
    exchange(&[15, 0, 5, 0, 3, 1, 5], &[15, 0, 5, 0, 3], coils).await;
    let registers = async |c: Client| c.write_registers(5, &[1, 2]).await;
    exchange(&[16, 0, 5, 0, 2, 4, 0, 1, 0, 2], &[16, 0, 5, 0, 2], registers).await;
    let mask = async |c: Client| c.mask_write_register(5, 0xF2, 0x25).await;
    exchange(&[22, 0, 5, 0, 0xF2, 0, 0x25], &[22, 0, 5, 0, 0xF2, 0, 0x25], mask).await;
    let both = async |c: Client| c.read_write_registers(3, 2, 5, &[9]).await;
    assert_eq!(exchange(&[23, 0, 3, 0, 2, 0, 5, 0, 1, 2, 0, 9], &[23, 4, 0, 1, 0, 2], both).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn files_queues_and_functions_of_ones_own() {
    let read = async |c: Client| c.read_file_record(4, 1, 2).await;
    assert_eq!(
        exchange(&[20, 7, 6, 0, 4, 0, 1, 0, 2], &[20, 6, 5, 6, 0x0D, 0xFE, 0, 0x20], read).await,
        [0x0DFE, 0x20]
    );
    let reads = [FileRead { file: 4, record: 1, length: 1 }, FileRead { file: 3, record: 9, length: 1 }];
    let request = [20, 14, 6, 0, 4, 0, 1, 0, 1, 6, 0, 3, 0, 9, 0, 1];
    let groups =
        exchange(&request, &[20, 8, 3, 6, 0, 1, 3, 6, 0, 2], async |c| c.read_file_records(&reads).await).await;
    assert_eq!(groups, [[1], [2]]);
    let frame = [21, 9, 6, 0, 4, 0, 7, 0, 1, 0xAB, 0xCD];
    exchange(&frame, &frame, async |c| c.write_file_record(4, 7, &[0xABCD]).await).await;
    let writes = [FileWrite { file: 4, record: 7, values: (&[0xABCD_u16][..]).into() }];
    exchange(&frame, &frame, async |c| c.write_file_records(&writes).await).await;
    let queue = async |c: Client| c.read_fifo_queue(0x4DE).await;
    assert_eq!(exchange(&[24, 4, 0xDE], &[24, 0, 6, 0, 2, 1, 0xB8, 0x12, 0x84], queue).await, [0x1B8, 0x1284]);
    let function = FunctionCode::new(0x41).expect("a function code");
    let custom = async |c: Client| c.custom(function, &[1, 2, 3]).await;
    assert_eq!(exchange(&[0x41, 1, 2, 3], &[0x41, 9], custom).await, [9]);
}

#[tokio::test(start_paused = true)]
async fn status_and_diagnostics() {
    assert_eq!(exchange(&[7], &[7, 0x6D], async |c| c.read_exception_status().await).await, 0x6D);
    let counter = exchange(&[11], &[11, 0xFF, 0xFF, 1, 8], async |c| c.comm_event_counter().await).await;
    assert_eq!((counter.status, counter.events), (0xFFFF, 0x108));
    let log = exchange(&[12], &[12, 8, 0, 0, 1, 8, 1, 0x21, 0x20, 0], async |c| c.comm_event_log().await).await;
    assert_eq!((log.status, log.events, log.messages, log.log), (0, 0x108, 0x121, vec![0x20, 0]));
    assert_eq!(exchange(&[17], &[17, 3, 9, 0xFF, 1], async |c| c.report_server_id().await).await, [9, 0xFF, 1]);
    let echo = [8, 0, 0, 0xA5, 0x37, 1];
    exchange(&echo, &echo, async |c| c.return_query_data(&[0xA5, 0x37, 1]).await).await;
    let counter = async |c: Client| c.diagnostic_counter(Diagnostic::BUS_MESSAGE_COUNT).await;
    assert_eq!(exchange(&[8, 0, 0x0B, 0, 0], &[8, 0, 0x0B, 1, 2], counter).await, 0x102);
    let any = async |c: Client| c.diagnostics(Diagnostic::RETURN_DIAGNOSTIC_REGISTER, &[0, 0]).await;
    assert_eq!(exchange(&[8, 0, 2, 0, 0], &[8, 0, 2, 1, 2], any).await, [1, 2]);
    let clear = [8, 0, 0x0A, 0, 0];
    exchange(&clear, &clear, async |c| c.clear_diagnostic_counters().await).await;
    let restart = [8, 0, 1, 0xFF, 0];
    exchange(&restart, &restart, async |c| c.restart_communications(true).await).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_answers_force_listen_only() {
    let (client, mut peer) = pipe(Options::default());
    client.force_listen_only().await.expect("sent");
    assert_eq!(peer.asked().await.pdu, [8, 0, 4, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn device_identification_is_followed_to_its_end() {
    let (client, mut peer) = pipe(Options::default());
    let server = async {
        let asked = peer.asked().await;
        assert_eq!(asked.pdu, [43, 14, 2, 0]);
        peer.send(&asked.frame(&[43, 14, 2, 0x82, 0xFF, 1, 1, 0, 2, b'd', b'r'])).await;
        let asked = peer.asked().await;
        assert_eq!(asked.pdu, [43, 14, 2, 1]);
        peer.send(&asked.frame(&[43, 14, 2, 0x82, 0, 0, 2, 1, 1, b'x', 4, 0])).await;
        let asked = peer.asked().await;
        assert_eq!(asked.pdu, [43, 14, 4, 1]);
        peer.send(&asked.frame(&[43, 14, 4, 0x82, 0, 0, 1, 1, 1, b'x'])).await;
        // A device that says that more follows, and says the same again.
        loop {
            let Some(asked) = peer.try_asked().await else { break };
            peer.send(&asked.frame(&[43, 14, 1, 0x82, 0xFF, 0, 1, 0, 1, b'd'])).await;
        }
    };
    let calls = async move {
        let objects = client.read_device_identification(ReadDeviceId::Regular).await.expect("an answer");
        assert_eq!(objects.into_iter().collect::<Vec<_>>(), [(0, b"dr".to_vec()), (1, b"x".to_vec()), (4, vec![])]);
        assert_eq!(client.read_device_object(1).await.expect("an answer"), b"x");
        assert_eq!(client.read_device_identification(ReadDeviceId::Basic).await.expect("an answer").len(), 1);
    };
    tokio::join!(calls, server);
}

#[tokio::test(start_paused = true)]
async fn a_diagnostic_that_nobody_answers_gives_no_data() {
    let (client, mut peer) = pipe(Options::default());
    let data = client.diagnostics(Diagnostic::FORCE_LISTEN_ONLY, &[0, 0]).await.expect("it was sent");
    assert_eq!(data, []);
    assert_eq!(peer.asked().await.pdu, [8, 0, 4, 0, 0]);
}

#[test]
fn options_take_plain_numbers() {
    let options = Options::default().with_depth(4).with_unit(9);
    assert_eq!((options.depth, options.unit.0), (4, 9));
}
