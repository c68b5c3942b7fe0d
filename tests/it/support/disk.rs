//! A disk of one's own, to fill or to take the right to write from.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    process::Command,
};

/// A small file system in memory, unmounted at the end.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of 16 MB at `at`; none where this user may not.
    pub fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir(&at).expect("a folder can be made");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs"]).arg(&at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }

    /// From now on nothing can be written there.
    pub fn make_read_only(&self) {
        self.remount("ro");
    }

    /// The contrary.
    pub fn make_writable(&self) {
        self.remount("rw");
    }

    fn remount(&self, how: &str) {
        let done = Command::new("mount")
            .arg("-o")
            .arg(format!("remount,{how}"))
            .arg(&self.0)
            .status()
            .expect("mount is there");
        assert!(done.success());
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).expect("a file can be made");
        while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the daemon may still have files in it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}
