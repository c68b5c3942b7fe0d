//! Access rules that the fleet orders: a whole document, in parts where it is long, and groups for whoever is enrolled.

use facegate_fleet::Name;

use crate::{
    access::rules::{Rules, SubjectRules},
    error::{Error, Kind, Result},
    gallery::{Expected, Gallery, SubjectId, TenantId},
    rulebook,
};

/// Longest part, in bytes.
pub const PART: usize = 16 << 10;

/// Most parts.
pub const PARTS: u16 = 256;

/// Most groups that somebody is put in at once.
const GROUPS: usize = 64;

/// A document of which some parts have come.
pub struct Upload {
    by: Name,
    tenant: String,
    parts: u16,
    come: u16,
    text: String,
}

impl Upload {
    /// Takes in the next part; gives the document where it is the last. One document at a time: a first part begins anew.
    ///
    /// # Errors
    /// `InvalidField`, `TooLarge`; `PreconditionFailed` where it is not the part that follows.
    pub fn take(
        slot: &mut Option<Self>,
        by: &Name,
        tenant: &str,
        text: &str,
        (part, parts): (u16, u16),
    ) -> Result<Option<String>> {
        if !(1..=PARTS).contains(&parts) || !(1..=parts).contains(&part) {
            return Err(Error::new(Kind::InvalidField, format!("part must be 1 to parts, and parts 1 to {PARTS}")));
        }
        if text.len() > PART {
            return Err(Error::new(Kind::TooLarge, format!("a part may have {PART} bytes")));
        }
        if part == 1 {
            *slot = Some(Self { by: by.clone(), tenant: tenant.into(), parts, come: 0, text: String::new() });
        }
        let follows = |upload: &&mut Self| {
            (&upload.by, &*upload.tenant, upload.parts, upload.come + 1) == (by, tenant, parts, part)
        };
        let Some(upload) = slot.as_mut().filter(follows) else {
            return Err(Error::new(Kind::PreconditionFailed, "this part does not follow the last one")
                .help("begin again with the first: somebody else may have sent rules meanwhile"));
        };
        upload.text.push_str(text);
        upload.come = part;
        Ok(if part == parts { slot.take().map(|upload| upload.text) } else { None })
    }
}

/// Puts the rules of a document in the place of all that a tenant has; how many subjects have rules of their own then.
///
/// # Errors
/// `InvalidRules` with the place and the cure, `TooLarge` where the doors could not share them: nothing changed. Those of the store.
pub fn replace(gallery: &Gallery, tenant: &TenantId, document: &str) -> Result<usize> {
    let rules: Rules = rulebook::read(document.as_bytes()).map_err(|error| {
        Error::new(Kind::InvalidRules, format!("this is not what docs/access.md describes: {error}"))
    })?;
    gallery.ensure_tenant(tenant)?;
    gallery.replace_rules(tenant, &rules, Expected::Any)?;
    Ok(rules.subjects.len())
}

/// Refuses groups that the tenant's rules do not have.
///
/// # Errors
/// `InvalidRules`, naming the first of them; `InvalidField` for too many.
pub fn known(gallery: &Gallery, tenant: &TenantId, groups: &[String]) -> Result<()> {
    if groups.len() > GROUPS {
        return Err(Error::new(Kind::InvalidField, format!("{} groups are named; at most {GROUPS}", groups.len())));
    }
    if groups.is_empty() {
        return Ok(());
    }
    let rules = gallery.rules_without_subjects(tenant)?.map(|stored| stored.rules).unwrap_or_default();
    match groups.iter().find(|group| !rules.groups.iter().any(|known| known.name == **group)) {
        Some(unknown) => {
            let message = format!("tenant {tenant} has no group '{}'", unknown.escape_debug());
            Err(Error::new(Kind::InvalidRules, message).help("facegate access show group lists them"))
        }
        None => Ok(()),
    }
}

/// Puts a subject in groups, besides those that it is in.
///
/// # Errors
/// `InvalidRules` where there is no such group; those of the store.
pub fn join(gallery: &Gallery, tenant: &TenantId, subject: &SubjectId, groups: &[String]) -> Result<()> {
    gallery.change_subject(tenant, subject, |before| {
        let mut after = match before {
            Some(before) => before.clone(),
            // As somebody is of whom nothing but an id is written.
            None => rulebook::read::<SubjectRules>(serde_json::json!({ "id": subject }).to_string().as_bytes())
                .map_err(|error| Error::new(Kind::Internal, "a subject without rules cannot be read").source(error))?,
        };
        for group in groups {
            if !after.groups.contains(group) {
                after.groups.push(group.clone());
            }
        }
        Ok(Some(after))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_a_document_in_order_and_of_one_sender_alone() {
        let (office, other): (Name, Name) = ("office".parse().expect("a name"), "other".parse().expect("a name"));
        let mut slot = None;
        let mut take = |by: &Name, text: &str, part, parts| Upload::take(&mut slot, by, "main", text, (part, parts));
        assert_eq!(take(&office, "{}", 1, 1).expect("a part"), Some("{}".into()));
        assert_eq!(take(&office, "ab", 1, 3).expect("a part"), None);
        assert!(take(&office, "ef", 3, 3).is_err_and(|error| error.kind() == Kind::PreconditionFailed));
        assert!(take(&other, "cd", 2, 3).is_err());
        assert_eq!(take(&office, "cd", 2, 3).expect("a part"), None);
        assert!(take(&office, "cd", 2, 3).is_err());
        assert_eq!(take(&office, "ef", 3, 3).expect("a part"), Some("abcdef".into()));
        assert!(take(&office, "ef", 3, 3).is_err());
        // Somebody else's first part ends what was begun.
        assert_eq!(take(&office, "ab", 1, 2).expect("a part"), None);
        assert_eq!(take(&other, "xy", 1, 2).expect("a part"), None);
        assert!(take(&office, "cd", 2, 2).is_err());
        for (part, parts) in [(0, 1), (2, 1), (1, 0), (1, PARTS + 1)] {
            assert!(take(&office, "", part, parts).is_err_and(|error| error.kind() == Kind::InvalidField));
        }
        let long = "x".repeat(PART + 1);
        assert!(take(&office, &long, 1, 1).is_err_and(|error| error.kind() == Kind::TooLarge));
    }
}
