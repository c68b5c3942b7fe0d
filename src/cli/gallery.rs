//! `facegate enroll`, `search`, `verify`, `list`, `delete`: the gallery's work straight on the store, also beside a running
//! daemon, which takes the changes in within a second.

use std::{path::PathBuf, sync::Arc};

use serde::Serialize;
use serde_json::json;

use super::{
    Answer, Context,
    output::{BAD, DIM, GOOD, read_file},
};
use crate::{
    clock::SystemClock,
    config::Config,
    enrolment::Warning,
    error::{Error, Kind, Result},
    gallery::{EmbeddingId, Enrolment, Gallery, ListFilter, NewEnrolment, SubjectId, TenantId},
    metadata,
    recognition::{Probe, Recogniser},
    vision::{engine::Engine, models::Pack},
};

/// Enrolments that `list` reads at a time.
const PAGE: usize = 500;

#[derive(Debug, clap::Args)]
pub struct EnrollArgs {
    /// Whose face it is: 1 to 256 bytes without control characters.
    subject: SubjectId,
    /// Photographs of that person, one face each.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    tenant: Tenant,
    /// Where the photographs come from, for the record.
    #[arg(long, default_value = "command_line")]
    source: String,
    /// A JSON object kept with the enrolment: '{"name": "John Smith"}'.
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Refuse a face that does not look like a living person's, whatever the configuration asks for.
    #[arg(long)]
    require_liveness: bool,
}

#[derive(Debug, clap::Args)]
pub struct SearchArgs {
    /// A photograph; its largest face is looked for.
    image: PathBuf,
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    threshold: Threshold,
    /// How many subjects are shown at most: 1 to 100.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: u16,
}

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Whom the photograph is said to show.
    subject: SubjectId,
    /// The photograph; its largest face is compared.
    image: PathBuf,
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    threshold: Threshold,
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    tenant: Tenant,
    /// Only this subject's.
    #[arg(long)]
    subject: Option<SubjectId>,
    /// Also embeddings that newer ones have replaced.
    #[arg(long)]
    all: bool,
    /// Instead, everybody who needs enrolling again: all their embeddings are another recogniser's, and never match. Of all
    /// tenants, where none is named.
    #[arg(long, conflicts_with_all = ["subject", "all"])]
    enrol_again: bool,
}

#[derive(Debug, clap::Args)]
#[group(id = "what", required = true, multiple = false)]
pub struct Which {
    /// One embedding, by its id.
    #[arg(long, group = "what", value_name = "ID")]
    embedding: Option<EmbeddingId>,
    /// Everything of a subject.
    #[arg(long, group = "what")]
    subject: Option<SubjectId>,
    /// Everything of the tenant.
    #[arg(long, group = "what")]
    all: bool,
}

#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Tenant {
    /// The tenant; may be left out where all doors of the configuration have the same.
    #[arg(long)]
    tenant: Option<TenantId>,
}

impl Tenant {
    pub(super) fn or_the_doors(self, config: &Config) -> Result<TenantId> {
        if let Some(tenant) = self.tenant {
            return Ok(tenant);
        }
        let mut tenants: Vec<_> = config.doors.iter().map(|door| &door.tenant).collect();
        tenants.dedup();
        match tenants[..] {
            [tenant] => Ok(tenant.clone()),
            _ => {
                Err(Error::new(Kind::MissingField, "which tenant is meant is not clear").help("name it with --tenant"))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Threshold {
    /// The least similarity that counts, 0 to 1; higher is stricter.
    #[arg(long, default_value_t = 0.6, value_parser = unit)]
    threshold: f32,
}

fn unit(text: &str) -> std::result::Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    (0.0..=1.0).contains(&value).then_some(value).ok_or_else(|| "takes 0 to 1".to_owned())
}

/// Opens the store with the model of the configured pack, without loading its networks.
pub(super) fn open(config: &Config) -> Result<Gallery> {
    let pack = Pack::describe(&config.models.dir, &config.models.pack)?;
    let model = pack.manifest().recogniser.id.clone().unwrap_or_default();
    Gallery::open(&config.gallery, &model, Arc::new(SystemClock::new()))
}

fn load_engine(config: &Config) -> Result<Arc<Engine>> {
    Engine::load(&Pack::open(&config.models.dir, &config.models.pack)?)
}

pub fn enroll(context: &Context, args: EnrollArgs) -> Result<Answer> {
    let config = context.load()?;
    let tenant = args.tenant.clone().or_the_doors(&config)?;
    let metadata = args.metadata.as_deref().map(|text| metadata::read("--metadata", text)).transpose()?;
    let engine = load_engine(&config)?;
    let gallery = open(&config)?;
    let mut recogniser = Recogniser::new(&engine, &config.api.recognition)?;
    // All are looked at before any is stored: a second photograph that is no good leaves nothing half done.
    let bar = context.out.progress(args.images.len() as u64, "looking");
    let mut probes = Vec::new();
    for path in &args.images {
        let place = |error: Error| error.within(&path.display().to_string());
        let probe = recogniser.enrolment(&read_file(path)?).map_err(place)?;
        let warnings = judge(&config, &engine, &gallery, (&tenant, &args), &probe, &probes).map_err(place)?;
        probes.push((probe, warnings));
        bar.inc(1);
    }
    bar.finish_and_clear();
    for (path, (probe, mut warnings)) in args.images.iter().zip(probes) {
        let enrolment = gallery.enroll(
            &tenant,
            NewEnrolment {
                subject: args.subject.clone(),
                quality_score: probe.quality_score(),
                liveness_score: probe.liveness_score(),
                embedding: probe.embedding,
                source: Some(args.source.clone()),
                metadata: metadata.clone(),
                photograph: None,
            },
        )?;
        // Newer than all others: of somebody who is not suspended it is active.
        warnings.extend((!enrolment.active).then(Warning::suspended));
        let told = Enrolled { enrolment, warnings: warnings.iter().map(Warned::of).collect() };
        context.out.result(&told, |Enrolled { enrolment, warnings }| {
            let mut said = format!(
                "{GOOD}enrolled{GOOD:#} {} from {}: quality {:.2}, embedding {}",
                enrolment.subject,
                path.display(),
                enrolment.quality_score,
                enrolment.id
            );
            for Warned { code, message, similarity, subject } in warnings {
                let whose = subject.map(|other| format!(": {other}")).unwrap_or_default();
                let similarity = similarity.map(|how| format!(" (similarity {how:.2})")).unwrap_or_default();
                said += &format!("\n  {BAD}{code}{BAD:#}: {message}{whose}{similarity}");
            }
            said
        });
    }
    Ok(Answer::Yes)
}

/// What came of a photograph.
#[derive(Serialize)]
struct Enrolled<'a> {
    #[serde(flatten)]
    enrolment: Enrolment,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warned<'a>>,
}

/// What looks wrong about it.
#[derive(Serialize)]
struct Warned<'a> {
    code: &'a str,
    message: &'a str,
    similarity: Option<f64>,
    /// Whom the face is like.
    subject: Option<&'a SubjectId>,
}

impl<'a> Warned<'a> {
    fn of(warning: &'a Warning) -> Self {
        let Warning { code, message, similarity, other } = warning;
        Self { code, message, similarity: similarity.map(plain), subject: other.as_ref() }
    }
}

/// What is to be said of a photograph, held against the gallery and the photographs before it.
fn judge(
    config: &Config,
    engine: &Engine,
    gallery: &Gallery,
    (tenant, args): (&TenantId, &EnrollArgs),
    probe: &Probe,
    before: &[(Probe, Vec<Warning>)],
) -> Result<Vec<Warning>> {
    let settings = &config.api.recognition.enrolment;
    let mut warnings = settings.living(probe.liveness.as_ref(), args.require_liveness)?;
    if settings.compares() {
        let mut likeness = gallery.likeness(tenant, &args.subject, &probe.embedding)?;
        let ours = before.iter().map(|(other, _)| other.embedding.cosine(&probe.embedding));
        likeness.own = ours.chain(likeness.own).reduce(f32::max);
        warnings.extend(settings.compare(&likeness, engine.calibration())?);
    }
    Ok(warnings)
}

/// The number with as many decimals as it has, which `json!` would fill up to those of an f64: 0.6, not 0.6000000238418579.
fn plain(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| number.into())
}

pub fn search(context: &Context, args: SearchArgs) -> Result<Answer> {
    let config = context.load()?;
    let tenant = args.tenant.or_the_doors(&config)?;
    let engine = load_engine(&config)?;
    let probe = Recogniser::new(&engine, &config.api.recognition)?.probe(&read_file(&args.image)?)?;
    let least = engine.calibration().cosine(args.threshold.threshold);
    let found = open(&config)?.search(&tenant, &probe.embedding, usize::from(args.limit), least)?;
    let matches: Vec<_> = found
        .iter()
        .map(|found| {
            let enrolment = &found.enrolment;
            json!({
                "subject": enrolment.subject,
                "similarity": plain(engine.calibration().similarity(found.cosine)),
                "embedding": enrolment.id,
                "metadata": enrolment.metadata,
            })
        })
        .collect();
    context.out.result(&matches, |_| {
        let line = |found: &crate::gallery::Match| {
            format!("{:.4}  {}", engine.calibration().similarity(found.cosine), found.enrolment.subject)
        };
        let lines: Vec<_> = found.iter().map(line).collect();
        if lines.is_empty() {
            format!("{BAD}nobody{BAD:#} at {} or above", args.threshold.threshold)
        } else {
            lines.join("\n")
        }
    });
    Ok(if matches.is_empty() { Answer::No } else { Answer::Yes })
}

pub fn verify(context: &Context, args: VerifyArgs) -> Result<Answer> {
    let config = context.load()?;
    let tenant = args.tenant.or_the_doors(&config)?;
    let engine = load_engine(&config)?;
    let probe = Recogniser::new(&engine, &config.api.recognition)?.probe(&read_file(&args.image)?)?;
    let gallery = open(&config)?;
    let best = gallery.compare(&tenant, &args.subject, &probe.embedding)?;
    let similarity = engine.calibration().similarity(best.cosine);
    let verified = similarity >= args.threshold.threshold;
    if verified {
        gallery.note_verification(&tenant, &best.enrolment.id)?;
        gallery.store_verifications()?;
    }
    let answer = json!({
        "verified": verified,
        "similarity": plain(similarity),
        "threshold": plain(args.threshold.threshold),
    });
    context.out.result(&answer, |_| {
        let (style, word) = if verified { (GOOD, "verified") } else { (BAD, "not verified") };
        format!("{style}{word}{style:#}: similarity {similarity:.4}, needed {}", args.threshold.threshold)
    });
    Ok(if verified { Answer::Yes } else { Answer::No })
}

pub fn list(context: &Context, args: ListArgs) -> Result<Answer> {
    let config = context.load()?;
    if args.enrol_again {
        let all = open(&config)?.to_enrol_again(args.tenant.tenant.as_ref())?;
        for (tenant, subject) in &all {
            context.out.result(&json!({ "tenant": tenant, "subject": subject }), |_| format!("{tenant}  {subject}"));
        }
        return Ok(Answer::Yes);
    }
    let tenant = args.tenant.or_the_doors(&config)?;
    let gallery = open(&config)?;
    let mut filter = ListFilter { subject: args.subject, active_only: !args.all, limit: PAGE, after: None };
    loop {
        let page = gallery.list(&tenant, &filter)?;
        for enrolment in &page.enrolments {
            context.out.result(enrolment, describe);
        }
        filter.after = page.next;
        if filter.after.is_none() {
            return Ok(Answer::Yes);
        }
    }
}

fn describe(enrolment: &Enrolment) -> String {
    let inactive = if enrolment.active { "" } else { ", inactive" };
    format!(
        "{}  {}  {DIM}{}, quality {:.2}, {} verifications{inactive}{DIM:#}",
        enrolment.id, enrolment.subject, enrolment.created_at, enrolment.quality_score, enrolment.verification_count
    )
}

pub fn delete(context: &Context, args: DeleteArgs) -> Result<Answer> {
    let config = context.load()?;
    let tenant = args.tenant.or_the_doors(&config)?;
    let gallery = open(&config)?;
    let deleted = match args.which {
        Which { embedding: Some(id), .. } => gallery.delete_embedding(&tenant, &id).map(|()| 1)?,
        Which { subject: Some(subject), .. } => gallery.delete_subject(&tenant, &subject)?,
        Which { .. } => gallery.delete_all(&tenant)?,
    };
    context.out.result(&json!({ "deleted": deleted }), |_| format!("deleted {deleted} embeddings, for good"));
    Ok(Answer::Yes)
}
