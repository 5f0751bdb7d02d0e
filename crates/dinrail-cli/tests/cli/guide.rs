//! The guide's page about many servers, as it stands: its file is served, and what it prints is what comes.

use std::fs;

use crate::console::piped;
use crate::harness::{Background, stdout};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide");

fn page() -> String {
    fs::read_to_string(format!("{GUIDE}/many-servers.md")).expect("the page")
}

/// The first block of this language in which `text` stands.
fn block(page: &str, language: &str, text: &str) -> String {
    let blocks = page.split("\n```").skip(1).step_by(2);
    let mut wanted = blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    format!("{}\n", wanted.find(|block| block.contains(text)).expect(text))
}

/// The commands of a session after "$ dinrail", and what each prints.
fn commands(session: &str) -> Vec<(Vec<&str>, Vec<&str>)> {
    let mut commands: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
    for line in session.lines() {
        match line.strip_prefix("$ dinrail ") {
            Some(command) => commands.push((command.split(' ').collect(), Vec::new())),
            None => commands.last_mut().expect("a command comes first").1.push(line),
        }
    }
    commands
}

/// The page's addresses, and those where the servers are.
struct Places(Vec<(String, String)>);

impl Places {
    fn as_printed(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (there, printed)| text.replace(there, printed))
    }
}

#[tokio::test]
async fn many_servers_does_what_it_prints() {
    let page = page();
    let plant = fs::read_to_string(format!("{GUIDE}/plant.toml")).expect("the file");
    for part in block(&page, "toml", "[store.plant]").split("\n\n") {
        assert!(plant.contains(part.trim_end()), "plant.toml does not have what the page shows of it:\n{part}");
    }
    let beginning = block(&page, "console", "dinrail check plant.toml");
    let [(check, checked), (serve, listening)] = &commands(&beginning)[..] else { panic!("{beginning}") };
    assert_eq!((&check[..], &serve[..]), (&["check", "plant.toml"][..], &["serve", "--config", "plant.toml"][..]));
    let path = format!("{GUIDE}/plant.toml");
    let said = stdout(&["check", &path]).await.replace(&path, "plant.toml");
    assert_eq!(said.lines().collect::<Vec<_>>(), *checked);

    // The same file with the page's console, on ports that are free.
    let directory = tempfile::tempdir().expect("a directory");
    let console = block(&page, "toml", "[console]");
    let free = [":5020\"", ":7020\""].iter().fold(plant + "\n" + &console, |text, port| text.replace(port, ":0\""));
    let file = directory.path().join("plant.toml");
    fs::write(&file, free.replace("port = 5021", "port = 0")).expect("written");
    let mut process = Background::start(&["serve", "--config", file.to_str().expect("UTF-8")]);
    let mut places = Places(Vec::new());
    for printed in listening {
        let line = process.line().await;
        let url = |line: &str| line.split(' ').nth(2).expect("listening on URL (NAME)").to_owned();
        places.0.push((url(&line), url(printed)));
        assert_eq!(places.as_printed(&line), *printed);
    }
    let at = process.line().await.strip_prefix("console on ").expect("it has a console").to_owned();

    let session = block(&page, "console", "dinrail> servers");
    for (command, lines) in commands(&session) {
        let printed = match &command[..] {
            ["console"] => places.as_printed(&talk(&at, &lines).await),
            // The page has the console at its usual address.
            ["console", "--server", name, rest @ ..] => {
                stdout(&[&["console", "--server", name, &at], rest].concat()).await
            }
            other => panic!("{other:?} is not known here"),
        };
        let prints: Vec<_> = lines.iter().filter(|line| !line.contains("> ")).copied().collect();
        assert_eq!(printed.lines().collect::<Vec<_>>(), prints, "{command:?}");
    }
    // What is set in a shared store is set for all who share it.
    assert_eq!(stdout(&["read", &places.0[1].0, "hr:20", "-n", "2"]).await, "8\n7\n");
    process.signal("TERM").await;
    assert_eq!(process.end().await.0.code(), Some(0));
}

/// Types what stands behind the prompts of a session, and checks that the prompts are those that would be shown; what comes.
async fn talk(at: &str, session: &[&str]) -> String {
    let mut chosen = "dinrail";
    let mut typed = String::new();
    for (prompt, command) in session.iter().filter_map(|line| line.split_once("> ")) {
        assert_eq!(prompt, chosen, "{session:?}");
        chosen = command.strip_prefix("use ").unwrap_or(chosen);
        typed += &format!("{command}\n");
    }
    let run = piped(&[at], &typed).await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    run.stdout
}
