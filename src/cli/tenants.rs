//! `facegate tenants`: whose galleries there are, and how much each may hold.

use std::str::FromStr;

use super::{Answer, Context, gallery::open};
use crate::{
    error::{Error, Kind, Result},
    gallery::TenantId,
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
