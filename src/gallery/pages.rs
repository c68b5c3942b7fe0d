//! Whether every page that LMDB uses is in `data.mdb`, read from the file itself.
//!
//! LMDB reads through a memory map: a page that is in use and not in the file would end the process. How long the file has to
//! be cannot be told from the last page's number: pages that a transaction took and gave back are counted and never written,
//! so that a sound file may be shorter ("if the freeDB lists the final pages", as LMDB's own source says of it). So where the
//! file is shorter the trees are followed, without the map.
//!
//! The format is that of `mdb.c`, version 1, little-endian: `MDB_page`, `MDB_node`, `MDB_meta` and `MDB_db` there. A page
//! number is as wide as an address.

use std::{collections::HashSet, fs::File, os::unix::fs::FileExt};

/// Width of a page number, in bytes.
const WORD: usize = size_of::<usize>();

/// Length of a page's head: its number, padding, flags and two bounds.
const HEAD: usize = WORD + 8;

/// Flags of a page.
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;

/// Flags of a node in a leaf: its data lies on pages of its own; its data is another tree.
const BIG: u16 = 0x01;
const TREE: u16 = 0x02;

/// Length of a node's head.
const NODE: usize = 8;

/// What stands for the root of an empty tree.
const NO_PAGE: usize = usize::MAX;

/// `MDB_db`: padding and flags, five numbers; the last one is the root.
const TREE_LENGTH: usize = 8 + 5 * WORD;

/// In `MDB_meta`, behind the page's head: the two trees, after magic, version, address and size of the map.
const TREES: usize = 8 + 2 * WORD;

/// The pages in use as of this transaction, which must be one of the newest two, without the two that begin the file. `None`
/// where one of them is not in the file, or makes no sense. The caller holds a view of that transaction, so that no writer
/// uses its pages for something else.
pub(super) fn in_use(file: &File, page_size: usize, transaction: usize) -> Option<HashSet<usize>> {
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
    let mut walk = Walk { file, page_size, count: length / page_size, seen: HashSet::new(), next: Vec::new() };
    let meta = [0, 1].into_iter().filter_map(|number| walk.page(number)).find(|meta| {
        let trees = HEAD + TREES + 2 * TREE_LENGTH;
        word(meta, trees + WORD) == Some(transaction)
    })?;
    for tree in 0..2 {
        walk.tree(&meta, HEAD + TREES + tree * TREE_LENGTH)?;
    }
    walk.finish()
}

struct Walk<'f> {
    file: &'f File,
    page_size: usize,
    /// How many whole pages the file has.
    count: usize,
    seen: HashSet<usize>,
    /// Pages of trees that are still to be looked at.
    next: Vec<usize>,
}

impl Walk<'_> {
    fn finish(mut self) -> Option<HashSet<usize>> {
        while let Some(number) = self.next.pop() {
            self.take(number, 1)?;
            let page = self.page(number)?;
            match half(&page, WORD + 2)? {
                flags if flags & BRANCH != 0 => self.branch(&page)?,
                flags if flags & LEAF != 0 => self.leaf(&page)?,
                _ => return None,
            }
        }
        Some(self.seen)
    }

    fn branch(&mut self, page: &[u8]) -> Option<()> {
        for node in nodes(page)? {
            let node = node?;
            let low = usize::from(half(page, node)?) | usize::from(half(page, node + 2)?) << 16;
            // A number of 64 bits goes on where a leaf has its flags.
            let high = usize::from(half(page, node + 4)?).checked_shl(32).unwrap_or(0);
            self.next.push(low | high);
        }
        Some(())
    }

    fn leaf(&mut self, page: &[u8]) -> Option<()> {
        for node in nodes(page)? {
            let node = node?;
            let size = usize::from(half(page, node)?) | usize::from(half(page, node + 2)?) << 16;
            let data = node + NODE + usize::from(half(page, node + 6)?);
            match half(page, node + 4)? {
                flags if flags & BIG != 0 => {
                    self.take(word(page, data)?, (HEAD - 1 + size) / self.page_size + 1)?;
                }
                flags if flags & TREE != 0 => self.tree(page, data)?,
                _ => {}
            }
        }
        Some(())
    }

    /// Goes on with the tree whose `MDB_db` is here.
    fn tree(&mut self, page: &[u8], at: usize) -> Option<()> {
        let root = word(page, at + TREE_LENGTH - WORD)?;
        self.next.extend((root != NO_PAGE).then_some(root));
        Some(())
    }

    /// Notes that these pages are in use. Each is only once in a sound file.
    fn take(&mut self, first: usize, count: usize) -> Option<()> {
        let end = first.checked_add(count).filter(|end| *end <= self.count)?;
        (first..end).all(|number| self.seen.insert(number)).then_some(())
    }

    fn page(&self, number: usize) -> Option<Vec<u8>> {
        let mut page = vec![0; self.page_size];
        self.file.read_exact_at(&mut page, (number * self.page_size) as u64).ok()?;
        Some(page)
    }
}

/// Where a page's nodes are.
fn nodes(page: &[u8]) -> Option<impl Iterator<Item = Option<usize>>> {
    let end = usize::from(half(page, WORD + 4)?);
    Some((HEAD..end).step_by(2).map(|at| half(page, at).map(usize::from)))
}

fn half(page: &[u8], at: usize) -> Option<u16> {
    page.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

fn word(page: &[u8], at: usize) -> Option<usize> {
    page.get(at..at.checked_add(WORD)?)?.try_into().ok().map(usize::from_le_bytes)
}
