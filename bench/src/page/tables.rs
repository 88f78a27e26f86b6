//! What is said in tables: goals, peers, parts, and every table of the parts.

use std::fmt::Write as _;

use super::svg::escaped;
use crate::all::document::{Document, Part, State};
use crate::goals::Goal;
use crate::table::Table;

/// Every promise, and whether it holds.
pub(super) fn goals(document: &Document) -> String {
    let mut out = String::new();
    for part in &document.parts {
        for (what, goal) in folded(&part.report.goals) {
            let (class, holds) = if goal.holds() { ("yes", "yes") } else { ("no", "no") };
            let [what, label] = [&what, &part.label].map(|text| escaped(text));
            let [promise, found] = [goal.promise(), goal.found()].map(|text| escaped(&text));
            let _ = write!(
                out,
                "<tr><td>{what}</td><td>{promise}</td><td>{found}</td><td class=\"{class}\">{holds}\
                 </td><td class=\"text\">{label}</td></tr>"
            );
        }
    }
    if out.is_empty() {
        return out;
    }
    format!(
        "<section id=\"goals\"><h2>Promises</h2><p class=\"lead\">What was promised, what was measured in \
         this run, and whether it holds.</p><div class=\"scroll\"><table><tr><th>promise</th><th>limit</th>\
         <th>measured</th><th>holds</th><th class=\"text\">in</th></tr>{out}</table></div></section>"
    )
}

/// The goals of a part; of its many searches, the slowest stands for all.
fn folded(goals: &[Goal]) -> Vec<(String, &Goal)> {
    let is_search = |goal: &&Goal| goal.what.starts_with("search ");
    let searches: Vec<&Goal> = goals.iter().filter(is_search).collect();
    let slowest = searches.iter().copied().reduce(|a, b| if b.is_worse_than(a) { b } else { a });
    let all = slowest.map(|goal| {
        let what = goal.what.strip_prefix("search ").unwrap_or(&goal.what);
        (format!("{} kinds of search, the slowest: {what}", searches.len()), goal)
    });
    let others = goals.iter().filter(|goal| !is_search(goal));
    others.map(|goal| (goal.what.clone(), goal)).chain(all).collect()
}

/// Who was there, and who was not.
pub(super) fn peers(document: &Document) -> String {
    let mut out = String::new();
    for peer in &document.peers {
        let (name, purpose) = (escaped(&peer.name), escaped(&peer.purpose));
        let version = peer.version.as_deref().map_or_else(
            || "<td class=\"text no\">missing</td>".to_owned(),
            |version| format!("<td class=\"text\">{}</td>", escaped(version)),
        );
        let _ = write!(out, "<tr><td>{name}</td>{version}<td class=\"text\">{purpose}</td></tr>");
    }
    format!(
        "<section id=\"peers\"><h2>Peers and tools</h2><p class=\"lead\">What is missing was not compared \
         with; <code>bench/install-peers.sh</code> installs what can be had.</p><div class=\"scroll\">\
         <table><tr><th>who</th><th class=\"text\">version and settings</th><th class=\"text\">for</th></tr>\
         {out}</table></div></section>"
    )
}

/// What became of each part, and what repeats it.
pub(super) fn parts(document: &Document) -> String {
    let mut out = String::new();
    for part in &document.parts {
        let (class, state) = state(part, document.interrupted);
        let label = escaped(&part.label);
        let reason = part.reason.as_deref().map(escaped).unwrap_or_default();
        let (load, command) = (escaped(&part.load_before), escaped(&part.command));
        let _ = write!(
            out,
            "<tr><td>{label}</td><td class=\"text {class}\">{state}</td><td>{:.0}</td><td>{load}</td>\
             <td class=\"text\"><code>cairn-bench {command}</code>{}{reason}</td></tr>",
            part.seconds,
            if reason.is_empty() { "" } else { "<br/>" },
        );
    }
    format!(
        "<section id=\"parts\"><h2>Parts of this run</h2><p class=\"lead\">Each can be repeated by itself. A \
         load well above 0 before a part means that other work disturbed it.</p><div class=\"scroll\">\
         <table><tr><th>part</th><th class=\"text\">measured</th><th>seconds</th><th>load before</th>\
         <th class=\"text\">by, and why not</th></tr>{out}</table></div></section>"
    )
}

fn state(part: &Part, is_interrupted: bool) -> (&'static str, &'static str) {
    match part.state {
        State::Done => ("yes", "yes"),
        State::Failed => ("no", "no"),
        State::Running if is_interrupted => ("no", "interrupted"),
        State::Running => ("", "now"),
        State::Waiting if is_interrupted => ("no", "not begun"),
        State::Waiting => ("", "not yet"),
    }
}

/// Every table and note, folded away.
pub(super) fn details(document: &Document) -> String {
    let mut out = String::new();
    for part in &document.parts {
        if part.report.tables.is_empty() && part.report.notes.is_empty() {
            continue;
        }
        let _ = write!(out, "<details><summary>{}</summary>", escaped(&part.label));
        for titled in &part.report.tables {
            let _ = write!(out, "<p>{}</p>{}", escaped(&titled.title), table(&titled.table));
        }
        out += "<ul class=\"soft\">";
        for note in &part.report.notes {
            let _ = write!(out, "<li>{}</li>", escaped(note));
        }
        out += "</ul></details>";
    }
    if out.is_empty() {
        return out;
    }
    format!(
        "<section id=\"tables\"><h2>Every figure</h2><p class=\"lead\">Median, and smallest and largest of \
         the runs in parentheses.</p>{out}</section>"
    )
}

fn table(table: &Table) -> String {
    let cells = |kind: &str, cells: &[String]| -> String {
        cells
            .iter()
            .fold(String::new(), |row, cell| row + &format!("<{kind}>{}</{kind}>", escaped(cell)))
    };
    let mut out = format!("<div class=\"scroll\"><table><tr>{}</tr>", cells("th", &table.headings));
    for row in &table.rows {
        let _ = write!(out, "<tr>{}</tr>", cells("td", row));
    }
    out + "</table></div>"
}
