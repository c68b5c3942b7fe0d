//! `facegate keys`: who may use the REST API.

use super::{Answer, Context, gallery::open};
use crate::{
    error::Result,
    gallery::{Right, Rights, TenantId},
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
        /// What it may do, once for each: enrol, match, read, delete, admin (change the rules), door (command the doors).
        /// [default: all but door]
        #[arg(long = "right", value_name = "RIGHT")]
        rights: Vec<Right>,
    },
    /// List the keys: ids and labels, never the keys themselves.
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
        Command::Add { tenant, label, rights } => {
            let rights = if rights.is_empty() { Rights::default() } else { rights.into_iter().collect() };
            let key = gallery.add_key(&tenant, label.as_deref(), rights)?;
            let made = serde_json::json!({ "id": key.id, "tenant": tenant, "rights": rights, "key": key.secret });
            context.out.result(&made, |_| {
                format!(
                    "key {} of tenant {tenant}, for {rights}:\n\n  {}\n\nIt is shown this once. Send it as `Authorization: Bearer KEY`.",
                    key.id, key.secret
                )
            });
        }
        Command::List => {
            for key in gallery.keys()? {
                context.out.result(&key, |key| {
                    let label = key.label.as_deref().unwrap_or("-");
                    format!("{}  {}  {}  {label}  ({})", key.id, key.created_at, key.tenant, key.rights)
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
