//! Another file in the place of one, while clients are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dinrail_gateway::{NotStarted, Servers};

use crate::harness::{Raw, Reserved, client, failed_server, plan, start, url};

fn server(name: &str, rest: &str) -> String {
    format!("[[server]]\nname = \"{name}\"\nlisten = \"tcp://127.0.0.1:0\"\n{rest}\n")
}

/// Asks again and again until it is told to stop; how many replies came, and how many requests were sent.
async fn ask(url: String, stop: Arc<AtomicBool>, replies: Arc<AtomicU64>) -> (u64, u64) {
    let mut raw = Raw::connect(&url).await;
    let (mut asked, mut answered) = (0, 0);
    while !stop.load(Ordering::SeqCst) {
        asked += 1;
        if raw.read(asked as u16).await.is_some() {
            answered += 1;
            replies.fetch_add(1, Ordering::SeqCst);
        }
    }
    (asked, answered)
}

/// As [`ask`], and connects again when the connection has ended: how many replies came, and how many connections that had been
/// answered were lost.
async fn ask_again(url: String, stop: Arc<AtomicBool>, replies: Arc<AtomicU64>) -> (u64, u64) {
    let (mut answered, mut lost) = (0, 0);
    while !stop.load(Ordering::SeqCst) {
        let Some(mut raw) = Raw::try_connect(&url).await else {
            tokio::task::yield_now().await; // one server has stopped, and the next one is about to listen
            continue;
        };
        let mut here = 0;
        while !stop.load(Ordering::SeqCst)
            && let Some(value) = raw.read(here as u16).await
        {
            assert_eq!(value, 7, "its values stay, whatever its limits are");
            here += 1;
            replies.fetch_add(1, Ordering::SeqCst);
        }
        answered += here;
        lost += u64::from(here > 0 && !stop.load(Ordering::SeqCst));
    }
    (answered, lost)
}

#[tokio::test]
async fn s004_13_a_reload_under_load_drops_no_connection_and_loses_no_reply() {
    const ROUNDS: u32 = 20;
    let place = Reserved::new();
    let text = |round: u32| {
        let same = server("same", "store = { hr = { 0 = 1 } }");
        let data =
            server("data", &format!("store = {{ hr = {{ 0 = {round} }} }}\nread_only = {}", round.is_multiple_of(2)));
        let shared = format!("[store.shared]\nhr = {{ 0 = {round} }}\n") + &server("shared", "store = \"shared\"");
        let comes = if round.is_multiple_of(2) { server("comes", "") } else { String::new() };
        let limit = format!("max_connections = {}\nstore = {{ hr = {{ 0 = 7 }} }}", round + 10);
        let restarts = server("restarts", &limit).replace("tcp://127.0.0.1:0", &place.url);
        [same, data, restarts, comes, shared].concat()
    };
    let mut servers = start(&text(0)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let replies = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for name in ["same", "data", "shared"] {
        for _ in 0..4 {
            clients.push(tokio::spawn(ask(url(&servers, name), stop.clone(), replies.clone())));
        }
    }
    let again = Arc::new(AtomicU64::new(0));
    let restarted = tokio::spawn(ask_again(place.url.clone(), stop.clone(), again.clone()));
    let same = url(&servers, "same");
    for round in 1..=ROUNDS {
        // Between any two changes every client has asked, many times over.
        for (replies, more) in [(&replies, 200), (&again, 20)] {
            let until = replies.load(Ordering::SeqCst) + more;
            while replies.load(Ordering::SeqCst) < until {
                assert!(!restarted.is_finished(), "it goes on until it is told to stop");
                tokio::task::yield_now().await;
            }
        }
        let changes = servers.change(plan(&text(round))).await.unwrap();
        assert_eq!(changes.changed, ["data".into(), "shared".into()], "{changes}");
        assert_eq!(changes.restarted, ["restarts".into()], "{changes}");
        assert_eq!((changes.added.len(), changes.removed.len()), if round.is_multiple_of(2) { (1, 0) } else { (0, 1) });
        let mut new = Raw::connect(&url(&servers, "data")).await;
        assert_eq!(new.read(1).await, Some(round as u16));
        assert_eq!(Raw::connect(&place.url).await.read(1).await, Some(7), "it serves at once when the change is done");
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        let (asked, answered) = client.await.unwrap();
        assert!(asked > 100, "{asked}");
        assert_eq!(asked, answered, "every request was answered, on one connection");
    }
    let (answered, lost) = restarted.await.unwrap();
    assert!(answered >= u64::from(ROUNDS) * 20, "{answered}");
    assert!((1..=u64::from(ROUNDS)).contains(&lost), "a change of a limit costs one connection once: {lost}");
    assert_eq!(url(&servers, "same"), same);
    servers.stop().await;
}

#[tokio::test]
async fn what_is_written_as_before_keeps_its_values() {
    let store = "store = { hr = { 0 = 1 } }\nfiles = { 1 = [1] }";
    let mut servers = start(&server("a", store)).await;
    let asker = client(&servers, "a").await;
    asker.write_register(0, 9).await.unwrap();

    let none = servers.change(plan(&format!("# a word\n{}", server("a", store)))).await.unwrap();
    assert!(none.is_empty());
    assert_eq!(none.to_string(), "nothing has changed");
    let identity = format!("{store}\nidentity = {{ vendor = \"x\" }}");
    let changes = servers.change(plan(&server("a", &identity))).await.unwrap();
    assert_eq!(changes.to_string(), "changed a");
    assert_eq!(asker.read_holding_registers(0, 1).await.unwrap(), [9], "the store is written as before");

    let options = format!("{identity}\nidle_timeout = \"1m\"");
    let changes = servers.change(plan(&server("a", &options))).await.unwrap();
    assert_eq!(changes.to_string(), "restarted a");
    assert_eq!(
        client(&servers, "a").await.read_holding_registers(0, 1).await.unwrap(),
        [9],
        "so it is after a restart"
    );

    let other = options.replace("0 = 1", "0 = 2");
    servers.change(plan(&server("a", &other))).await.unwrap();
    assert_eq!(client(&servers, "a").await.read_holding_registers(0, 1).await.unwrap(), [2], "written in another way");
}

#[tokio::test]
async fn what_cannot_be_started_leaves_everything_as_it_was() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let before = [server("stays", "store = { hr = { 0 = 1 } }"), server("goes", ""), server("restarts", "")].concat();
    let mut servers = start(&before).await;
    let mut stays = Raw::connect(&url(&servers, "stays")).await;
    assert_eq!(stays.read(1).await, Some(1));
    client(&servers, "restarts").await.write_register(0, 5).await.unwrap();

    let busy = format!("[[server]]\nname = \"new\"\nlisten = \"tcp://{}\"\n", taken.local_addr().unwrap());
    let changed = server("stays", "store = { hr = { 0 = 2 } }");
    let after = [changed, server("restarts", "rate = 100"), busy].concat();
    let failed = servers.change(plan(&after)).await.unwrap_err();
    assert_eq!(failed_server(&failed), "new");
    let names: Vec<_> = servers.status().iter().map(|server| (server.name.to_string(), server.running)).collect();
    assert_eq!(names, [("stays".into(), true), ("goes".into(), true), ("restarts".into(), true)]);
    assert_eq!(stays.read(2).await, Some(1), "its connection is there, and its data");
    assert_eq!(client(&servers, "restarts").await.read_holding_registers(0, 1).await.unwrap(), [5]);

    drop(taken);
    let changes = servers.change(plan(&after)).await.unwrap();
    assert_eq!(changes.to_string(), "added new; removed goes; restarted restarts; changed stays");
    assert_eq!(stays.read(3).await, Some(2), "the same connection, the new data");
}

#[tokio::test]
async fn servers_may_exchange_their_ports() {
    let mut servers = start(&[server("a", ""), server("b", "")].concat()).await;
    let (a, b) = (url(&servers, "a"), url(&servers, "b"));
    servers.stop().await;
    let at = |name: &str, url: &str, value: u16| {
        format!("[[server]]\nname = \"{name}\"\nlisten = \"{url}\"\nstore = {{ hr = {{ 0 = {value} }} }}\n")
    };
    servers = start(&[at("a", &a, 1), at("b", &b, 2)].concat()).await;
    servers.change(plan(&[at("a", &b, 1), at("b", &a, 2)].concat())).await.unwrap();
    assert_eq!((url(&servers, "a"), url(&servers, "b")), (b.clone(), a.clone()));
    assert_eq!(Raw::connect(&b).await.read(1).await, Some(1));
    let changes = servers.change(plan(&at("c", &a, 3))).await.unwrap();
    assert_eq!(changes.to_string(), "added c; removed a, b", "in the place of one that goes");
    assert_eq!(Raw::connect(&a).await.read(1).await, Some(3));
}

#[tokio::test]
async fn a_server_that_made_room_in_vain_runs_again() {
    let mut servers = start(&server("a", "")).await;
    let a = url(&servers, "a");
    servers.stop().await;
    let at = |name: &str, url: &str| format!("[[server]]\nname = \"{name}\"\nlisten = \"{url}\"\n");
    servers = start(&at("a", &a)).await;
    client(&servers, "a").await.write_register(0, 5).await.unwrap();
    // An address for documentation (RFC 5737), which no machine has, with the port of the one that goes.
    let nowhere = a.replace("127.0.0.1", "192.0.2.1");
    let failed = servers.change(plan(&[at("b", &a), at("c", &nowhere)].concat())).await.unwrap_err();
    assert_eq!(failed_server(&failed), "c");
    let names: Vec<_> = servers.status().iter().map(|server| (server.name.to_string(), server.running)).collect();
    assert_eq!(names, [("a".to_owned(), true)]);
    assert_eq!(url(&servers, "a"), a);
    assert_eq!(Raw::connect(&a).await.read(1).await, Some(5), "with its data");
}

#[tokio::test]
async fn s004_9_what_could_not_be_started_is_tried_again_by_each_change() {
    let taken = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let at = |name: &str, port: usize, rest: &str| {
        format!("[[server]]\nname = \"{name}\"\nlisten = \"tcp://{}\"\n{rest}\n", taken[port].local_addr().unwrap())
    };
    let running = |servers: &Servers| -> Vec<_> {
        let names = servers.status().into_iter().filter(|server| server.running);
        names.map(|server| server.name.to_string()).collect()
    };
    let before = [at("busy", 0, ""), at("gone", 1, ""), server("works", "store = { hr = { 0 = 1 } }")].concat();
    let mut servers = Servers::start_what_can(plan(&before), None).await.unwrap();
    assert_eq!(running(&servers), ["works"]);
    let busy = &servers.status()[0];
    assert!(busy.error.as_ref().is_some_and(|error| error.to_string().contains("cannot listen on")), "{busy:?}");
    let mut works = Raw::connect(&url(&servers, "works")).await;
    assert_eq!(works.read(1).await, Some(1));

    // What is new must start, and what could not before need not: neither is in the way of going back.
    let works_2 = server("works", "store = { hr = { 0 = 2 } }");
    let other = at("busy", 1, "store = { hr = { 0 = 7 } }");
    let failed = servers.change(plan(&[other.clone(), works_2.clone(), at("new", 2, "")].concat())).await.unwrap_err();
    assert_eq!(failed_server(&failed), "new");
    assert_eq!((running(&servers), works.read(2).await), (vec!["works".to_owned()], Some(1)));

    // Listening elsewhere, and still in vain; then in the same way as before, with other data.
    let changes = servers.change(plan(&[other.clone(), works_2.clone()].concat())).await.unwrap();
    assert_eq!(changes.to_string(), "removed gone; changed works");
    assert_eq!((running(&servers), works.read(3).await), (vec!["works".to_owned()], Some(2)));
    let [_, free, _] = taken;
    drop(free);
    let changes = servers.change(plan(&[other.replace("= 7", "= 8"), works_2.clone()].concat())).await.unwrap();
    assert_eq!(changes.to_string(), "started busy; changed busy");
    assert_eq!(Raw::connect(&url(&servers, "busy")).await.read(1).await, Some(8));
    assert_eq!(works.read(4).await, Some(2), "its connection was not touched");
    assert!(servers.change(plan(&[other.replace("= 7", "= 8"), works_2].concat())).await.unwrap().is_empty());
}

#[tokio::test]
async fn s004_9_when_no_server_can_be_started_all_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text =
        |host: &str| server("a", "").replace("127.0.0.1:0", &format!("{host}:{}", taken.local_addr().unwrap().port()));
    // The second is an address for documentation (RFC 5737), which no machine has.
    let both = [text("127.0.0.1"), text("192.0.2.1").replace("\"a\"", "\"b\"")].concat();
    let failed = Servers::start_what_can(plan(&both), None).await.unwrap_err();
    let NotStarted::Every(every) = &failed else { panic!("{failed}") };
    assert_eq!(every.iter().map(|failed| &*failed.name).collect::<Vec<_>>(), ["a", "b"]);
    assert!(
        failed.to_string().contains("server \"a\": ") && failed.to_string().contains("; server \"b\": "),
        "{failed}"
    );
}
