//! `facegate tenants`: whose galleries there are, and how much each may hold.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use super::{Answer, Context, gallery::open};
use crate::{
    error::{Context as _, Error, Kind, Result},
    gallery::{Export, Gallery, Import, Imported, LONGEST_LINE, TenantId},
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the tenants, with their embeddings, limits and keys.
    List,
    /// Make a tenant.
    Add {
        /// Its name: 1 to 64 of a-z, 0-9, '-' and '_'.
        name: TenantId,
        /// The most embeddings that it may hold, active or not. [default: as many as the gallery]
        #[arg(long, value_name = "N")]
        max_faces: Option<u64>,
    },
    /// Change how many embeddings a tenant may hold.
    Limit {
        /// The tenant.
        name: TenantId,
        /// The most embeddings that it may hold, active or not; or 'none'.
        most: Most,
    },
    /// Write a tenant's enrolments into a file, with their templates, to move them to another board. Keep it secret.
    Export {
        /// The tenant.
        name: TenantId,
        /// The file, which must not exist.
        file: PathBuf,
    },
    /// Take in such a file, in part or whole; what is there already stays as it is. Makes the tenant where there is none.
    Import {
        /// The tenant; the file may be another one's.
        name: TenantId,
        /// The file.
        file: PathBuf,
    },
    /// Delete a tenant with all of its keys, embeddings and rules.
    Delete {
        /// The tenant.
        name: TenantId,
        /// Yes, all of it.
        #[arg(long)]
        yes: bool,
    },
}

/// A number, or `none`.
#[derive(Clone, Copy, Debug)]
pub struct Most(Option<u64>);

impl FromStr for Most {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "none" {
            return Ok(Self(None));
        }
        let wrong = |_| Error::new(Kind::InvalidField, "it must be a whole number or 'none'");
        text.parse().map(|most| Self(Some(most))).map_err(wrong)
    }
}

pub fn run(context: &Context, command: Command) -> Result<Answer> {
    let gallery = open(&context.load()?)?;
    let limit = |most: Option<u64>| most.map_or_else(|| "any number".to_owned(), |most| format!("at most {most}"));
    match command {
        Command::List => {
            for tenant in gallery.tenants()? {
                context.out.result(&tenant, |tenant| {
                    let most = limit(tenant.max_faces);
                    format!("{}  embeddings: {} ({most})  keys: {}", tenant.name, tenant.faces, tenant.keys)
                });
            }
        }
        Command::Add { name, max_faces } => {
            gallery.add_tenant(&name, max_faces)?;
            let made = serde_json::json!({ "tenant": name, "max_faces": max_faces });
            context.out.result(&made, |_| format!("tenant {name}  embeddings: {}", limit(max_faces)));
        }
        Command::Limit { name, most: Most(most) } => {
            gallery.limit_tenant(&name, most)?;
            let set = serde_json::json!({ "tenant": name, "max_faces": most });
            context.out.result(&set, |_| format!("tenant {name}  embeddings: {}", limit(most)));
        }
        Command::Export { name, file } => {
            let embeddings = export(gallery, name.clone(), &file)?;
            let made = serde_json::json!({ "tenant": name, "embeddings": embeddings, "file": file });
            context.out.result(&made, |_| {
                format!(
                    "{} has {embeddings} embeddings of tenant {name}, templates unsealed: keep it secret",
                    file.display()
                )
            });
        }
        Command::Import { name, file } => {
            let done = import(gallery, name.clone(), &file)?;
            context.out.result(&done, |done| {
                format!(
                    "tenant {name}  imported: {}  already there: {}  of another model: {}  suspended: {}",
                    done.imported, done.already_there, done.foreign, done.suspended
                )
            });
        }
        Command::Delete { name, yes } => {
            if !yes {
                let message = format!("this deletes all embeddings, rules and keys of tenant {name}");
                return Err(Error::new(Kind::MissingField, message).help("say --yes if that is meant"));
            }
            let deleted = gallery.delete_tenant(&name)?;
            let gone = serde_json::json!({ "tenant": name, "deleted": deleted });
            context.out.result(&gone, |_| format!("tenant {name} is deleted, with {deleted} embeddings"));
        }
    }
    Ok(Answer::Yes)
}

/// Writes the file, for its owner's eyes only; where that fails, none is left.
fn export(gallery: Gallery, tenant: TenantId, path: &Path) -> Result<u64> {
    let mut export = Export::new(Arc::new(gallery), tenant)?;
    let failed = || format!("cannot write {}", path.display());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).context(Kind::Io, failed)?;
    let mut write = || -> Result<()> {
        while let Some(chunk) = export.next_chunk()? {
            file.write_all(&chunk).context(Kind::Io, failed)?;
        }
        file.sync_all().context(Kind::Io, failed)
    };
    write().inspect_err(|_| {
        // Half a file is of no use, and holds templates.
        let _ = std::fs::remove_file(path);
    })?;
    Ok(export.embeddings())
}

fn import(gallery: Gallery, tenant: TenantId, path: &Path) -> Result<Imported> {
    let failed = || format!("cannot read {}", path.display());
    let mut file = BufReader::new(File::open(path).context(Kind::Io, failed)?);
    gallery.ensure_tenant(&tenant)?;
    let mut import = Import::new(Arc::new(gallery), tenant)?;
    let mut take = || -> Result<()> {
        let mut line = Vec::new();
        // No longer than a line may be, with its end and a byte more to tell.
        while (&mut file).take(LONGEST_LINE as u64 + 2).read_until(b'\n', &mut line).context(Kind::Io, failed)? > 0 {
            import.take(line.strip_suffix(b"\n").unwrap_or(&line))?;
            line.clear();
        }
        Ok(())
    };
    take().and_then(|()| import.finish()).map_err(|error| error.within(&path.display().to_string()))
}
