//! What is done and refused before the environment is used: its folder, its length, its format.

use std::{fs::File, path::Path};

use heed::{CommitOrAbort, Env, WithoutTls, types::Bytes};

use super::{FORMAT, errors::RESTORE};
use crate::{
    error::{Context, Error, Kind, Result},
    gallery::pages,
    storage,
};

/// Makes the folder, for its owner alone, where it is missing.
pub(super) fn make_dir(dir: &Path) -> Result<()> {
    if !storage::make_folder(Kind::Store, "the gallery's folder", dir)? {
        return Ok(());
    }
    // A new folder survives a power cut only when its parent is on the disk.
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_dir(parent)
}

/// Makes the names in a folder durable.
pub(in crate::gallery) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .context(Kind::Store, || format!("cannot write the folder {} to the disk", dir.display()))
}

/// Bytes of a page of this environment.
pub(super) fn page_size(env: &Env<WithoutTls>) -> usize {
    env.unnamed_database_stat().page_size as usize
}

/// How long the file would be if every page that LMDB has counted had been written.
pub(super) fn counted_bytes(env: &Env<WithoutTls>) -> u64 {
    (env.info().last_page_number as u64 + 1) * page_size(env) as u64
}

/// LMDB reads through a memory map: a page that is in use and no longer in the file would end the process. See [`pages`].
pub(super) fn refuse_truncated(env: &Env<WithoutTls>, dir: &Path) -> Result<()> {
    if env.real_disk_size()? >= counted_bytes(env) {
        return Ok(());
    }
    let path = dir.join("data.mdb");
    let file = File::open(&path).context(Kind::Store, || format!("the gallery {} cannot be read", path.display()))?;
    loop {
        let txn = env.read_txn()?;
        if pages::in_use(&file, page_size(env), txn.id()).is_some() {
            return Ok(());
        }
        // The file tells of the newest two transactions: another process may have put two more there meanwhile.
        if env.info().last_txn_id < txn.id() + 2 {
            let message = format!("the gallery {} is cut short", path.display());
            return Err(Error::new(Kind::Store, message).help(RESTORE));
        }
    }
}

/// A layout that this program does not know is left alone.
pub(super) fn refuse_unknown_format(env: &Env<WithoutTls>, dir: &Path) -> Result<()> {
    let txn = env.read_txn()?;
    let meta = env
        .open_databases_and_commit(txn, |opener, txn| -> heed::Result<_> {
            Ok(CommitOrAbort::<_, ()>::Commit(opener.open_database::<Bytes, Bytes>(txn, Some("meta"))?))
        })?
        .unwrap_commit();
    let Some(meta) = meta else { return Ok(()) };
    let txn = env.read_txn()?;
    let Some(format) = meta.get(&txn, b"format")? else { return Ok(()) };
    let format = format.try_into().map(u32::from_le_bytes).unwrap_or(u32::MAX);
    if format != FORMAT {
        return Err(Error::new(
            Kind::Store,
            format!("the gallery in {} has format {format}; this program knows format {FORMAT}", dir.display()),
        )
        .help("use the version of facegate that wrote it, or a newer one"));
    }
    Ok(())
}
