//! A GPIO chip of the kernel's simulator, `gpio-sim`: a real device node, whose wires are files of sysfs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::daemon::eventually;

const CONFIGFS: &str = "/sys/kernel/config";

/// As many lines as a Raspberry Pi 4's own chip has, of which these have their names.
const LINES: u32 = 54;
const NAMED: [u32; 6] = [5, 6, 13, 17, 22, 27];

/// A chip that is there until it is dropped.
pub struct Chip {
    /// Its folder in configfs.
    config: PathBuf,
    /// `pinctrl-bcm2711`, as a Pi 4's, and something of its own, so that tests can run beside one another and on a Pi.
    pub label: String,
}

impl Chip {
    /// Makes a chip. Where that cannot be done here, says why, for the test to be skipped.
    pub fn make() -> Option<Self> {
        match usable() {
            Ok(()) => Some(Self::new().expect("gpio-sim makes a chip")),
            Err(why) => {
                // As one line, whatever is printed beside it.
                eprintln!("skipped, no GPIO line was tested: {why}");
                None
            }
        }
    }

    fn new() -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        // The number of a process comes again, after a test that was killed and has left its chip.
        let since = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
        // Programs are told the first 31 bytes of a label.
        let own = format!("{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let config = Path::new(CONFIGFS).join("gpio-sim").join(format!("facegate-{own}-{since}"));
        fs::create_dir(&config)?;
        // From here on dropping it removes what there is.
        let chip = Self { label: format!("pinctrl-bcm2711 {own}"), config };
        let bank = chip.config.join("bank");
        fs::create_dir(&bank)?;
        fs::write(bank.join("num_lines"), LINES.to_string())?;
        fs::write(bank.join("label"), &chip.label)?;
        for line in NAMED {
            let folder = bank.join(format!("line{line}"));
            fs::create_dir(&folder)?;
            fs::write(folder.join("name"), format!("GPIO{line}"))?;
        }
        chip.plug(true);
        Ok(chip)
    }

    /// The chip is plugged in, with every wire loose and pulled down, or unplugged, whoever has its lines.
    pub fn plug(&self, there: bool) {
        fs::write(self.config.join("live"), if there { "1" } else { "0" }).expect("it can be plugged");
        if there {
            // Where udev makes it, that takes a moment.
            let node = Path::new("/dev").join(self.name());
            eventually("the chip's node", || node.exists().then_some(()));
        }
    }

    fn read(&self, name: &str) -> String {
        let path = self.config.join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
    }

    /// What the kernel calls it: `gpiochip0`.
    pub fn name(&self) -> String {
        self.read("bank/chip_name")
    }

    fn wire(&self, line: u32, file: &str) -> PathBuf {
        let device = Path::new("/sys/devices/platform").join(self.read("dev_name")).join(self.name());
        device.join(format!("sim_gpio{line}")).join(file)
    }

    /// Pulls a line up or down from outside, as a contact and its resistor do.
    pub fn pull(&self, line: u32, up: bool) {
        let pull = if up { "pull-up" } else { "pull-down" };
        fs::write(self.wire(line, "pull"), pull).expect("the line is there");
    }

    /// Whether a line is high, whoever drives it.
    pub fn high(&self, line: u32) -> bool {
        read_level(&self.wire(line, "value")).expect("the line is there")
    }

    /// Waits until a line is high, or low.
    #[track_caller]
    pub fn until(&self, line: u32, high: bool) {
        let level = if high { "high" } else { "low" };
        eventually(&format!("GPIO{line} is {level}"), || (self.high(line) == high).then_some(()));
    }

    /// Looks at a line all the time from now on.
    pub fn scope(&self, line: u32) -> Scope {
        Scope::new(self.wire(line, "value"))
    }
}

impl Drop for Chip {
    fn drop(&mut self) {
        // As much of it as there is: it may not have been finished.
        let bank = self.config.join("bank");
        let _ = fs::write(self.config.join("live"), "0");
        for line in NAMED {
            let _ = fs::remove_dir(bank.join(format!("line{line}")));
        }
        let _ = fs::remove_dir(bank);
        if let Err(error) = fs::remove_dir(&self.config) {
            eprintln!("{} is left: {error}", self.config.display());
        }
    }
}

fn read_level(path: &Path) -> io::Result<bool> {
    Ok(fs::read_to_string(path)?.trim() == "1")
}

/// Whether a chip can be made; otherwise why not. Root's tests load the module and mount configfs, which changes nothing for
/// anybody else.
fn usable() -> Result<(), String> {
    let simulator = Path::new(CONFIGFS).join("gpio-sim");
    if !rustix::process::geteuid().is_root() {
        return Err("chips of gpio-sim are made by root alone".into());
    }
    let quietly = |program: &str, args: &[&str]| {
        // Whether it helped is looked at below.
        let _ = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    };
    if !simulator.exists() {
        quietly("modprobe", &["--all", "configfs", "gpio-sim"]);
        let mounted = || fs::read_dir(CONFIGFS).is_ok_and(|mut folder| folder.next().is_some());
        if Path::new(CONFIGFS).exists() && !mounted() {
            quietly("mount", &["-t", "configfs", "none", CONFIGFS]);
        }
    }
    match simulator.exists() {
        true => Ok(()),
        false => Err("this kernel has no gpio-sim (CONFIG_GPIO_SIM)".into()),
    }
}

/// A change of a line's level, between two readings.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub high: bool,
    /// It happened after this moment
    pub after: Instant,
    /// and before this one.
    pub before: Instant,
}

impl Change {
    /// The least and the greatest time from this change to that one.
    pub fn until(&self, later: &Self) -> (Duration, Duration) {
        (later.after.saturating_duration_since(self.before), later.before.saturating_duration_since(self.after))
    }
}

/// Who looks at a line: all that it did, save what was shorter than the time between two looks.
pub struct Scope {
    changes: Arc<Mutex<Vec<Change>>>,
    stop: Arc<AtomicBool>,
}

impl Scope {
    fn new(path: PathBuf) -> Self {
        let (changes, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let mut high = read_level(&path).expect("the line is there");
        let mut after = Instant::now();
        let (to, end) = (Arc::clone(&changes), Arc::clone(&stop));
        thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
                let begun = Instant::now();
                // Unplugged, it is no change.
                let now = read_level(&path).unwrap_or(high);
                if now != high {
                    to.lock().push(Change { high: now, after, before: Instant::now() });
                    high = now;
                }
                after = begun;
            }
        });
        Self { changes, stop }
    }

    /// What the line did so far.
    pub fn changes(&self) -> Vec<Change> {
        self.changes.lock().clone()
    }

    /// Waits until the line has done this from the beginning: the levels it went to.
    #[track_caller]
    pub fn until(&self, levels: &[bool]) -> Vec<Change> {
        let changes = eventually(&format!("{} changes of the line", levels.len()), || {
            Some(self.changes()).filter(|changes| changes.len() >= levels.len())
        });
        assert_eq!(changes.iter().map(|change| change.high).collect::<Vec<_>>(), levels);
        changes
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
