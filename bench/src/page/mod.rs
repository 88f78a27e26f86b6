//! The report as one page: plots with a sentence under each, goals, peers, parts, and every table.
//!
//! The page needs nothing else: style and drawings are in it, and no script. It knows light and dark,
//! fits a phone, and prints. Everything in it comes from a [`Document`], so it can be made again from
//! the JSON.

mod axis;
mod bars;
mod coding;
mod figure;
mod frame;
mod lines;
mod ranges;
mod read;
mod scaling;
mod scatter;
mod serving;
mod storing;
mod svg;
mod tables;

use std::fmt::Write as _;

use self::figure::section;
use self::read::Known;
use self::svg::escaped;
use crate::all::document::{Document, State};

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub(crate) fn html(document: &Document) -> String {
    let known = Known::of(document);
    let mut out =
        String::from("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>");
    out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>";
    let _ = write!(out, "<title>Cairn, measured</title><style>{STYLE}</style></head><body>");
    out += &head(document);
    out += &tables::goals(document);
    let dotted = "Dotted lines are limits of this machine, measured in the same run.";
    out += &section(
        "Coding pixels",
        &format!("Native frames of real images, one core, in memory; medians. {dotted}"),
        &coding::figures(document, &known),
    );
    out += &section(
        "Storing a set, and giving it back",
        "Whole programs, in turn and in alternating order, each with an empty repository of its own in \
         every run; files come from the page cache.",
        &storing::figures(document, &known),
    );
    out += &section("Scaling", dotted, &scaling::figures(document, &known));
    out += &section(
        "Serving, beside Orthanc",
        "One server at a time, on loopback, in alternating order; what comes back is compared with what \
         was stored.",
        &serving::figures(document, &known),
    );
    out += &tables::peers(document);
    out += &tables::parts(document);
    out += &tables::details(document);
    out += "</body></html>\n";
    out
}

/// What was measured, on what, and how it came out.
fn head(document: &Document) -> String {
    let mut out = String::from("<header><h1>Cairn, measured</h1>");
    let machine = escaped(&document.heading.machine.text());
    let cairn = escaped(&document.heading.cairn);
    let _ = write!(out, "<p class=\"soft\">{}<br/>", escaped(&document.began));
    let _ = write!(out, "{machine}<br/><code>{cairn}</code></p>");
    let mut warn = |text: &str| {
        let _ = write!(out, "<p class=\"banner\">{}</p>", escaped(text));
    };
    if document.quick {
        warn("A quick run: so small that it shows that everything works, not how fast it is.");
    }
    if document.interrupted {
        warn("The run was interrupted: the report is of what was done until then.");
    }
    let goals: Vec<_> = document.parts.iter().flat_map(|part| &part.report.goals).collect();
    let hold = goals.iter().filter(|goal| goal.holds()).count();
    let done = document.parts.iter().filter(|part| part.state == State::Done).count();
    let there = document.peers.iter().filter(|peer| peer.version.is_some()).count();
    let of = |n: usize, all: usize| format!("{n} of {all}");
    let tiles = [
        (of(hold, goals.len()), "promises hold"),
        (of(done, document.parts.len()), "parts were measured"),
        (of(there, document.peers.len()), "peers and tools were there"),
    ];
    out += "<div class=\"tiles\">";
    for (number, what) in tiles {
        let _ = write!(out, "<div class=\"tile\"><b>{number}</b><span>{what}</span></div>");
    }
    out += "</div><ul>";
    for set in &document.sets {
        let _ = write!(out, "<li>{}</li>", escaped(set));
    }
    out += "</ul></header>";
    out
}

#[cfg(test)]
mod tests;
