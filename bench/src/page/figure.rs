//! A plot with its title and the sentence under it.

use std::fmt::Write as _;

use super::svg::escaped;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Figure {
    /// Its anchor in the page.
    pub(super) id: String,
    pub(super) title: String,
    /// SVG, maybe with a legend.
    pub(super) drawing: String,
    /// What the plot shows, for somebody who has not read the code.
    pub(super) sentence: String,
}

impl Figure {
    pub(super) fn html(&self) -> String {
        let Self { id, title, drawing, sentence } = self;
        let (title, sentence) = (escaped(title), escaped(sentence));
        let mut out = String::new();
        let _ = write!(
            out,
            "<figure id=\"{}\"><h3>{title}</h3>{drawing}<figcaption>{sentence}</figcaption></figure>",
            escaped(id)
        );
        out
    }
}

/// Figures under a heading; nothing where there are none.
pub(super) fn section(title: &str, about: &str, figures: &[Figure]) -> String {
    if figures.is_empty() {
        return String::new();
    }
    let figures: String = figures.iter().map(Figure::html).collect();
    let (title, about) = (escaped(title), escaped(about));
    format!(
        "<section><h2>{title}</h2><p class=\"lead\">{about}</p><div class=\"figures\">{figures}</div></section>"
    )
}
