//! The databases of the environment, each named once.

use heed::{CommitOrAbort, Database, Env, RoTxn, WithoutTls, types::Bytes};

use crate::error::Result;

/// Any database of the environment: the codecs are ours.
pub(in crate::gallery) type Table = Database<'static, Bytes, Bytes>;

macro_rules! tables {
    ($($field:ident = $name:literal,)+) => {
        /// All databases, see [`store`](super) for what is in them.
        pub(in crate::gallery) struct Tables { $(pub $field: Table,)+ }

        impl Tables {
            /// Opens them all, making those that are missing: a store of an earlier version gets what is new.
            pub(super) fn open(env: &Env<WithoutTls>) -> Result<Self> {
                let txn = env.write_txn()?;
                let tables = env.create_databases_and_commit(txn, |opener, txn| -> heed::Result<_> {
                    let mut table = |name| opener.create_database::<Bytes, Bytes>(txn, Some(name));
                    Ok(CommitOrAbort::<_, ()>::Commit([$(table($name)?,)+]))
                })?;
                let [$($field,)+] = tables.unwrap_commit();
                Ok(Self { $($field,)+ })
            }

            /// Bytes that the databases fill; free pages are not counted.
            pub fn used_bytes(&self, txn: &RoTxn<'_>) -> Result<u64> {
                let tables = [$(self.$field,)+];
                tables.iter().try_fold(0, |sum, table| Ok(sum + table.stat(txn)?.non_free_page_size() as u64))
            }
        }
    };
}

tables! {
    meta = "meta",
    tenants = "tenants",
    records = "records",
    ids = "ids",
    subjects = "subjects",
    keys = "keys",
    access = "access",
    presence = "presence",
    seen = "seen",
    suspended = "suspended",
    photographs = "photographs",
    requests = "requests",
    log = "log",
    free_slots = "slots",
    documents = "documents",
    outgoing = "outgoing",
}
