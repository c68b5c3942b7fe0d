//! `facegate keys`: who may use the REST API.

use super::{Answer, Context, gallery::open};
use crate::{
    error::Result,
    gallery::{Gallery, KeyInfo, KeyTerms, Lifetime, NewKey, Right, Rights, TenantId, Within},
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a key for a tenant. It is shown once; only its hash is kept.
    Add {
        /// The tenant: 1 to 64 of a-z, 0-9, '-' and '_'. It comes to exist by its first key.
        tenant: TenantId,
        /// A note to tell keys apart by.
        #[arg(long)]
        label: Option<String>,
        /// What it may do, once for each: enrol, match, read, delete, admin (change the rules and manage keys), door (command
        /// the doors), transfer (export and import enrolments). [default: all but door and transfer]
        #[arg(long = "right", value_name = "RIGHT")]
        rights: Vec<Right>,
        /// When it ends: a length of time as 90d or 24h, or a time as 2027-01-31T18:00:00Z. [default: never]
        #[arg(long, value_name = "WHEN")]
        expires: Option<Lifetime>,
    },
    /// Make a new key of the same tenant, label and rights in the place of another.
    Rotate {
        /// The old key's id, as `keys list` shows it.
        id: String,
        /// How long the old key goes on to work, as 24h or 7d. [default: it ends at once]
        #[arg(long, value_name = "TIME")]
        overlap: Option<Within>,
    },
    /// List the keys: ids, labels and when they end, never the keys themselves.
    List,
    /// Make a key useless at once.
    Revoke {
        /// The key's id, as `keys list` shows it.
        id: String,
    },
}

pub fn run(context: &Context, command: Command) -> Result<Answer> {
    let gallery = open(&context.load()?)?;
    match command {
        Command::Add { tenant, label, rights, expires } => {
            let rights = if rights.is_empty() { Rights::default() } else { rights.into_iter().collect() };
            let key = gallery.make_key(&tenant, &KeyTerms { label, rights, expires, maker: None })?;
            show(context, &gallery, &key)?;
        }
        Command::Rotate { id, overlap } => {
            let key = gallery.rotate_key(&id, overlap.unwrap_or_default().0, None, |_| Ok(None))?;
            show(context, &gallery, &key)?;
        }
        Command::List => {
            for key in gallery.keys()? {
                context.out.result(&key, |key| {
                    let label = key.label.as_deref().unwrap_or("-");
                    let end = end(&gallery, key);
                    format!("{}  {}  {}  {label}  ({})  {end}", key.id, key.created_at, key.tenant, key.rights)
                });
            }
        }
        Command::Revoke { id } => {
            gallery.revoke_key(&id)?;
            context.out.result(&serde_json::json!({ "revoked": id }), |_| format!("key {id} is revoked"));
        }
    }
    Ok(Answer::Yes)
}

/// Prints a new key, this once.
fn show(context: &Context, gallery: &Gallery, new: &NewKey) -> Result<()> {
    let info = gallery.key(&new.id)?;
    let made = serde_json::json!({
        "id": info.id, "tenant": info.tenant, "rights": info.rights, "expires_at": info.expires_at, "key": new.secret,
    });
    context.out.result(&made, |_| {
        format!(
            "key {} of tenant {}, for {}, {}:\n\n  {}\n\nIt is shown this once. Send it as `Authorization: Bearer KEY`.",
            info.id,
            info.tenant,
            info.rights,
            end(gallery, &info),
            new.secret
        )
    });
    Ok(())
}

fn end(gallery: &Gallery, key: &KeyInfo) -> String {
    match key.expires_at {
        None => "without an end".to_owned(),
        Some(end) if key.has_ended(gallery.clock().wall()) => format!("ended {end}"),
        Some(end) => format!("ends {end}"),
    }
}
