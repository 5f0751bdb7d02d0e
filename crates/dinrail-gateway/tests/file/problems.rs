//! What is said of a file that cannot be.

use crate::harness::load;

/// What is shown of a file with this many problems.
fn shown(count: usize, text: &str) -> String {
    let invalid = load(text).expect_err(text);
    assert_eq!(invalid.count(), count, "{invalid}");
    invalid.render(false)
}

/// A server on port 0, with this in its table.
fn server(rest: &str) -> String {
    format!("[[server]]\nname = \"plc\"\nlisten = \"tcp://127.0.0.1:0\"\n{rest}\n")
}

#[test]
fn s004_13_a_problem_shows_line_caret_and_mend() {
    let shown = shown(1, &server("untis = [1, 2]"));
    let (place, rest) = shown.split_once('\n').unwrap();
    assert_eq!(place, "error: unknown key `untis`");
    let rest = rest.split_once("dinrail.toml:").unwrap().1;
    let expected = "4:1
  |
4 | untis = [1, 2]
  | ^^^^^ not known here
  |
  = help: did you mean `units`?";
    assert_eq!(rest, expected);
}

#[test]
fn s004_13_all_problems_of_a_file_are_said_in_its_order() {
    let text = "\
[[server]]
name = \"a\"
listen = \"http://x\"
units = [300]
[server.store]
hr = { 0 = [1, 2, 3], 2 = 7, 5 = 70000 }
[[server]]
port = \"x\"
";
    let shown = shown(7, text);
    let titles: Vec<_> = shown.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert!(titles[0].starts_with("http:// is nothing that dinrail knows"), "{shown}");
    assert_eq!(titles[1], "units end at 255, not at 300");
    assert_eq!(titles[2], "address 2 is set twice");
    assert_eq!(titles[3], "\"70000\" is out of range: u16 takes 0 to 65535");
    assert_eq!(titles[4..6], ["`name` is missing", "`listen` is missing"]);
    assert_eq!(titles[6], "expected an integer, found a text");
}

#[test]
fn s004_13_what_may_be_wrong_in_a_server() {
    let table = [
        ("interface = \"\"", "`interface` is empty"),
        ("backlog = 0", "`backlog` is 0"),
        ("reuse_port = 1", "expected true or false, found an integer"),
        ("store = { hr = { 65535 = [1, 2] } }", "2 values from 65535 end behind the last address, 65535"),
        ("store = { size = 10, hr = { 10 = 1 } }", "one value at 10 end behind the last address, 9"),
        ("store = { size = 0 }", "an area cannot have 0 addresses"),
        ("store = { size = 65537 }", "an area cannot have 65537 addresses"),
        ("store = { size = { hr = 65537 } }", "an area cannot have 65537 addresses"),
        ("store = { size = { hr = 10 }, hr = { \"5-14\" = 1 } }", "10 values from 5 end behind the last address, 9"),
        ("store = { size = { co = 0 }, co = { 0 = 1 } }", "there are no addresses for one value at 0"),
        ("store = { size = { xr = 1 } }", "unknown key `xr`"),
        ("store = { size = \"10\" }", "expected a number, or numbers by area"),
        ("store = { size = 10, partial = true }", "a partial store has no size"),
        ("store = { hr = { \"0-9\" = 1, \"5-6\" = 2 } }", "addresses 5 to 6 are set twice"),
        ("store = { hr = { \"0-9\" = [1, 2, 3] } }", "3 values do not fill 10 addresses"),
        ("store = { hr = { x = 1 } }", "\"x\" is no address"),
        ("store = { hr = { \"0:f23\" = 1 } }", "\"f23\" is no type"),
        ("store = { co = { \"0:f32\" = 1 } }", "coils and discrete inputs hold bits: leave the type out"),
        ("store = { co = { 0 = 2 } }", "\"2\" is neither on nor off"),
        ("store = \"there\"", "there is no store \"there\""),
        ("store = 7", "expected a table, or the name of a [store.NAME], found an integer"),
        ("read_only = { ir = \"all\" }", "unknown key `ir`"),
        ("read_only = \"yes\"", "expected true, or addresses"),
        ("units = []", "an empty list means nothing"),
        ("idle_timeout = 30", "expected a time in quotes"),
        ("idle_timeout = \"0s\"", "a time of 0 allows nothing"),
        ("deadline_exception = 0", "0 is no exception code"),
        ("deadline_exception = 256", "256 is out of range"),
        ("deadline_exception = 0x02", "exception 0x02 says that a request was wrong, not late"),
        ("deadline_exception = \"busy\"", "expected an integer, found a text"),
        ("grace = \"off\"", "\"off\" cannot be here"),
        ("max_connections = 0", "`max_connections` is 0"),
        ("max_connections = -1", "-1 is out of range"),
        ("threads = 1000", "1000 is no number of threads"),
        ("allow = [\"10.0.0.0/33\"]", "\"10.0.0.0/33\" is no address and no network"),
        ("diagnostics = \"alive\"", "\"alive\" is no choice here"),
        ("files = { 0 = [1] }", "\"0\" is not a file's number"),
        ("fifos = { 70000 = [1] }", "\"70000\" is not a queue's pointer address"),
        ("identity = { objects = { 7 = \"x\" } }", "\"7\" is no object of one's own"),
        ("rule = [{ access = \"read\" }]", "the rule is for nobody"),
        ("rule = { anyone = true }", "expected a list of tables, found one table"),
        ("rules = \"no.toml\"", "cannot read "),
        ("rules = \"dinrail.toml\"", "the rules in "),
        ("rules = \"no.toml\"\nrule = [{ anyone = true, access = \"all\" }]", "the rules are said twice"),
        ("rule = [{ anyone = true }]", "`access` is missing"),
        ("rule = [{ anyone = true, role = \"x\", access = \"all\" }]", "the rule has a role and is for anyone"),
        ("rule = [{ anyone = true, access = \"all\", functions = 128 }]", "128 is no function code"),
        ("tls = { certificate = \"a\", key = \"b\" }", "certificates are for TLS"),
        ("host = \"127.0.0.1\"", "the place to listen is said twice"),
        ("name = \"again\"", "duplicate key"),
    ];
    for (rest, title) in table {
        let shown = shown(1, &server(rest));
        assert!(shown.starts_with(&format!("error: {title}")), "{rest}: {title:?} is missing in\n{shown}");
        assert!(shown.contains('^'), "{shown}");
    }
}

#[test]
fn s004_13_two_servers_in_each_others_way() {
    let two = |one: &str, other: &str| {
        format!("[[server]]\nname = \"a\"\nlisten = \"{one}\"\n[[server]]\nname = \"b\"\nlisten = \"{other}\"\n")
    };
    let told = shown(1, &two("tcp://127.0.0.1:5020", "rtu+tcp://127.0.0.1:5020"));
    assert!(told.contains("are in each other's way") && told.contains("\"a\" listens here"), "{told}");
    let told = shown(1, &two("rtu:///dev/ttyS9?baud=9600", "ascii:///dev/ttyS9"));
    assert!(told.contains("are in each other's way"), "{told}");
    let taken = ["127.0.0.1", "0.0.0.0", "[::]", "localhost", "LOCALHOST"];
    for other in taken.map(|host| format!("tcp://{host}:5020")).iter().map(String::as_str) {
        let told = shown(1, &two("tcp://127.0.0.1:5020", other));
        assert!(told.contains("give one of them another port"), "{told}");
    }
    for (one, other) in [
        ("tcp://127.0.0.1:5020", "udp://127.0.0.1:5020"),
        ("tcp://127.0.0.1:5020", "tcp://127.0.0.2:5020"),
        ("tcp://0.0.0.0:5020", "tcp://[::1]:5020"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
    ] {
        load(&two(one, other)).unwrap();
    }
    let apart = two("tcp://0.0.0.0:5020", "tcp://0.0.0.0:5020")
        .replace("name = \"a\"", "name = \"a\"\ninterface = \"eth0\"")
        .replace("name = \"b\"", "name = \"b\"\ninterface = \"eth1\"");
    load(&apart).expect("each on an interface of its own");
    assert!(shown(1, &apart.replace("eth1", "eth0")).contains("give one of them another port"));
    let named = two("tcp://127.0.0.1:0", "tcp://127.0.0.1:0").replace("\"b\"", "\"a\"");
    assert!(shown(1, &named).starts_with("error: two servers are called \"a\""));
}

#[test]
fn s002_13_what_may_be_wrong_in_a_console() {
    let table = [
        ("", "`listen` is missing"),
        ("listen = \"5021\"", "\"5021\" is no place for a console: write an IP address and a port"),
        ("listen = \"0.0.0.0:5021\"", "other machines can reach 0.0.0.0:5021, and the console has no passwords"),
        ("listen = \"127.0.0.1:5021\"\npublik = true", "unknown key `publik`"),
        ("listen = \"127.0.0.1:5020\"", "the console and the server \"plc\" are in each other's way"),
        ("listen = \"0.0.0.0:5020\"\npublic = true", "the console and the server \"plc\" are in each other's way"),
    ];
    let plc = server("").replace(":0\"", ":5020\"");
    for (console, title) in table {
        let shown = shown(1, &format!("[console]\n{console}\n{plc}"));
        assert!(shown.starts_with(&format!("error: {title}")), "{console}: {title:?} is missing in\n{shown}");
        assert!(shown.contains('^'), "{shown}");
    }
    let plan = load(&format!("{plc}[console]\nlisten = \"[::]:5021\"\npublic = true\n")).unwrap();
    assert_eq!(plan.to_string(), "plc  tcp://127.0.0.1:5020\nwith a console on [::]:5021\n");
    assert!(load(&plc).unwrap().console().is_none(), "none unless asked for");
    let no_public = shown(1, &format!("{plc}[console]\nlisten = \"0.0.0.0:1\"\n"));
    assert!(no_public.contains("public = true"), "{no_public}");
}

#[test]
fn s004_13_certificates_are_read_before_anything_starts() {
    let listen = "[[server]]\nname = \"plc\"\nlisten = \"tls://127.0.0.1:0\"\n";
    assert!(shown(1, listen).starts_with("error: a TLS server has a certificate to show"));
    let missing = format!("{listen}[server.tls]\ncertificate = \"no.pem\"\nkey = \"no.key\"\nclient_auth = \"none\"\n");
    let told = shown(2, &missing);
    assert!(told.contains("no.pem: No such file") && told.contains("no.key: No such file"), "{told}");
}

#[test]
fn s004_13_what_is_no_toml_and_what_is_nothing() {
    assert!(shown(1, "[[server]\n").contains("this is no TOML"));
    assert!(shown(1, "").contains("there is no [[server]]"));
    assert!(shown(1, "[server]\nname = \"a\"\n").contains("two pairs of brackets"));
    assert!(shown(1, &server("store = { hr = { 7 = -1 } }")).contains("write its type with the address: \"7:i16\""));
    let unreadable = dinrail_gateway::load("/nowhere/dinrail.toml").unwrap_err().to_string();
    assert!(unreadable.starts_with("error: cannot read /nowhere/dinrail.toml: "), "{unreadable}");
}

#[test]
fn s004_13_what_is_no_text_and_what_is_too_much() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("dinrail.toml");
    let told = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        dinrail_gateway::load(&path).unwrap_err().to_string()
    };
    let latin = told(b"[[server]]\nname = \"Geb\xe4ude\"\n");
    assert!(latin.contains("line 2 is no UTF-8 text") && latin.contains("save the file as UTF-8"), "{latin}");
    assert!(told(&vec![b'\n'; (16 << 20) + 1]).contains("it has more than 16 MiB"));
    let many = told("x = 1\n".repeat(2000).as_bytes());
    assert!(many.len() < 100_000 && many.ends_with("more"), "{many}");
    let directory = dinrail_gateway::load(directory.path()).unwrap_err().to_string();
    assert!(directory.contains("cannot read") && directory.contains("name a file"), "{directory}");

    // As editors of other systems save it.
    let text = server("units = [1]");
    for bytes in [text.replace('\n', "\r\n"), format!("\u{feff}{text}")] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(dinrail_gateway::load(&path).unwrap().count(), 1);
    }
    let marked = told(format!("\u{feff}{}", server("untis = [1]")).as_bytes());
    assert!(marked.contains("4 | untis = [1]\n  | ^^^^^ not known here"), "{marked}");
}

#[test]
fn s004_13_what_is_odd_is_said_and_served() {
    let odd = [
        (format!("[store.spare]\n{}", server("")), "warning: no server has the store \"spare\""),
        (server("units = [1, \"5-9\", 7]"), "warning: unit 7 is named twice"),
        (
            server("request_timeout = \"off\"\ndeadline_exception = 4"),
            "warning: no request takes too long for this server",
        ),
        (server("units = [\"1-5\", \"4-9\"]"), "warning: unit 4 is named twice"),
    ];
    for (text, title) in odd {
        let plan = load(&text).unwrap();
        let warnings = plan.warnings().expect(title);
        assert_eq!(warnings.count(), 0, "none of them keeps it from being served");
        let shown = warnings.to_string();
        assert!(shown.starts_with(title) && shown.contains("= help: "), "{shown}");
        let wrong = shown_besides(&text);
        assert!(wrong.contains(title) && wrong.contains("error: unknown key `colour`"), "{wrong}");
    }
    assert!(load(&server("units = [1, 2, \"3-9\"]")).unwrap().warnings().is_none());
}

/// The same file with an error as well.
fn shown_besides(text: &str) -> String {
    shown(1, &format!("{text}colour = \"blue\"\n"))
}

#[test]
fn a_file_of_many_servers_is_checked_in_no_time() {
    let text: String = (0..2000)
        .map(|n| format!("[[server]]\nname = \"s{n}\"\nlisten = \"tcp://127.0.0.1:{}\"\n", 10_000 + n))
        .collect();
    let began = std::time::Instant::now();
    assert_eq!(load(&text).unwrap().count(), 2000);
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn the_schema_knows_every_key_and_asks_for_those_that_must_be() {
    let schema: serde_json::Value = serde_json::from_str(&dinrail_gateway::config::schema()).unwrap();
    let server = &schema["$defs"]["Server"];
    assert_eq!(server["required"], serde_json::json!(["name"]));
    assert_eq!(server["additionalProperties"], false);
    for key in ["name", "listen", "store", "read_only", "tls", "rule", "threads"] {
        assert!(server["properties"][key]["description"].is_string(), "{key}: {server}");
    }
    let code = &server["properties"]["deadline_exception"];
    assert_eq!((&code["minimum"], &code["maximum"]), (&1.into(), &255.into()), "{code}");
    assert_eq!(schema["$defs"]["Console"]["required"], serde_json::json!(["listen"]));
    assert!(!dinrail_gateway::config::schema().contains("\"null\""));
}
