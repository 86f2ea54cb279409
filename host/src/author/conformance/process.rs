//! Runs each check of a native plugin in a separate process, so that a crash or a hang fails only that check.
use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{FIRST, Report, Verdict, rejected, select};
use crate::error::{Error, IoContext, Result};

/// Checks the plugins of the library at `path`, with the checks that `only` names, or all if it is empty. Each check
/// runs `command`, which gets the id of a plugin, or `None` for all plugins, with `--only NAME` added. It must print a
/// list of [`Report`]s of that check as JSON. A process that takes `longest` is killed, which is the only way to stop
/// native code.
///
/// # Errors
/// No process can be started, or the first one refuses its request.
pub fn check(
    path: &Path,
    only: &[String],
    longest: Duration,
    command: impl Fn(Option<&str>) -> Command,
) -> Result<Vec<Report>> {
    // This process does not load the library either: the first check says which plugins it contains.
    let mut reports = match run(&mut command(None), FIRST, longest)? {
        Ok(reports) => reports,
        Err(crash) => {
            let findings = vec![rejected(&crash)];
            let (id, loader) = (String::new(), "native".into());
            return Ok(vec![Report {
                id,
                role: None,
                loader,
                path: Some(path.display().to_string()),
                findings,
            }]);
        }
    };
    for report in &mut reports {
        let Some(role) = report.role.filter(|_| report.count(Verdict::Failed) == 0) else { continue };
        let first = report.findings.pop();
        for check in select(role, only)? {
            if check.name == FIRST {
                report.findings.extend(first.clone());
                continue;
            }
            let started = Instant::now();
            let done = run(&mut command(Some(&report.id)), check.name, longest)?;
            report.findings.extend(match done {
                Ok(one) => one.into_iter().flat_map(|report| report.findings).collect(),
                Err(crash) => vec![check.finding(Verdict::Failed, Some(crash), vec![], started)],
            });
        }
    }
    Ok(reports)
}

/// Runs one check. The inner error says how its process ended, if it gave no report.
fn run(command: &mut Command, name: &str, longest: Duration) -> Result<Result<Vec<Report>, String>> {
    // The output goes to files, because nothing would read a pipe while this waits.
    let folder = tempfile::tempdir().at(std::env::temp_dir())?;
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    command.args(["--only", name]).stdin(Stdio::null());
    command.stdout(File::create(&out).at(&out)?).stderr(File::create(&err).at(&err)?);
    let mut child = command.spawn().at(command.get_program())?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().at(command.get_program())? {
            break status;
        }
        if started.elapsed() > longest {
            // The process may have ended at this very moment, so that killing it fails.
            let _ = child.kill();
            child.wait().at(command.get_program())?;
            return Ok(Err(format!("no answer within {} s", longest.as_secs_f64())));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = std::fs::read_to_string(&out).at(&out)?;
    if let Ok(report) = serde_json::from_str(&text) {
        return Ok(Ok(report));
    }
    if status.code() == Some(2) {
        let said = std::fs::read_to_string(&err).at(&err)?;
        return Err(Error::usage(said.trim_start_matches("error: ").trim_end()));
    }
    Ok(Err(format!("its process {}", ended(status))))
}

#[cfg(unix)]
fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(11) => "crashed: segmentation fault".into(),
        Some(6) => "was aborted".into(),
        Some(signal) => format!("was ended by signal {signal}"),
        None => format!("ended by itself, with {status}"),
    }
}

#[cfg(not(unix))]
fn ended(status: ExitStatus) -> String {
    format!("ended with {status}")
}
