//! Commands of `dauth` in the documents: each is one that the program has, with options that it has.
use std::{collections::BTreeMap, fs};

use super::{at, files, help, options_of};

/// A command with its options, as a document has it.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    /// Every word after `dauth`, to the end of the command.
    words: Vec<String>,
}

/// The commands in a document: in indented blocks, and between backticks.
fn commands(document: &str) -> Vec<Written> {
    let blocks = document
        .replace("\\\n", " ")
        .lines()
        .filter(|line| line.starts_with("    "))
        .flat_map(in_line)
        .collect::<Vec<_>>();
    let joined = document.replace('\n', " ");
    let spans = joined.split('`').skip(1).step_by(2).flat_map(in_line);
    blocks.into_iter().chain(spans).collect()
}

/// `sudo -u dauth dauth keys …` begins at the last `dauth`.
fn in_line(line: &str) -> Vec<Written> {
    let code = line.split(" #").next().unwrap_or_default();
    let words: Vec<&str> = code.split_whitespace().collect();
    let is_program =
        |word: &str| word.trim_start_matches(|c| c != 'd') == "dauth" && !word.contains('/');
    let starts = words.iter().enumerate().filter(|(at, word)| {
        let next = words.get(at + 1);
        is_program(word)
            && next.is_some_and(|next| next.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
            // Its user, or programs beside it.
            && next.is_some_and(|next| !next.starts_with("dauth"))
            && !matches!(
                at.checked_sub(1).map(|before| words[before]),
                Some("-u" | "--user")
            )
    });
    let ends = |word: &&&str| !["|", ">", "<", "&&", "||", "&"].contains(&**word);
    starts
        .map(|(at, _)| Written {
            words: words[at + 1..]
                .iter()
                .take_while(ends)
                .map(|word| word.trim_end_matches([')', ';', ',']).to_owned())
                .collect(),
        })
        .collect()
}

/// Help texts by command, asked for once.
#[derive(Default)]
struct Program {
    helps: BTreeMap<Vec<String>, Option<String>>,
}

impl Program {
    fn help(&mut self, words: &[String]) -> Option<String> {
        let ask = || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            help("dauth", &words)
        };
        self.helps.entry(words.to_vec()).or_insert_with(ask).clone()
    }

    /// What is wrong with a command as it is written.
    fn fault(&mut self, written: &Written) -> Option<String> {
        let mut command = Vec::new();
        let mut help = self.help(&[]).unwrap();
        for word in &written.words {
            if !has_command(&help, word) {
                break;
            }
            command.push(word.clone());
            help = self.help(&command)?;
        }
        if command.is_empty() {
            return Some(format!("dauth has no command {:?}", written.words.first()));
        }
        if help.contains("\nCommands:\n") && written.words.len() > command.len() {
            let next = &written.words[command.len()];
            // As in `dauth eif build | measure`.
            return (!next.starts_with(['-', '…', '|']))
                .then(|| format!("{command:?} has no {next}"));
        }
        let known = options_of(&help);
        let options = written.words.iter().filter(|word| {
            word.starts_with('-') && word.len() > 1 && !word.trim_start_matches('-').is_empty()
        });
        options
            .map(|option| option.split('=').next().unwrap())
            .find(|option| !known.contains(*option))
            .map(|option| format!("{command:?} has no {option}"))
    }
}

fn has_command(help: &str, word: &str) -> bool {
    let listed = help
        .split_once("\nCommands:\n")
        .map_or("", |(_, rest)| rest);
    listed
        .lines()
        .take_while(|line| !line.is_empty())
        .any(|line| line.split_whitespace().next() == Some(word))
}

#[test]
fn every_command_in_the_documents_is_one() {
    let mut program = Program::default();
    let mut seen = 0;
    for file in files("docs", "md")
        .into_iter()
        .chain(files("deploy", "md"))
        .chain(files(".", "md"))
    {
        // What was, is history.
        if file.ends_with("CHANGELOG.md") {
            continue;
        }
        for written in commands(&fs::read_to_string(&file).unwrap()) {
            seen += 1;
            if let Some(fault) = program.fault(&written) {
                panic!(
                    "{}: {fault}: dauth {}",
                    file.display(),
                    written.words.join(" ")
                );
            }
        }
    }
    assert!(seen > 80, "{seen}");
}

#[test]
fn the_remedies_of_the_doctor_and_the_alerts_name_files_that_are_there() {
    let sources = files("cli/src/doctor", "rs");
    let texts: String = sources
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let rules = fs::read_to_string(at("deploy/prometheus/alerts.yaml")).unwrap();
    let alarms = fs::read_to_string(at("deploy/terraform/alarms.tf")).unwrap();
    let mut seen = 0;
    for text in [texts, rules, alarms] {
        for begin in ["docs/", "deploy/"] {
            let of_root = |from: &usize| !text[..*from].ends_with('/');
            let found = text.match_indices(begin).map(|(from, _)| from);
            for from in found.filter(of_root) {
                let is_path = |c: &char| c.is_ascii_alphanumeric() || "/._-".contains(*c);
                let path: String = text[from..].chars().take_while(is_path).collect();
                seen += 1;
                assert!(at(path.trim_end_matches('.')).exists(), "{path}");
            }
        }
    }
    assert!(seen > 8, "{seen}");
}

#[test]
fn the_check_finds_what_is_wrong() {
    let mut program = Program::default();
    let document = "Text `dauth keys rotate --only x` and `dauth-parent --config`.\n\n\
        \x20   sudo -u dauth dauth keys create --keyset P | cat --none   # dauth none\n\
        \x20   HANDLE=$(dauth connect a --bearer \\\n      --basse-url x)\n";
    let found = commands(document);
    assert_eq!(found.len(), 3, "{found:?}");
    let faults: Vec<_> = found
        .iter()
        .filter_map(|written| program.fault(written))
        .collect();
    assert_eq!(faults, ["[\"connect\"] has no --basse-url"]);
    for wrong in ["dauth none", "dauth keys none", "dauth doctor --none"] {
        let written = &in_line(wrong)[0];
        assert!(program.fault(written).is_some(), "{wrong}");
    }
}
