//! Plots as SVG, without a script: lines with whiskers and bars, on linear or logarithmic axes.

use std::fmt::Write as _;

/// Width and height of a plot, and the room around its frame: left, right, above, below.
const SIZE: (f64, f64) = (832.0, 420.0);
const ROOM: [f64; 4] = [66.0, 20.0, 34.0, 52.0];

/// From one line of the legend to the next.
const LEGEND_LINE: f64 = 18.0;

/// Colours that the colour-blind can tell apart as well.
pub const COLOURS: [&str; 8] = ["#0b5cad", "#c2410c", "#4d7c0f", "#7e22ce", "#0f766e", "#b91c1c", "#a16207", "#475569"];

/// One axis: from where to where, with ticks and their words.
pub struct Axis {
    pub label: &'static str,
    pub from: f64,
    pub to: f64,
    pub logarithmic: bool,
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Powers of ten from 10^`from` to 10^`to`, written by `words`.
    pub fn powers(label: &'static str, from: i32, to: i32, words: impl Fn(f64) -> String) -> Self {
        let ticks = (from..=to).map(|power| 10f64.powi(power)).map(|at| (at, words(at))).collect();
        Self { label, from: 10f64.powi(from), to: 10f64.powi(to), logarithmic: true, ticks }
    }

    /// From `from` to at least `to` in even steps, written by `words`.
    pub fn linear(label: &'static str, from: f64, to: f64, words: impl Fn(f64) -> String) -> Self {
        // Of 1, 2 and 5 times a power of ten, the least step that makes no more than eight.
        let raw = (to - from).max(1e-9) / 8.0;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= raw);
        let step = step.unwrap_or(10.0 * power);
        let first = (from / step).floor() as i64;
        let last = (to / step - 1e-9).ceil() as i64;
        let ticks: Vec<_> = (first..=last).map(|at| at as f64 * step).map(|at| (at, words(at))).collect();
        Self { label, from: first as f64 * step, to: last as f64 * step, logarithmic: false, ticks }
    }

    /// Where a value lies, 0 to 1; beyond them where it is off the axis.
    fn share(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        }
    }
}

/// A line through points, or bars.
pub struct Series {
    pub name: String,
    pub colour: &'static str,
    /// x and y.
    pub points: Vec<(f64, f64)>,
    /// x and the ends of an interval.
    pub whiskers: Vec<(f64, [f64; 2])>,
    pub kind: Kind,
}

/// How a series is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Line,
    /// A line that stands back.
    Thin,
    /// A line with a dot at each point.
    Dotted,
    /// Dots alone.
    Dots,
    /// A filled outline of steps, each from its x to the next one's.
    Steps,
}

/// A plot.
pub struct Plot {
    /// What it shows, for who cannot see it.
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    /// Upright lines with words.
    pub marks: Vec<(f64, String)>,
}

impl Plot {
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [left, right, above, below] = ROOM;
        let across = left + self.x.share(x) * (SIZE.0 - left - right);
        let down = SIZE.1 - below - self.y.share(y).clamp(0.0, 1.0) * (SIZE.1 - above - below);
        (across, down)
    }

    /// The plot as an element.
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        // Writing to a string cannot fail.
        let _ = self.draw(&mut svg);
        svg
    }

    fn draw(&self, svg: &mut String) -> std::fmt::Result {
        let ((width, height), [left, right, above, below]) = (SIZE, ROOM);
        let title = escaped(&self.title);
        let legend = self.legend();
        // What finds no room beside the first line of the legend is put above it.
        let more = legend.last().map_or(0.0, |(_, (_, line))| LEGEND_LINE * *line as f64);
        write!(
            svg,
            "<svg viewBox=\"0 {} {width} {}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>",
            0.0 - more,
            height + more
        )?;
        let (top, bottom) = (above, height - below);
        for (at, words) in &self.x.ticks {
            let (x, _) = self.place((*at, self.y.from));
            write!(svg, "<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/>")?;
            write!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{words}</text>", bottom + 18.0)?;
        }
        for (at, words) in &self.y.ticks {
            let (_, y) = self.place((self.x.from, *at));
            write!(svg, "<path class=\"grid\" d=\"M{left} {y:.1}H{:.1}\"/>", width - right)?;
            write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{words}</text>", left - 8.0, y + 4.0)?;
        }
        for (at, words) in &self.marks {
            let (x, _) = self.place((*at, self.y.from));
            write!(svg, "<path class=\"mark\" d=\"M{x:.1} {top}V{bottom}\"/>")?;
            write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 6.0, top + 16.0, escaped(words))?;
        }
        for series in &self.series {
            self.draw_series(series, svg)?;
        }
        let (wide, high) = (width - left - right, height - above - below);
        write!(svg, "<rect class=\"frame\" x=\"{left}\" y=\"{above}\" width=\"{wide}\" height=\"{high}\"/>")?;
        let middle = left + wide / 2.0;
        write!(
            svg,
            "<text class=\"label\" x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            height - 10.0,
            self.x.label
        )?;
        let down = above + high / 2.0;
        write!(
            svg,
            "<text class=\"label\" transform=\"translate(14 {down}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            self.y.label
        )?;
        for (series, (at, line)) in legend {
            let down = LEGEND_LINE * line as f64 - more;
            let colour = series.colour;
            write!(
                svg,
                "<rect x=\"{at:.1}\" y=\"{:.1}\" width=\"16\" height=\"6\" rx=\"2\" fill=\"{colour}\"/>",
                down + 9.0
            )?;
            write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", at + 22.0, down + 17.0, escaped(&series.name))?;
        }
        svg.push_str("</svg>");
        Ok(())
    }

    /// Each series that has a name: how far from the left its place in the legend is, and in which line.
    fn legend(&self) -> Vec<(&Series, (f64, usize))> {
        let [left, right, ..] = ROOM;
        let (mut at, mut line) = (left, 0);
        let named = self.series.iter().filter(|series| !series.name.is_empty()).map(|series| {
            // So wide is a letter at most, in the mean.
            let wide = 44.0 + 6.4 * series.name.chars().count() as f64;
            if at > left && at + wide > SIZE.0 - right {
                (at, line) = (left, line + 1);
            }
            let place = (at, line);
            at += wide;
            (series, place)
        });
        named.collect()
    }

    fn draw_series(&self, series: &Series, svg: &mut String) -> std::fmt::Result {
        let Series { colour, kind, .. } = series;
        for &(x, [low, high]) in &series.whiskers {
            let ((x, from), (_, to)) = (self.place((x, low)), self.place((x, high)));
            let ends = format!("M{:.1} {from:.1}h8M{:.1} {to:.1}h8", x - 4.0, x - 4.0);
            write!(
                svg,
                "<path d=\"M{x:.1} {from:.1}V{to:.1}{ends}\" stroke=\"{colour}\" stroke-opacity=\".55\" fill=\"none\"/>"
            )?;
        }
        let inside = |point: &&(f64, f64)| (-1e-6..=1.0 + 1e-6).contains(&self.x.share(point.0)) && point.1.is_finite();
        let points: Vec<(f64, f64)> = series.points.iter().filter(inside).map(|point| self.place(*point)).collect();
        let Some((first, rest)) = points.split_first() else { return Ok(()) };
        let mut path = format!("M{:.1} {:.1}", first.0, first.1);
        if *kind == Kind::Steps {
            let bottom = SIZE.1 - ROOM[3];
            path = format!("M{:.1} {bottom:.1}V{:.1}", first.0, first.1);
            rest.iter().for_each(|(x, y)| path.push_str(&format!("H{x:.1}V{y:.1}")));
            write!(
                svg,
                "<path d=\"{path}V{bottom:.1}Z\" fill=\"{colour}\" fill-opacity=\".28\" stroke=\"{colour}\"/>"
            )?;
            return Ok(());
        }
        if *kind != Kind::Dots {
            rest.iter().for_each(|(x, y)| path.push_str(&format!("L{x:.1} {y:.1}")));
            let (width, opacity) = if *kind == Kind::Thin { (1.2, 0.75) } else { (2.2, 1.0) };
            let stroke = format!(
                "stroke=\"{colour}\" stroke-width=\"{width}\" stroke-opacity=\"{opacity}\" stroke-linejoin=\"round\""
            );
            write!(svg, "<path d=\"{path}\" fill=\"none\" {stroke}/>")?;
        }
        if matches!(kind, Kind::Dotted | Kind::Dots) {
            for (x, y) in &points {
                write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\" fill=\"{colour}\"/>")?;
            }
        }
        Ok(())
    }
}

/// Text as it stands in HTML and in SVG.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_axis_holds_what_it_was_made_for(from in -1e3f64..1e3, length in 1e-6f64..1e4) {
            let axis = Axis::linear("x", from, from + length, |at| at.to_string());
            prop_assert!(axis.share(from) > -1e-6 && axis.share(from + length) < 1.0 + 1e-6);
            prop_assert!((2..=11).contains(&axis.ticks.len()), "{:?}", axis.ticks);
        }
    }

    #[test]
    fn a_line_goes_from_corner_to_corner_and_words_are_escaped() {
        let line = Series {
            name: "a<b".into(),
            colour: COLOURS[0],
            points: vec![(1e-4, 0.0), (1.0, 1.0), (10.0, 1.0)],
            whiskers: Vec::new(),
            kind: Kind::Line,
        };
        let x = Axis::powers("x", -4, 0, |at| at.to_string());
        let y = Axis::linear("y", 0.0, 1.0, |at| at.to_string());
        let svg = Plot { title: "t".into(), x, y, series: vec![line], marks: Vec::new() }.svg();
        assert!(svg.contains("M66.0 368.0L812.0 34.0\""), "what is off the axis is left out: {svg}");
        assert!(svg.contains("a&lt;b"), "{svg}");
    }

    #[test]
    fn a_legend_that_is_wider_than_the_plot_goes_on_in_another_line() {
        let series = |number: usize| Series {
            name: format!("series number {number}"),
            colour: COLOURS[0],
            points: vec![(0.0, 0.0)],
            whiskers: Vec::new(),
            kind: Kind::Line,
        };
        let axis = || Axis::linear("x", 0.0, 1.0, |at| at.to_string());
        let plot = |count| Plot {
            title: "t".into(),
            x: axis(),
            y: axis(),
            series: (0..count).map(series).collect(),
            marks: Vec::new(),
        };
        let places: Vec<(f64, usize)> = plot(8).legend().into_iter().map(|(_, place)| place).collect();
        assert_eq!(places.iter().map(|place| place.1).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 1, 1, 1]);
        assert!(places.iter().all(|place| place.0 + 44.0 + 6.4 * 15.0 <= SIZE.0 - ROOM[1]));
        assert!(plot(8).svg().contains("viewBox=\"0 -18 832 438\""));
        assert!(plot(2).svg().contains("viewBox=\"0 0 832 420\""), "{}", plot(2).svg());
    }
}
