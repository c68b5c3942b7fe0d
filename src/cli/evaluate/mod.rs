//! `facegate evaluate`: error rates over a folder of labelled faces, as words, JSON or a page.

mod page;
pub mod pictures;
mod plot;
mod words;

use std::path::PathBuf;

use pictures::{Pictures, text_of};

use super::{Answer, Context, pad};
use crate::{
    error::{Context as _, Error, Kind, Result},
    vision::{
        engine::Engine,
        evaluate::{Options, difference, groups, pairs, saved::Run},
        template::Purpose,
    },
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder of pictures called Name_0001.jpg, as LFW's are, or of folders named after people: several pictures of some. Or a
    /// file that --save wrote: it is shown again.
    folder: PathBuf,
    #[command(flatten)]
    pictures: Pictures,
    /// How pictures are made into templates where they are enrolled.
    #[arg(long, value_enum, default_value = "enrolment")]
    enrolled: Purpose,
    /// How pictures are made into templates where they are looked for: "frame" is what a door does.
    #[arg(long, value_enum, default_value = "probe")]
    probe: Purpose,
    /// Compare these pairs alone: LFW's pairs.txt, or a table of two pictures and 1 (one person) or 0.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["named_in", "lines"])]
    pairs: Option<PathBuf>,
    /// Cut a table of pairs into so many folds of one length.
    #[arg(long, value_name = "NUMBER", requires = "pairs")]
    folds: Option<usize>,
    /// Tell how errors differ between groups: a file of lines `person,group` or `picture,group`.
    #[arg(long, value_name = "FILE")]
    groups: Option<PathBuf>,
    /// Set this run beside another: a file that --save wrote, or another pack over the same pictures.
    #[arg(long, value_name = "FILE|PACK")]
    against: Option<String>,
    /// Save the run for --against: its report and its scores, no templates and no names.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write the report as a page with plots, to be looked at without the internet.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    pad: pad::Args,
}

pub fn run(context: &Context, args: Args) -> Result<Answer> {
    let threads = args.pictures.threads();
    if args.pad.pad {
        let engine = Engine::load(&args.pictures.pack(&context.load()?, None)?)?;
        return pad::run(context, &engine, &args.folder, threads, &args.pad);
    }
    let mut run =
        if args.folder.is_file() { Run::load(&args.folder, threads)? } else { measure(context, &args, None)? };
    if let Some(against) = &args.against {
        let other = match std::path::Path::new(against) {
            file if file.is_file() => Run::load(file, threads)?,
            _ if args.folder.is_file() => {
                return Err(Error::new(Kind::NotFound, format!("cannot read {against}"))
                    .help("a saved run is compared with a saved run; another pack needs the photographs"));
            }
            _ => measure(context, &args, Some(against))?,
        };
        run.report.beside = Some(difference::beside(&run, &other, threads)?);
    }
    args.save.as_deref().map_or(Ok(()), |file| run.save(file))?;
    if let Some(file) = &args.html {
        std::fs::write(file, page::of(&run.report)).context(Kind::Io, || format!("cannot write {}", file.display()))?;
    }
    context.out.result(&run.report, words::of);
    Ok(Answer::Yes)
}

/// Runs the pipeline of the pack, else of the one that was named.
fn measure(context: &Context, args: &Args, pack: Option<&str>) -> Result<Run> {
    let config = context.load()?;
    let (networks, scale) = args.pictures.networks(&config, pack)?;
    let listed =
        args.pairs.as_deref().map(|file| pairs::read(&text_of(file)?, &file.display().to_string(), args.folds));
    let labels = args.groups.as_deref().map(|file| groups::read(&text_of(file)?, &file.display().to_string()));
    let options = Options {
        enrolled: args.enrolled,
        probe: args.probe,
        pairs: listed.transpose()?,
        groups: labels.transpose()?.unwrap_or_default(),
        ..args.pictures.options(&config)?
    };
    let measured = args.pictures.measure(context, &networks, &args.folder, &options, "evaluating")?;
    let report = measured.report(scale.as_ref());
    Ok(measured.run(report))
}
