//! What a good file serves.

use std::time::{Duration, Instant};

use dinrail::ExceptionCode;
use dinrail::proto::pdu::device_id::ReadDeviceId;
use dinrail_gateway::Servers;

use crate::harness::{Raw, client, failed_server, plan, start, unit, url};

fn refused<T: std::fmt::Debug>(result: Result<T, dinrail::Error>) -> ExceptionCode {
    result.expect_err("refused").exception().expect("an exception")
}

#[tokio::test]
async fn s004_13_a_file_says_where_and_what_is_served() {
    let servers = start(
        r#"
        [[server]]
        name = "plc"
        host = "127.0.0.1"
        port = 0
        units = ["1-3", 17]
        read_only = { hr = ["100-199", 300], co = "all" }
        files = { 4 = [10, 11] }
        fifos = { 1000 = [1, 2] }
        server_id = "plc 7"
        exception_status = 0x81
        identity = { vendor = "Acme", product = "P1", revision = "V1.0", objects = { 128 = "own" } }
        [server.store]
        hr = { 0 = [1, 2, 3], 100 = [7], "10:f32" = 21.5, "20-22" = 0xFF, "30:str:8" = "dinrail", "40:i16" = [-1, -2] }
        ir = { 0 = 0xABCD }
        co = { 0 = [true, false, 1] }
        di = { "8-9" = true }

        [[server]]
        name = "udp"
        listen = "udp://127.0.0.1:0"
        ignore_missing_units = true
        store = { partial = true, hr = { 5 = [50, 51] } }
        "#,
    )
    .await;
    let plc = unit(&client(&servers, "plc").await, 17);
    assert_eq!(plc.read_holding_registers(0, 4).await.unwrap(), [1, 2, 3, 0]);
    assert_eq!(plc.read_holding_registers(10, 2).await.unwrap(), [0x41AC, 0]);
    assert_eq!(plc.read_holding_registers(19, 5).await.unwrap(), [0, 255, 255, 255, 0]);
    assert_eq!(plc.read_holding_registers(30, 1).await.unwrap(), [0x6469]);
    assert_eq!(plc.read_holding_registers(40, 2).await.unwrap(), [0xFFFF, 0xFFFE]);
    assert_eq!(plc.read_input_registers(0, 1).await.unwrap(), [0xABCD]);
    assert_eq!(plc.read_coils(0, 4).await.unwrap(), [true, false, true, false]);
    assert_eq!(plc.read_discrete_inputs(7, 4).await.unwrap(), [false, true, true, false]);
    assert_eq!(plc.read_holding_registers(65535, 1).await.unwrap(), [0], "every other address is 0");
    assert_eq!(refused(unit(&plc, 4).read_coils(0, 1).await), ExceptionCode::GatewayTargetFailedToRespond);

    plc.write_registers(98, &[1, 2]).await.unwrap();
    for (address, count) in [(99, 2), (199, 1), (300, 1)] {
        assert_eq!(refused(plc.write_registers(address, &vec![9; count]).await), ExceptionCode::IllegalDataAddress);
    }
    plc.write_register(200, 9).await.unwrap();
    assert_eq!(plc.read_holding_registers(99, 2).await.unwrap(), [2, 7], "nothing was done");
    assert_eq!(refused(plc.write_coil(9, true).await), ExceptionCode::IllegalDataAddress);

    assert_eq!(plc.read_fifo_queue(1000).await.unwrap(), [1, 2]);
    assert_eq!(plc.read_exception_status().await.unwrap(), 0x81);
    assert_eq!(plc.report_server_id().await.unwrap(), b"plc 7\xFF");

    let identity = plc.read_device_identification(ReadDeviceId::Extended).await.unwrap();
    let told: Vec<_> = identity.iter().map(|(id, text)| (*id, text.as_slice())).collect();
    assert_eq!(told, [(0, &b"Acme"[..]), (1, b"P1"), (2, b"V1.0"), (128, b"own")]);
    assert_eq!(plc.read_file_record(4, 0, 2).await.unwrap(), [10, 11]);

    let udp = client(&servers, "udp").await;
    assert_eq!(udp.read_holding_registers(5, 2).await.unwrap(), [50, 51]);
    assert_eq!(refused(udp.read_holding_registers(5, 3).await), ExceptionCode::IllegalDataAddress);
    servers.stop().await;
}

#[tokio::test]
async fn s004_3_a_store_with_a_name_is_shared() {
    let servers = start(
        r#"
        [store.plant]
        hr = { 0 = 7 }
        [[server]]
        name = "one"
        listen = "tcp://127.0.0.1:0"
        store = "plant"
        [[server]]
        name = "two"
        listen = "tcp://127.0.0.1:0"
        store = "plant"
        read_only = true
        [[server]]
        name = "three"
        listen = "tcp://127.0.0.1:0"
        store = { hr = { 0 = 7 } }
        "#,
    )
    .await;
    let (one, two, three) =
        (client(&servers, "one").await, client(&servers, "two").await, client(&servers, "three").await);
    one.write_register(0, 8).await.unwrap();
    assert_eq!(two.read_holding_registers(0, 1).await.unwrap(), [8]);
    assert_eq!(three.read_holding_registers(0, 1).await.unwrap(), [7]);
    assert_eq!(refused(two.write_register(0, 9).await), ExceptionCode::IllegalFunction);
}

#[tokio::test]
async fn s004_13_limits_and_rules_are_each_servers_own() {
    let servers = start(
        r#"
        [[server]]
        name = "nobody"
        listen = "tcp://127.0.0.1:0"
        allow = ["10.0.0.0/8", "192.168.1.7"]
        [[server]]
        name = "rules"
        listen = "tcp://127.0.0.1:0"
        threads = 1
        max_connections = 2
        when_full = "refuse"
        idle_timeout = "1m"
        request_timeout = "off"
        [[server.rule]]
        anyone = true
        access = "read"
        [[server.rule]]
        anyone = true
        access = "write"
        hr = ["0-9", 20]
        [[server.rule]]
        role = "engineer"
        access = "all"
        "#,
    )
    .await;
    let rules = client(&servers, "rules").await;
    rules.write_registers(0, &[1; 10]).await.unwrap();
    rules.write_register(20, 1).await.unwrap();
    assert_eq!(refused(rules.write_register(10, 1).await), ExceptionCode::IllegalFunction);
    assert_eq!(refused(rules.write_coil(0, true).await), ExceptionCode::IllegalFunction);
    let nobody = client(&servers, "nobody").await.read_coils(0, 1).await.unwrap_err();
    assert!(nobody.exception().is_none(), "the connection is closed: {nobody}");
}

#[tokio::test]
async fn s004_11_a_file_drops_idle_connections_of_the_server_that_says_so() {
    let server =
        |name: &str, rest: &str| format!("[[server]]\nname = \"{name}\"\nlisten = \"tcp://127.0.0.1:0\"\n{rest}\n");
    for more in ["", "threads = 1"] {
        let impatient = server("impatient", &format!("idle_timeout = \"100ms\"\n{more}"));
        let servers = start(&[impatient, server("patient", more)].concat()).await;
        let mut patient = Raw::connect(&url(&servers, "patient")).await;
        assert_eq!(patient.read(1).await, Some(0));
        let began = Instant::now();
        let mut idle = Raw::connect(&url(&servers, "impatient")).await;
        assert!(idle.is_closed().await);
        // The server's clock for this has ticks of an eighth of the limit.
        assert!(began.elapsed() >= Duration::from_millis(50), "{:?}", began.elapsed());
        assert_eq!(patient.read(2).await, Some(0), "the other has no such limit");
        servers.stop().await;
    }
}

#[tokio::test]
async fn s004_11_a_file_says_who_goes_when_a_server_is_full() {
    let full = |when: &str| {
        format!("[[server]]\nname = \"full\"\nlisten = \"tcp://127.0.0.1:0\"\nmax_connections = 2\n{when}\n")
    };
    for more in ["", "threads = 1\n"] {
        let servers = start(&full(&format!("{more}when_full = \"refuse\""))).await;
        let at = url(&servers, "full");
        let (mut one, mut two) = (Raw::connect(&at).await, Raw::connect(&at).await);
        assert_eq!((one.read(1).await, two.read(1).await), (Some(0), Some(0)));
        assert!(Raw::connect(&at).await.is_closed().await, "the one too many is refused");
        assert_eq!((one.read(2).await, two.read(2).await), (Some(0), Some(0)), "those that are there stay");
        servers.stop().await;

        // Unless it says so, the one that has been idle for longest makes room.
        let servers = start(&full(more)).await;
        let at = url(&servers, "full");
        let (mut one, mut two) = (Raw::connect(&at).await, Raw::connect(&at).await);
        assert_eq!((one.read(1).await, two.read(1).await), (Some(0), Some(0)));
        let mut three = Raw::connect(&at).await;
        assert_eq!(three.read(1).await, Some(0));
        tokio::select! {
            true = one.is_closed() => {}
            true = two.is_closed() => {}
        }
        assert_eq!(three.read(2).await, Some(0));
        servers.stop().await;
    }
}

#[tokio::test]
async fn s004_13_areas_may_have_sizes_of_their_own() {
    let text = "[[server]]\nname = \"a\"\nlisten = \"tcp://127.0.0.1:0\"\n\
                store = { size = { hr = 10, co = 0 }, hr = { 9 = 7 } }\n";
    let servers = start(text).await;
    let a = client(&servers, "a").await;
    assert_eq!(a.read_holding_registers(9, 1).await.unwrap(), [7]);
    assert_eq!(refused(a.read_holding_registers(9, 2).await), ExceptionCode::IllegalDataAddress);
    assert_eq!(refused(a.read_coils(0, 1).await), ExceptionCode::IllegalDataAddress);
    assert_eq!(a.read_input_registers(65535, 1).await.unwrap(), [0], "what is not named is whole");
}

#[tokio::test]
async fn s004_13_rules_may_stand_in_a_file_of_their_own() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("dinrail.toml");
    let rules = |access: &str| {
        let text = format!("[[rule]]\nanyone = true\naccess = \"{access}\"\n");
        std::fs::write(directory.path().join("roles.toml"), text).unwrap();
    };
    let text = "[[server]]\nname = \"a\"\nlisten = \"tcp://127.0.0.1:0\"\nrules = \"roles.toml\"\n";
    std::fs::write(&path, text).unwrap();
    rules("read");
    let mut servers = Servers::start(dinrail_gateway::load(&path).unwrap()).await.unwrap();
    let a = client(&servers, "a").await;
    assert_eq!(a.read_coils(0, 1).await.unwrap(), [false]);
    assert_eq!(refused(a.write_coil(0, true).await), ExceptionCode::IllegalFunction);

    assert!(servers.change(dinrail_gateway::load(&path).unwrap()).await.unwrap().is_empty());
    rules("all");
    let changes = servers.change(dinrail_gateway::load(&path).unwrap()).await.unwrap();
    assert_eq!(changes.to_string(), "changed a", "the file is as it was, and its rules are not");
    a.write_coil(0, true).await.unwrap();
}

#[tokio::test]
async fn s004_4_a_port_in_use_is_said_and_nothing_runs() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "[[server]]\nname = \"a\"\nlisten = \"tcp://127.0.0.1:0\"\n[[server]]\nname = \"b\"\nlisten = \"tcp://{}\"\n",
        taken.local_addr().unwrap()
    );
    let failed = Servers::start(plan(&text)).await.unwrap_err();
    assert_eq!(failed_server(&failed), "b");
    assert!(failed.to_string().contains("cannot listen on"), "{failed}");
}

/// FC 8 is answered by the server itself, and still nobody may do by it what the file forbids: it can silence a server.
#[tokio::test]
async fn s004_13_diagnostics_obey_rules_and_read_only() {
    let servers = start(
        r#"
        [[server]]
        name = "rules"
        listen = "tcp://127.0.0.1:0"
        diagnostics = "live"
        [[server.rule]]
        anyone = true
        access = "read"
        [[server]]
        name = "read only"
        listen = "tcp://127.0.0.1:0"
        diagnostics = "live"
        read_only = true
        [[server]]
        name = "in part"
        listen = "tcp://127.0.0.1:0"
        diagnostics = "live"
        read_only = { hr = ["100-199"] }
        "#,
    )
    .await;
    for name in ["rules", "read only"] {
        let client = client(&servers, name).await;
        assert_eq!(refused(client.restart_communications(true).await), ExceptionCode::IllegalFunction, "{name}");
        assert_eq!(refused(client.clear_diagnostic_counters().await), ExceptionCode::IllegalFunction, "{name}");
        client.comm_event_counter().await.expect(name);
        client.read_holding_registers(0, 1).await.expect(name);
    }
    client(&servers, "in part").await.clear_diagnostic_counters().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn s001_21_a_file_says_how_a_socket_listens() {
    let text = r#"
        [[server]]
        name = "plc"
        listen = "tcp://127.0.0.1:0"
        interface = "lo"
        backlog = 16
        reuse_address = false
        reuse_port = true
        keep_alive = "30s"
        store = { hr = { 0 = 7 } }
        "#;
    let started = Servers::start(plan(text)).await;
    if let Err(error) = &started
        && error.to_string().contains("may not bind a socket")
    {
        return; // Linux before 5.7 wants a right for it
    }
    let servers = started.expect("it listens");
    assert_eq!(client(&servers, "plc").await.read_holding_registers(0, 1).await.unwrap(), [7]);
    let nowhere = Servers::start(plan(&text.replace("\"lo\"", "\"dinrail-none\""))).await.expect_err("no interface");
    assert!(nowhere.to_string().contains("there is no network interface \"dinrail-none\""), "{nowhere}");
}
