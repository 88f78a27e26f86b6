//! Drawing: lines, boxes, dots and text on a sheet as wide as a phone.
//!
//! A sheet has 400 units across, so that text of 11 units can be read on a phone and is not too large
//! on a desk. Colours are classes of the page's style, which knows light and dark.

use std::fmt::Write as _;

/// Units across.
pub(super) const WIDTH: f64 = 400.0;
/// Units that a letter of the usual text takes, about.
const LETTER: f64 = 6.1;

/// Where text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing in work.
#[derive(Debug)]
pub(super) struct Sheet {
    height: f64,
    body: String,
}

impl Sheet {
    pub(super) fn new(height: f64) -> Self {
        Self { height, body: String::new() }
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = write!(
            self.body,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        let _ = write!(self.body, r#"<polyline class="{class}" points="{points}"/>"#);
    }

    /// `about` is shown when somebody points at it.
    pub(super) fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64), about: &str) {
        let ((x, y), (width, height)) = (at, size);
        let (width, about) = (width.max(0.5), escaped(about));
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"><title>{about}</title></rect>"#
        );
    }

    pub(super) fn dot(&mut self, class: &str, at: (f64, f64), radius: f64, about: &str) {
        let ((x, y), about) = (at, escaped(about));
        let _ = write!(
            self.body,
            r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius:.1}"><title>{about}</title></circle>"#
        );
    }

    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let ((x, y), text) = (at, escaped(text));
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = write!(
            self.body,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        );
    }

    /// The drawing; `label` is what a screen reader says.
    pub(super) fn finish(self, label: &str) -> String {
        let (height, body, label) = (self.height, self.body, escaped(label));
        format!(
            r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{label}">{body}</svg>"#
        )
    }
}

/// About how many units a text takes.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// The text, cut so that it takes so many units at most.
pub(super) fn cut(text: &str, units: f64) -> String {
    let letters = (units / LETTER) as usize;
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(letters.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Text as it stands in HTML and SVG, in quotes too.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // What XML does not allow.
            letter if letter.is_control() && !letter.is_whitespace() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

/// A number of about three digits, as `0.042`, `4.2`, `420` or `42,000`.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "not measured".to_owned();
    }
    let size = value.abs();
    let decimals = match size {
        0.0 => return "0".to_owned(),
        100.0.. => return crate::figures::grouped_signed(value),
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes as `11 kB`, `4.2 MB`; powers of ten.
pub(super) fn bytes(value: f64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let unit = units.into_iter().find(|(size, _)| value >= *size);
    unit.map_or_else(
        || format!("{value:.0} B"),
        |(size, name)| format!("{} {name}", number(value / size)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let texts = [
            (0.0, "0"),
            (0.042, "0.042"),
            (4.2, "4.2"),
            (42.04, "42"),
            (420.4, "420"),
            (42_000.0, "42,000"),
            (f64::NAN, "not measured"),
        ];
        for (value, text) in texts {
            assert_eq!(number(value), text);
        }
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(11_264.0), "11.3 kB");
        assert_eq!(bytes(2.5e9), "2.5 GB");
    }

    #[test]
    fn text_cannot_break_out() {
        assert_eq!(escaped("<b a=\"1\">&\u{1}"), "&lt;b a=&quot;1&quot;&gt;&amp;\u{fffd}");
        assert_eq!(cut("a long name", 40.0), "a lon…");
        assert_eq!(cut("short", 40.0), "short");
    }
}
