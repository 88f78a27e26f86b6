//! `cairn-bench all`: every comparison in one run, with one JSON and one page.
//!
//! Each part is one of this program's other commands. A part that cannot be measured, because a peer is
//! missing or something fails, does not end the run: the report names it with the reason. JSON and page
//! are written anew after each part, so whatever ends the run leaves a report of what was done; SIGINT
//! adds that it was interrupted.

mod coding;
pub(crate) mod document;
mod peers;
mod plan;
mod sets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser};

use self::document::{Document, FORMAT, Kind, Part, State};
use self::plan::{Planned, plan};
use self::sets::Sets;
use crate::measure::{Bench, first_line};
use crate::report::{Heading, Report};
use crate::scratch::before_the_end;
use crate::{Cli, goals, machine, page};

/// Everything, beside every peer that is installed: one JSON and one page with plots
#[derive(Debug, Args)]
#[command(after_help = "\
The page needs nothing else: open it in a browser, send it, print it. `cairn-bench report` makes it
again from the JSON. bench/install-peers.sh installs peers.

Example:
  cairn-bench all --corpus corpus --json all.json --html all.html")]
pub(crate) struct AllArgs {
    /// What get-corpus.sh made; best with the sets from repositories and the derived ones
    #[arg(long, value_name = "DIR")]
    corpus: PathBuf,
    /// Where make-sets.sh left its sets, or where to make them [default: in the scratch folder]
    #[arg(long, value_name = "DIR")]
    sets: Option<PathBuf>,
    /// Measure codecs on each folder in here, as make-images.sh leaves them [default: on those of s1]
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// The page
    #[arg(long, value_name = "FILE", default_value = "cairn-bench.html")]
    html: PathBuf,
    /// A small run of some minutes: it shows that everything works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// Measure these parts alone
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    only: Vec<Kind>,
    /// A Python that can import imagecodecs
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    python: PathBuf,
    /// How often everything is done [default: 3; with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: Option<u32>,
}

/// Make the page again from the JSON of `cairn-bench all`
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The JSON
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The page
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
}

/// The document, and where it is written.
struct Book {
    document: Document,
    json: PathBuf,
    html: PathBuf,
    /// After a signal nothing is written any more: what fails then fails because of it.
    is_closed: bool,
}

impl Book {
    /// Writes both files; neither is ever half written.
    fn write(&self) -> Result<()> {
        if self.is_closed {
            return Ok(());
        }
        replace(&self.json, &serde_json::to_vec_pretty(&self.document)?)?;
        replace(&self.html, page::html(&self.document).as_bytes())
    }

    /// Says that the run was interrupted, and ends the writing.
    fn close(&mut self) {
        self.document.interrupted = true;
        if let Err(error) = self.write() {
            eprintln!("cairn-bench: the report of what was done: {error:#}");
        }
        self.is_closed = true;
    }
}

/// Measures all parts; was everything measured, and do all goals hold?
pub(crate) fn run(bench: &Bench<'_>, args: &AllArgs, json: Option<&Path>) -> Result<bool> {
    let json = json.unwrap_or(Path::new("cairn-bench.json")).to_owned();
    let kept = bench.scratch.path().join("sets");
    let folder = args.sets.as_ref().unwrap_or(&kept);
    let sets = Sets::make(&args.corpus, folder, args.images.as_deref(), args.quick)?;
    let planned = plan(args, &sets)?;
    let document = document(bench, args, &sets, &planned, folder);
    let count = planned.len();
    let book = Book { document, json, html: args.html.clone(), is_closed: false };
    book.write()?;
    let book = Arc::new(Mutex::new(book));
    let at_end = Arc::clone(&book);
    before_the_end(move || open(&at_end).close());
    for (index, part) in planned.iter().enumerate() {
        change(&book, index, |part| {
            part.state = State::Running;
            part.load_before = machine::load();
        })?;
        eprintln!("[{} of {count}] {}", index + 1, part.label);
        let begun = Instant::now();
        let mut report = Report::default();
        let measured = measure(bench, part, &mut report);
        let seconds = begun.elapsed().as_secs_f64();
        print!("\n{}\n{}", part.label, report.text());
        change(&book, index, |part| {
            part.state = if measured.is_ok() { State::Done } else { State::Failed };
            part.reason = measured.err().map(|error| format!("{error:#}"));
            if let Some(reason) = &part.reason {
                eprintln!("    not measured: {reason}");
            }
            part.seconds = seconds;
            part.report = report;
        })?;
        if part.kind.codes() && !planned.get(index + 1).is_some_and(|next| next.kind.codes()) {
            // What is promised of all sets together stands with the last of them.
            let goals = coding::goals(&open(&book).document);
            print!("\ngoals of all sets\n{}", goals::text(&goals));
            change(&book, index, |part| part.report.goals.extend(goals))?;
        }
        let cleared = bench.scratch.clear(&kept);
        wait_if_closed(&book);
        cleared?;
    }
    let is_good = open(&book).document.is_good();
    let (json, html) = (open(&book).json.clone(), &args.html);
    println!("\n{} and {} have everything", json.display(), html.display());
    Ok(is_good)
}

/// `cairn-bench report`.
pub(crate) fn write_page(args: &ReportArgs) -> Result<()> {
    let json = std::fs::read(&args.file).with_context(|| format!("{}", args.file.display()))?;
    replace(&args.html, page::html(&Document::from_json(&json)?).as_bytes())
}

/// What is known before anything is measured.
fn document(
    bench: &Bench<'_>,
    args: &AllArgs,
    sets: &Sets,
    planned: &[Planned],
    folder: &Path,
) -> Document {
    let mut names = vec![(folder, "SETS"), (&*args.python, "PYTHON")];
    names.extend(args.images.as_deref().map(|images| (images, "IMAGES")));
    let shown = |word: &String| {
        let replaced = |word: String, (path, name): &(&Path, &str)| {
            word.replace(&*path.display().to_string(), name)
        };
        names.iter().fold(word.clone(), replaced)
    };
    let part = |part: &Planned| Part {
        kind: part.kind,
        label: part.label.clone(),
        command: part.words.iter().map(shown).collect::<Vec<_>>().join(" "),
        state: State::Waiting,
        reason: None,
        seconds: 0.0,
        load_before: String::new(),
        report: Report::default(),
    };
    let began = first_line(Process::new("date").args(["-u", "+%F %H:%M UTC"]));
    Document {
        format: FORMAT.to_owned(),
        began: began.unwrap_or_default(),
        heading: Heading::new(bench),
        quick: args.quick,
        interrupted: false,
        sets: sets.about.clone(),
        peers: peers::find(&args.python),
        parts: planned.iter().map(part).collect(),
    }
}

/// One part; a panic in it is an error of this part alone.
fn measure(bench: &Bench<'_>, part: &Planned, report: &mut Report) -> Result<()> {
    let words = std::iter::once("cairn-bench").chain(part.words.iter().map(String::as_str));
    let command = Cli::try_parse_from(words)?.command;
    let measured = catch_unwind(AssertUnwindSafe(|| crate::measure(bench, &command, report)));
    measured.unwrap_or_else(|_| bail!("it panicked; the message is on standard error"))
}

fn open(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// After a signal this thread has nothing to say any more: the one that took it ends the process.
fn wait_if_closed(book: &Mutex<Book>) {
    while open(book).is_closed {
        std::thread::park();
    }
}

/// Changes a part and writes everything.
fn change(book: &Mutex<Book>, index: usize, change: impl FnOnce(&mut Part)) -> Result<()> {
    wait_if_closed(book);
    let mut book = open(book);
    if !book.is_closed {
        change(&mut book.document.parts[index]);
    }
    book.write()
}

/// Writes a file beside `path` and renames it.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, bytes)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("writing {}", path.display()))
}
