//! Checks that the pages in `docs/reference` agree with the code: `configuration.md` is generated from it, and the other
//! pages are compared with it.
//!
//! `POTSTILL_WRITE_DOCS=1 cargo test --release -p potstill --test cli reference` writes `configuration.md`.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use potstill::plugin::Limits;
use potstill::run::DistillConfig;
use syn::visit::{self, Visit};
use toml::{Table, Value};

use crate::c::compile;
use crate::{Place, SMALL, metrics, repository, text};

fn page(name: &str) -> String {
    std::fs::read_to_string(repository("docs/reference").join(name)).unwrap()
}

/// Returns the rows of a page's tables without their headings, with trimmed cells.
fn rows(page: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let lines: Vec<&str> = page.lines().collect();
    let below = (2..lines.len()).filter(|&i| lines[i].starts_with('|') && !lines[i].starts_with("|-"));
    below.filter(|&i| lines[i - 1].starts_with('|')).map(|i| cells(lines[i])).collect()
}

/// Returns the parts of `text` in backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Parses a Rust file.
fn source(path: &Path) -> syn::File {
    let text = std::fs::read_to_string(path).unwrap();
    syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Returns every Rust file of the programs and libraries in this repository, without tests.
fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !["target", "tests", "benches"].contains(&&*name) {
                walk(&path, found);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    let mut found = vec![];
    ["host", "plugin-api", "sdk/pool/src", "sdk/rust/src"]
        .iter()
        .for_each(|folder| walk(&repository(folder), &mut found));
    found
}

mod configuration {
    use super::*;

    const START: &str = "\
# Configuration

<!-- Made from host/src/run/config.rs by
POTSTILL_WRITE_DOCS=1 cargo test --release -p potstill --test cli reference
-->

`potstill distill --config FILE` and `potstill rl --config FILE` read a configuration in TOML. Keys that are not in the \
file have their defaults, options on the command line override the file, and an unknown key is an error. A run directory \
holds the resolved configuration in `config.toml`, with every value.

```toml
meta_epochs = 300

[environment]
id = \"nd-cartpole\"
settings = { n = 2 }

[dataset]
k = 3

[objective.options]
clip = 0.1
```

Options of plugins (`environment.settings`, `learner.options` and so on) are listed by `potstill plugin info ID`. A default \
of – means that the key is not set; its description says what then holds.
";

    /// Returns the documentation comment among `attributes` as one line.
    fn comment(attributes: &[syn::Attribute]) -> String {
        let mut lines = vec![];
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
            if let syn::Meta::NameValue(pair) = &attribute.meta
                && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }) = &pair.value
            {
                lines.push(line.value().trim().to_owned());
            }
        }
        lines.join(" ")
    }

    /// Returns the structs of the configuration by name, with the name, type and comment of each field.
    fn structs() -> BTreeMap<String, Vec<(String, syn::Type, String)>> {
        let mut structs = BTreeMap::new();
        for file in ["host/src/run/config.rs", "host/src/run/learners.rs"] {
            for item in source(&repository(file)).items {
                if let syn::Item::Struct(item) = item {
                    let field = |f: syn::Field| (f.ident.unwrap().to_string(), f.ty, comment(&f.attrs));
                    structs.insert(item.ident.to_string(), item.fields.into_iter().map(field).collect());
                }
            }
        }
        structs
    }

    /// Returns the last segment of a type's path, and its generic argument.
    fn name_of(ty: &syn::Type) -> (String, Option<&syn::Type>) {
        match ty {
            syn::Type::Path(path) => {
                let last = path.path.segments.last().unwrap();
                let inner = match &last.arguments {
                    syn::PathArguments::AngleBracketed(arguments) => {
                        arguments.args.iter().find_map(|argument| match argument {
                            syn::GenericArgument::Type(ty) => Some(ty),
                            _ => None,
                        })
                    }
                    _ => None,
                };
                (last.ident.to_string(), inner)
            }
            syn::Type::Array(array) => ("array".into(), Some(&array.elem)),
            _ => panic!("a type that the page has no words for"),
        }
    }

    /// Writes a configuration with `key = value` in its table.
    fn set(section: &str, key: &str, value: &str) -> String {
        match section {
            "" => format!("{key} = {value}"),
            "learner" => format!("[[learner]]\nid = \"mlp\"\n{key} = {value}"),
            section => format!("[{section}]\n{key} = {value}"),
        }
    }

    /// Describes a type in words. For a choice, it lists the values that the program names in its error.
    fn kind(section: &str, key: &str, ty: &syn::Type) -> String {
        match name_of(ty) {
            (name, Some(inner)) if name == "Option" => kind(section, key, inner),
            (name, _) => match name.as_str() {
                "u64" | "usize" => "integer".into(),
                "f64" => "number".into(),
                "bool" => "boolean".into(),
                "String" | "Entries" => "string".into(),
                "PathBuf" => "path".into(),
                "Options" => "table of options".into(),
                "BTreeMap" => "table of numbers".into(),
                "Vec" => "integers".into(),
                "array" => "two numbers".into(),
                _ => {
                    let error = DistillConfig::parse(&set(section, key, "\"?\"")).unwrap_err();
                    let (_, values) = error.split_once("unknown variant `?`, expected ").unwrap();
                    let values = values.trim().trim_start_matches("one of ").replace(" or ", ", ");
                    quoted(&values)
                        .iter()
                        .map(|value| format!("`\"{value}\"`"))
                        .collect::<Vec<_>>()
                        .join(", ")
                }
            },
        }
    }

    /// Returns the range of accepted values, as the program's error for a value outside of it says.
    fn range(section: &str, key: &str, kind: &str) -> String {
        let probes: &[&str] = match kind {
            "integer" => &["0", "1000000000000"],
            "integers" => &["[0]"],
            "number" | "two numbers" | "table of numbers" => &["-1.0", "0.0", "1.0", "2.0", "nan"],
            _ => &[],
        };
        let mut said: Vec<String> = vec![];
        for probe in probes {
            let value = match kind {
                "two numbers" => format!("[{probe}, {probe}]"),
                "table of numbers" => format!("{{ x = {probe} }}"),
                _ => (*probe).to_owned(),
            };
            let Err(error) = DistillConfig::parse(&set(section, key, &value)) else { continue };
            let (what, expected) =
                error.split_once("; expected ").unwrap_or_else(|| panic!("{key}: {error}"));
            // Skip an error about another key that conflicts with this value.
            if what.contains(key) && !said.contains(&expected.to_owned()) {
                said.push(expected.to_owned());
            }
        }
        said.join(", ")
    }

    /// Returns every table with its keys, and the page that lists them.
    fn made() -> (BTreeMap<String, BTreeSet<String>>, String) {
        let structs = structs();
        let defaults: Table = toml::from_str(&DistillConfig::default().to_toml().unwrap()).unwrap();
        let mixture = DistillConfig::parse("[[learner]]\nid = \"mlp\"").unwrap().to_toml().unwrap();
        let mixture: Table = toml::from_str(&mixture).unwrap();
        let (mut keys, mut page) = (BTreeMap::<String, BTreeSet<String>>::new(), START.to_owned());
        let mut sections = vec![(String::new(), "DistillConfig".to_owned(), String::new())];
        let mut next = 0;
        while next < sections.len() {
            let (section, name, about) = sections[next].clone();
            next += 1;
            let (title, values) = match section.as_str() {
                "" => ("Top level".into(), &defaults),
                "learner" => ("`[learner]`, `[[learner]]`".into(), mixture["learner"][0].as_table().unwrap()),
                section => (format!("`[{section}]`"), defaults[section].as_table().unwrap()),
            };
            page += &format!("\n## {title}\n\n");
            if !about.is_empty() {
                page += &format!("{about}\n\n");
            }
            page += "| Key | Type | Default | Range | Meaning |\n|---|---|---|---|---|\n";
            for (key, ty, meaning) in &structs[&name] {
                let field_type = match name_of(ty).0.as_str() {
                    "LearnerConfig" => "WeightedPlugin".to_owned(),
                    other => other.to_owned(),
                };
                keys.entry(section.clone()).or_default().insert(key.clone());
                if structs.contains_key(&field_type) {
                    sections.push((key.clone(), field_type, meaning.clone()));
                    continue;
                }
                let kind = kind(&section, key, ty);
                let default = match values.get(key) {
                    None => "–".into(),
                    Some(Value::Table(table)) if table.is_empty() => "–".into(),
                    Some(value) => format!("`{value}`"),
                };
                let range = range(&section, key, &kind);
                assert!(meaning.ends_with('.') && !meaning.contains('|'), "`{section}.{key}`: {meaning}");
                page += &format!("| `{key}` | {kind} | {default} | {range} | {meaning} |\n");
            }
        }
        (keys, page)
    }

    #[test]
    fn the_page_matches_the_code() {
        let (_, made) = made();
        if std::env::var_os("POTSTILL_WRITE_DOCS").is_some() {
            std::fs::write(repository("docs/reference/configuration.md"), &made).unwrap();
        }
        let again =
            "`POTSTILL_WRITE_DOCS=1 cargo test --release -p potstill --test cli reference` writes it anew";
        for (there, made) in page("configuration.md").lines().zip(made.lines()) {
            assert_eq!(there, made, "docs/reference/configuration.md is not of this code: {again}");
        }
        assert!(page("configuration.md") == made, "docs/reference/configuration.md is cut short: {again}");
    }

    /// The page has the keys that serde knows, as its errors and the configuration that a run writes show.
    #[test]
    fn the_page_has_every_key() {
        let (keys, _) = made();
        let defaults: Table = toml::from_str(&DistillConfig::default().to_toml().unwrap()).unwrap();
        for (section, listed) in &keys {
            let text = set(section, "no_such_key", "1");
            let error = toml::from_str::<DistillConfig>(&text).unwrap_err().to_string();
            let (_, known) = error.split_once("unknown field `no_such_key`, expected ").unwrap();
            // The older spelling of `optimizer` is read, and not documented.
            let known = quoted(known).into_iter().filter(|key| *key != "optimiser");
            let known: BTreeSet<String> = known.map(str::to_owned).collect();
            assert_eq!(*listed, known, "[{section}]");
            let written = if section.is_empty() { Some(&defaults) } else { defaults[section].as_table() };
            assert!(written.unwrap().keys().all(|key| listed.contains(key)), "[{section}]");
        }
        let tables = defaults.iter().filter(|(_, value)| value.is_table());
        let tables: BTreeSet<&str> = tables.map(|(key, _)| key.as_str()).chain([""]).collect();
        assert_eq!(keys.keys().map(String::as_str).collect::<BTreeSet<_>>(), tables);
    }
}

#[test]
fn every_metric_is_documented_and_logged() {
    let place = Place::new();
    let mut logged: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut log = |objective: &str, run: &str| {
        let names = metrics(&place.path(run)).into_iter().flat_map(BTreeMap::into_keys);
        for name in names.filter(|name| !["meta_epoch", "wall_time", "seconds"].contains(&name.as_str())) {
            logged.entry(name).or_default().insert(objective.to_owned());
        }
    };
    let rollouts = ["a2c", "hard-label", "ppmo", "ppmo-as-published", "ppmo-kl", "unrolled"];
    for objective in rollouts {
        place.distil(objective, &["--objective", objective, "--meta-epochs", "3"]);
        log(objective, objective);
    }
    let library = compile("tests/native/several.c", "several", &[]);
    place.distil("shaky", &["--plugin", text(&library), "test/shaky"]);
    log("ppmo", "shaky");
    place.write("small.toml", format!("encoder_layers = 1\nrollback = [1]\n{SMALL}"));
    place.distil("rollback", &["--meta-epochs", "3"]);
    log("ppmo", "rollback");
    place.ok(&["collect", "nd-cartpole", "--episodes", "10", "--out", "data"]);
    place.write("small.toml", format!("{SMALL}[offline]\nupdates = 2\nminibatch = 16\n"));
    place.distil("offline", &["--objective", "gradient-matching", "--data", "data", "--meta-epochs", "3"]);
    log("gradient-matching", "offline");
    place.ok(&["rl", "nd-cartpole", "--config", "small.toml", "--out", "expert"]);
    place.ok(&["train", "expert", "--out", "agent"]);
    place.distil("clone", &["--objective", "clone", "--teacher", "agent", "--meta-epochs", "3"]);
    log("clone", "clone");

    let page = page("metrics.md");
    let documented: BTreeMap<String, Vec<String>> =
        rows(&page).into_iter().map(|row| (quoted(&row[0])[0].to_owned(), row)).collect();
    assert_eq!(documented.keys().collect::<Vec<_>>(), logged.keys().collect::<Vec<_>>());
    let every: BTreeSet<String> =
        rollouts.into_iter().chain(["gradient-matching", "clone"]).map(str::to_owned).collect();
    for (name, objectives) in &logged {
        let row = &documented[name];
        assert!(row.len() == 4 && !row[2].is_empty() && !row[3].is_empty(), "{row:?}");
        // A metric that only some objectives have names them; one that all have is in the first table.
        let named: BTreeSet<String> = quoted(&row[3]).into_iter().map(str::to_owned).collect();
        if named.iter().any(|name| every.contains(name)) {
            assert_eq!(named, *objectives, "`{name}`");
        }
        let at = |text: &str| page.find(text).unwrap();
        let place = at(&format!("| `{name}` |"));
        let of_every_run = place < at("## Of objectives that learn from rollouts");
        assert_eq!(of_every_run, *objectives == every, "`{name}` is in the wrong table");
    }
}

mod limits {
    use super::*;

    /// The constants of a file by name, as expressions, without those of tests.
    #[derive(Default)]
    struct Constants(BTreeMap<String, syn::Expr>);

    fn is_test(attributes: &[syn::Attribute]) -> bool {
        let only_test =
            |a: &syn::Attribute| a.parse_args::<syn::Path>().is_ok_and(|what| what.is_ident("test"));
        attributes.iter().any(|a| a.path().is_ident("cfg") && only_test(a))
    }

    impl<'ast> Visit<'ast> for Constants {
        fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
            if !is_test(&item.attrs) {
                visit::visit_item_mod(self, item);
            }
        }

        fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
            self.0.insert(item.ident.to_string(), (*item.expr).clone());
            visit::visit_item_const(self, item);
        }
    }

    impl Constants {
        fn of(path: &Path) -> Self {
            let mut constants = Constants::default();
            constants.visit_file(&source(path));
            constants
        }
    }

    /// The number that an expression of literals, `<<`, `*` and other constants is; a duration is in milliseconds. Of a
    /// choice by the width of `usize`, which is an `if`, the value on 64-bit systems comes last.
    fn number(expression: &syn::Expr, constants: &dyn Fn(&str) -> Option<u128>) -> Option<u128> {
        match expression {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(number), .. }) => number.base10_parse().ok(),
            syn::Expr::Paren(inner) => number(&inner.expr, constants),
            syn::Expr::If(choice) => number(&choice.else_branch.as_ref()?.1, constants),
            syn::Expr::Block(block) => match &block.block.stmts[..] {
                [syn::Stmt::Expr(value, None)] => number(value, constants),
                _ => None,
            },
            syn::Expr::Path(path) => constants(&path.path.segments.last()?.ident.to_string()),
            syn::Expr::Binary(binary) => {
                let (left, right) = (number(&binary.left, constants)?, number(&binary.right, constants)?);
                match binary.op {
                    syn::BinOp::Shl(_) => left.checked_shl(u32::try_from(right).ok()?),
                    syn::BinOp::Mul(_) => left.checked_mul(right),
                    _ => None,
                }
            }
            syn::Expr::Call(call) => {
                let syn::Expr::Path(function) = &*call.func else { return None };
                let unit = match function.path.segments.last()?.ident.to_string().as_str() {
                    "from_secs" => 1000,
                    "from_millis" => 1,
                    _ => return None,
                };
                Some(unit * number(call.args.first()?, constants)?)
            }
            _ => None,
        }
    }

    /// `20,000`, `64 MiB` or `10 ms` as a number.
    fn read(cell: &str) -> u128 {
        let (digits, unit) = cell.split_once(' ').unwrap_or((cell, ""));
        let unit = match unit {
            "" | "ms" => 1,
            "s" => 1000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            other => panic!("unit {other}"),
        };
        unit * digits.replace(',', "").parse::<u128>().unwrap_or_else(|e| panic!("{cell}: {e}"))
    }

    #[test]
    fn every_limit_matches_the_code() {
        let files: BTreeMap<PathBuf, Constants> =
            sources().into_iter().map(|path| (path.clone(), Constants::of(&path))).collect();
        // A constant of another file is looked up where there is one of that name only.
        fn value(files: &BTreeMap<PathBuf, Constants>, path: &Path, name: &str) -> Option<u128> {
            let elsewhere = || {
                let mut others = files.iter().filter(|(_, constants)| constants.0.contains_key(name));
                others.next().filter(|_| others.next().is_none()).map(|(path, _)| path.as_path())
            };
            let path = if files.get(path)?.0.contains_key(name) { path } else { elsewhere()? };
            number(&files[path].0[name], &|name| value(files, path, name))
        }

        let page = page("limits.md");
        let mut listed = BTreeSet::new();
        for row in rows(&page).iter().filter(|row| row[2].contains(" in `")) {
            let [name, file] = quoted(&row[2])[..] else { panic!("{row:?}") };
            let path = repository(file);
            let there = || files.iter().filter(|(_, c)| c.0.contains_key(name)).map(|(path, _)| path);
            let found = value(&files, &path, name).unwrap_or_else(|| {
                panic!("{file} has no constant `{name}`; it is in {:?}", there().collect::<Vec<_>>())
            });
            // The name of a constant contains its unit.
            let found = if name.ends_with("_KIB") { found << 10 } else { found };
            assert_eq!(read(&row[1]), found, "`{name}` in {file}");
            listed.insert((path, name.to_owned()));
        }
        assert!(listed.len() > 30, "{}", listed.len());

        // Every constant that is named like a limit is on the page, or in this list of exceptions.
        let others = [
            // These affect how a heat map is drawn.
            ("host/src/run/plot.rs", "MAX_RECTANGLES"),
            // This is the length of pauses that `reproduce` does not count as time of a run.
            ("host/src/cli/reproduce/table.rs", "LONGEST_PAUSE"),
            // These affect how much `plugin check` tries.
            ("host/src/author/conformance/environment.rs", "MOST"),
            ("host/src/author/conformance/environment.rs", "MOST_NUMBERS"),
            // This one of the SDK limits which messages of a plugin are written once.
            ("sdk/rust/src/host.rs", "MOST_MESSAGES"),
        ];
        let others = others.map(|(file, name)| (repository(file), name.to_owned()));
        for (path, constants) in &files {
            for name in constants.0.keys() {
                let word = name.split('_').next().unwrap();
                let is_limit = ["MAX", "MOST", "LONGEST", "LARGEST", "STACK"].contains(&word);
                let known = (path.clone(), name.clone());
                if is_limit && !listed.contains(&known) && !others.contains(&known) {
                    panic!("docs/reference/limits.md lacks `{name}` of {}", path.display());
                }
            }
        }
    }

    #[test]
    fn the_limits_that_a_plugin_sets() {
        let (default, most) = (Limits::default(), Limits::CAP);
        let expected = [
            ("memory-mib", format!("{} MiB", default.memory_mib), format!("{} MiB", most.memory_mib)),
            ("step-seconds", format!("{} s", default.step_seconds), format!("{} s", most.step_seconds)),
            ("start-seconds", format!("{} s", default.start_seconds), format!("{} s", most.start_seconds)),
        ];
        let rows = rows(&page("limits.md"));
        for (key, default, most) in expected {
            let row = rows.iter().find(|row| row.get(3).is_some_and(|cell| quoted(cell) == [key])).unwrap();
            assert_eq!((&row[1], &row[2]), (&default, &most), "{key}");
        }
    }
}

mod command_line {
    use super::*;

    /// The environment variables that a file reads.
    #[derive(Default)]
    struct Variables(BTreeSet<String>);

    impl<'ast> Visit<'ast> for Variables {
        fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
            if item.ident != "tests" {
                visit::visit_item_mod(self, item);
            }
        }

        fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
            if let syn::Expr::Path(function) = &*call.func
                && let Some(last) = function.path.segments.last()
                && ["var", "var_os", "words"].contains(&last.ident.to_string().as_str())
                && let Some(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. })) = call.args.first()
            {
                self.0.insert(name.value());
            }
            visit::visit_expr_call(self, call);
        }
    }

    #[test]
    fn every_environment_variable_is_documented() {
        let mut read = Variables::default();
        sources().iter().for_each(|path| read.visit_file(&source(path)));
        assert!(read.0.contains("POTSTILL_CACHE") && read.0.contains("LDFLAGS"), "{:?}", read.0);
        let page = page("command-line.md");
        let documented: BTreeSet<&str> = quoted(&page).into_iter().collect();
        for name in read.0 {
            assert!(documented.contains(name.as_str()), "docs/reference/command-line.md lacks `{name}`");
        }
    }

    #[test]
    fn completions_are_made_for_every_shell() {
        let place = Place::new();
        for (shell, mark) in [
            ("bash", "complete -F _potstill"),
            ("zsh", "#compdef potstill"),
            ("fish", "complete -c potstill"),
            ("powershell", "Register-ArgumentCompleter"),
            ("elvish", "edit:completion:arg-completer[potstill]"),
        ] {
            let script = place.ok(&["completions", shell]);
            for expected in [mark, "distill", "learner-set", "greedy"] {
                assert!(script.contains(expected), "{shell} lacks {expected}");
            }
            assert!(!script.contains("__host-plugin"), "{shell} completes a hidden command");
            assert!(page("command-line.md").contains(&format!("potstill completions {shell}")), "{shell}");
        }
        place.refused(&["completions", "tcsh"], 2, "invalid value 'tcsh' for '<SHELL>'");
        // These are what bash offers for the given command line.
        let script = place.ok(&["completions", "bash"]);
        place.write("potstill.bash", script);
        let ask = "source potstill.bash; COMP_WORDS=(potstill plugin ch); COMP_CWORD=2; \
                   _potstill potstill ch plugin; echo \"${COMPREPLY[@]}\"";
        let output =
            std::process::Command::new("bash").args(["-c", ask]).current_dir(place.path("")).output();
        match output {
            Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "check"),
            Err(_) => eprintln!("there is no bash here: its completions are not tried"),
        }
    }

    #[test]
    fn every_command_has_a_man_page() {
        let place = Place::new();
        let top = place.ok(&["man"]);
        assert!(top.contains(".TH potstill 1") && top.contains("POTSTILL_PLUGIN_PATH"), "{top}");
        place.ok(&["man", "--out", "share/man1"]);
        let pages = crate::list(&place.path("share/man1"));
        for expected in ["potstill.1", "potstill-distill.1", "potstill-plugin-new.1", "potstill-man.1"] {
            assert!(pages.iter().any(|page| page == expected), "{pages:?}");
        }
        let commands = place.ok(&["--help"]);
        let (_, commands) = commands.split_once("Commands:\n").unwrap();
        for line in commands.lines().take_while(|line| line.starts_with("  ")) {
            let name = line.split_whitespace().next().unwrap();
            let known = name == "help" || pages.contains(&format!("potstill-{name}.1"));
            assert!(known || line.starts_with("   "), "there is no page for {name}");
        }
        assert!(pages.iter().all(|page| !page.contains("__")), "{pages:?}");
        let distill = String::from_utf8(crate::read(place.path("share/man1/potstill-distill.1"))).unwrap();
        for expected in [".SH ENVIRONMENT", "learner\\-set", "Examples:"] {
            assert!(distill.contains(expected), "{expected}: {distill}");
        }
        place.write("file", "");
        place.refused(&["man", "--out", "file"], 1, "file: ");
    }
}
