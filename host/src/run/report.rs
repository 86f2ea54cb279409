//! `report.html`: a run on one page, which needs no other file.
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use super::atomic::write_atomically;
use super::baseline::{Baseline, Baselines};
use super::config::DistillConfig;
use super::dataset::Dataset;
use super::date::Date;
use super::directory::{RunDirectory, Versions};
use super::metrics::{MetricsRecord, read_metrics};
use super::plot::{dataset_svg, escape, learning_curve_svg};
use crate::engine::policy::Acting;
use crate::error::{IoContext, Result};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1f2328;--quiet:#59636e;--line:#d1d9e0;--page:#fff;--panel:#f6f8fa}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--quiet:#9198a1;--line:#3d444d;--page:#0d1117;--panel:#151b23}}\
*{box-sizing:border-box}\
body{margin:0 auto;padding:32px 20px 64px;max-width:960px;font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page)}\
h1{font-size:26px;margin:0}h2{font-size:18px;margin:36px 0 10px}\
.quiet{color:var(--quiet)}\
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:20px 0 0;padding:0}\
.facts div{border:1px solid var(--line);border-radius:8px;padding:10px 14px}\
.facts dt{color:var(--quiet);font-size:13px}.facts dd{margin:0;font-size:20px;font-weight:600}\
figure{margin:0;overflow-x:auto}figure svg{max-width:100%;height:auto}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:6px 12px 6px 0;border-bottom:1px solid var(--line)}\
th{color:var(--quiet);font-weight:500}.number{text-align:right;font-variant-numeric:tabular-nums}\
.scroll{overflow-x:auto}\
pre{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:12px 14px;overflow-x:auto;font:13px/1.5 ui-monospace,monospace;margin:0}\
code{font:13px ui-monospace,monospace}\
summary{cursor:pointer;font-size:18px;font-weight:600;margin:36px 0 10px}";

/// Writes `report.html` into a run directory, from the files that the run has written so far. `reproduce` is the command
/// that runs it again.
///
/// # Errors
/// [`crate::error::Error::Io`] or [`crate::error::Error::File`] naming the file that cannot be read or written.
pub fn write_report(run: &RunDirectory, reproduce: &str) -> Result<PathBuf> {
    let (metrics, dataset) = (run.metrics_path(), run.dataset_path());
    let records = if metrics.try_exists().at(&metrics)? { read_metrics(&metrics)? } else { vec![] };
    let dataset = if dataset.try_exists().at(&dataset)? { Some(Dataset::load(&dataset)?) } else { None };
    let (config, versions, baselines) = (run.config()?, run.versions()?, run.baselines()?);
    let html = report_html(&config, &versions, &records, dataset.as_ref(), baselines.as_ref(), reproduce)?;
    let path = run.report_path();
    write_atomically(&path, |file| file.write_all(html.as_bytes()))?;
    Ok(path)
}

/// Makes the page: facts, learning curve, dataset, scores beside the baselines, the command to reproduce the run, configuration and versions.
/// The curve shows every metric with `return` in its name.
///
/// # Errors
/// [`crate::error::Error::Usage`] when the dataset is not valid, or the configuration cannot be written as TOML.
pub fn report_html(
    config: &DistillConfig,
    versions: &Versions,
    records: &[MetricsRecord],
    dataset: Option<&Dataset>,
    baselines: Option<&Baselines>,
    reproduce: &str,
) -> Result<String> {
    let environment = escape(&config.environment.id);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{environment} · Potstill</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{environment}</h1>\n"
    );
    let started =
        Date::of(UNIX_EPOCH.checked_add(Duration::from_secs(versions.started)).unwrap_or(UNIX_EPOCH));
    let done = records.last().map_or(0, |record| record.meta_epoch);
    let settings = config.environment.settings.iter().map(|(name, value)| format!("{name} = {value}, "));
    let _ = writeln!(
        page,
        "<p class=\"quiet\">{}seed {}, started {started}. Potstill {} on {}.</p>",
        escape(&settings.collect::<String>()),
        versions.seed,
        escape(&versions.potstill),
        escape(&versions.device),
    );
    facts(&mut page, config, done, dataset);

    let threshold = dataset.and_then(|dataset| dataset.info.environment.spec.reward_threshold).map(f64::from);
    let names: std::collections::BTreeSet<&str> = records
        .iter()
        .flat_map(|r| r.values.keys())
        .filter(|n| n.contains("return"))
        .map(String::as_str)
        .collect();
    let curve = learning_curve_svg(records, &names.into_iter().collect::<Vec<_>>(), threshold);
    let _ = writeln!(page, "<h2>Learning curve</h2>\n<figure>{curve}</figure>");

    if let Some(dataset) = dataset {
        let _ = writeln!(page, "<h2>Dataset</h2>\n<figure>{}</figure>", dataset_svg(dataset)?);
        scores(&mut page, dataset, baselines);
    }
    let _ = writeln!(page, "<h2>Reproduce</h2>\n<pre>{}</pre>", escape(reproduce));
    let _ = writeln!(
        page,
        "<details><summary>Configuration</summary>\n<pre>{}</pre></details>",
        escape(config.to_toml()?.trim_end())
    );
    plugins(&mut page, versions);
    page += "</body>\n</html>\n";
    Ok(page)
}

fn facts(page: &mut String, config: &DistillConfig, done: u64, dataset: Option<&Dataset>) {
    let mut facts = vec![("Meta-epochs", format!("{done} of {}", config.meta_epochs))];
    match dataset {
        Some(dataset) => {
            facts.push(("Instances k", dataset.k().to_string()));
            facts.push(("Inner learning rate η", format!("{:.4}", dataset.inner_lr)));
            facts.push(("Environment steps", thousands(dataset.info.environment_steps)));
            for score in dataset.info.scores.iter().rev().take(2).rev() {
                let name = match score.protocol.acting {
                    Acting::Sampled => "Return, sampled",
                    Acting::Greedy => "Return, greedy",
                };
                facts.push((name, format!("{:.1}", score.mean_return)));
            }
        }
        None => facts.push(("Instances k", config.dataset.k.map_or("–".into(), |k| k.to_string()))),
    }
    *page += "<dl class=\"facts\">\n";
    for (name, value) in facts {
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    *page += "</dl>\n";
}

fn scores(page: &mut String, dataset: &Dataset, baselines: Option<&Baselines>) {
    if dataset.info.scores.is_empty() {
        return;
    }
    *page += "<h2>Scores</h2>\n<p class=\"quiet\">Returns of fresh learners that the dataset taught; ± is the standard \
              deviation over episodes.</p>\n<div class=\"scroll\"><table>\n<tr><th>Actions</th>\
              <th class=\"number\">Return</th><th class=\"number\">Worst</th><th class=\"number\">Best</th>\
              <th class=\"number\">Learners</th><th class=\"number\">Episodes each</th><th class=\"number\">Seed</th></tr>\n";
    for score in &dataset.info.scores {
        let _ = write!(page, "<tr><td>{}</td>", score.protocol.acting);
        for cell in [
            format!("{:.1} ± {:.1}", score.mean_return, score.std_return),
            format!("{:.1}", score.min_learner),
            format!("{:.1}", score.max_learner),
            score.protocol.learners.to_string(),
            score.protocol.episodes.to_string(),
            score.protocol.seed.to_string(),
        ] {
            let _ = write!(page, "<td class=\"number\">{cell}</td>");
        }
        *page += "</tr>\n";
    }
    for Baseline { policy, tally, .. } in baselines.iter().flat_map(|all| &all.baselines) {
        let _ = writeln!(
            page,
            "<tr><td>{}, without looking</td><td class=\"number\">{:.1} ± {:.1}</td>\
             <td class=\"number\">–</td><td class=\"number\">–</td><td class=\"number\">–</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            escape(policy),
            tally.mean_return,
            tally.std_return,
            tally.episodes,
            baselines.map_or(0, |all| all.seed),
        );
    }
    *page += "</table></div>\n";
    if let Some(baselines) = baselines {
        let _ = writeln!(page, "<p class=\"quiet\">{}</p>", escape(&about(baselines)));
    }
}

/// What the baselines are, in sentences.
fn about(baselines: &Baselines) -> String {
    let most = thousands(baselines.most_steps as u64);
    let id = &baselines.environment.id;
    let more = format!("`potstill baseline {id}` plays more.");
    if baselines.baselines.is_empty() {
        return format!(
            "There are no baselines: one episode of each policy that does not look takes more than {most} steps. {more}"
        );
    }
    let constant = match baselines.constants {
        0 => "".to_owned(),
        1 => " The constant action is the only one.".to_owned(),
        n => format!(" The constant action is the best of {n} in these episodes."),
    };
    format!(
        "Policies that do not look played these few episodes, of at most {most} steps in all.{constant} {more}"
    )
}

fn plugins(page: &mut String, versions: &Versions) {
    *page += "<details><summary>Versions</summary>\n<div class=\"scroll\"><table>\n\
              <tr><th>Plugin</th><th>Version</th><th>SHA-256</th></tr>\n";
    let own = format!("built for {}", versions.target);
    let _ = writeln!(
        page,
        "<tr><td>potstill</td><td>{}</td><td>{}</td></tr>",
        escape(&versions.potstill),
        escape(&own)
    );
    for plugin in &versions.plugins {
        let hash = match &plugin.sha256 {
            Some(hash) => format!("<code>{}</code>", escape(hash)),
            None => "built in".into(),
        };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{hash}</td></tr>",
            escape(&plugin.id),
            escape(&plugin.version)
        );
    }
    *page += "</table></div>\n";
    for change in &versions.changes {
        let _ = writeln!(page, "<p>Changed when the run was resumed: {}</p>", escape(change));
    }
    *page += "</details>\n";
}

/// A number with commas between thousands.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::dataset::tests::cartpole_dataset;
    use crate::run::{MetricsWriter, PluginVersion};

    #[test]
    fn a_run_on_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = DistillConfig::default();
        config
            .environment
            .settings
            .insert("note".into(), potstill_plugin_api::OptionValue::Text("<script>".into()));
        let plugin =
            |id: &str, sha256| PluginVersion { id: id.into(), version: "0.1.0".into(), sha256, path: None };
        let plugins = vec![plugin("nd-cartpole-v1", Some("ab".repeat(32))), plugin("mlp", None)];
        let versions = Versions {
            changes: vec!["seed: 0 → 7 after meta-epoch 4".into()],
            ..Versions::current("cpu", plugins, 7)
        };
        let run = RunDirectory::create(folder.path().join("run"), &config, &versions).unwrap();
        let html = std::fs::read_to_string(write_report(&run, "potstill distill").unwrap()).unwrap();
        assert!(html.contains("No returns recorded yet") && !html.contains("<h2>Dataset"));

        let mut metrics = MetricsWriter::create(run.path()).unwrap();
        for epoch in 1..=75_u64 {
            let value = 500.0 * (1.0 - (-(epoch as f64) / 15.0).exp()) - (epoch * 7919 % 23) as f64;
            metrics.append(epoch, [("return/sampled", value), ("loss/policy", 0.1)]).unwrap();
        }
        cartpole_dataset().save(run.dataset_path()).unwrap();
        let reproduce = "potstill distill --config config.toml && echo \"<done>\"";
        let html = std::fs::read_to_string(write_report(&run, reproduce).unwrap()).unwrap();
        for part in [
            "<p>Changed when the run was resumed: seed: 0 → 7 after meta-epoch 4</p>",
            "75 of 1000",
            "499.2 ± 1.5",
            "&quot;&lt;done&gt;&quot;",
            "307,200",
            "aria-label=\"2 instances",
        ] {
            assert!(html.contains(part), "{part}");
        }
        assert!(!html.contains("<script>") && !html.contains("http://localhost"));
        if let Some(folder) = std::env::var_os("POTSTILL_PICTURES") {
            std::fs::write(std::path::Path::new(&folder).join("report.html"), html).unwrap();
        }
    }

    #[test]
    fn numbers_in_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
