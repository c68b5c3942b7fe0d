//! What `facegate fleet join` installed in [`Settings::dir`]: who this device is, and who else is known.
//!
//! | file | |
//! | --- | --- |
//! | `device.key` | the device's Ed25519 key: 32 bytes, base64url |
//! | `sealing.key` | the site's sealing key, likewise; doors alone have it |
//! | `site.json` | the site's public key, and the voucher for this device as the site signed it |
//! | `registry.json` | the vouchers and revoked keys that were ever seen: a revocation is never forgotten |

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use facegate_fleet::{
    Name, Now,
    keys::{PublicKey, SealingKey, SecretKey},
    open::{Body, Opener},
    registry::Registry,
    sync::Identity,
    topic::Topic,
    voucher::{Role, Vouched},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::settings::Settings;
use crate::error::{Context as _, Error, Kind, Result};

pub const DEVICE_KEY: &str = "device.key";
pub const SEALING_KEY: &str = "sealing.key";
pub const SITE: &str = "site.json";
const REGISTRY: &str = "registry.json";

/// Who this device is, by the site's word, whatever its role.
pub struct Member {
    pub site: Name,
    pub device: Name,
    /// What it signs with.
    pub key: SecretKey,
    /// The site's sealing key; doors alone have it.
    pub sealing: Option<SealingKey>,
    /// The site's word for it.
    pub voucher: Arc<Vouched>,
    /// Everybody who is known, itself among them.
    pub registry: Registry,
}

/// Who this door is: what its daemon needs.
pub struct Installed {
    pub identity: Identity,
    /// The site's word for it.
    pub voucher: Arc<Vouched>,
    /// Everybody who is known, itself among them.
    pub registry: Registry,
}

/// `site.json`.
#[derive(Serialize, Deserialize)]
pub struct SiteFile {
    pub site_key: PublicKey,
    /// The signed message.
    pub voucher: String,
}

#[derive(Default, Serialize, Deserialize)]
struct RegistryFile {
    vouchers: Vec<String>,
    revoked: Vec<PublicKey>,
}

impl Member {
    /// Reads the files.
    ///
    /// # Errors
    /// `Config` where one is missing, readable by others or not what it should be, or the voucher is another device's.
    pub fn read(settings: &Settings) -> Result<Self> {
        let dir = &settings.dir;
        let device = secret(&dir.join(DEVICE_KEY))?;
        let key = SecretKey::from_seed(&device);
        let path = dir.join(SEALING_KEY);
        let sealing = if path.exists() { Some(SealingKey::from_bytes(*secret(&path)?)) } else { None };
        let file: SiteFile = json(&dir.join(SITE))?;
        let mut registry = Registry::new(file.site_key);
        let voucher = open(settings, &registry, file.voucher.as_bytes(), &settings.device)?;
        if voucher.voucher.key != key.public() {
            return Err(Error::new(Kind::Config, format!("{DEVICE_KEY} is not the key that the site vouches for"))
                .help("join again: facegate fleet join-request, approve, join"));
        }
        registry.take(Arc::clone(&voucher));
        recall(settings, &mut registry)?;
        let (site, device) = (settings.site.clone(), settings.device.clone());
        Ok(Self { site, device, key, sealing, voucher, registry })
    }

    /// What the site lets this device do.
    pub fn role(&self) -> Role {
        self.voucher.voucher.role
    }

    /// The same as a door.
    ///
    /// # Errors
    /// `Config` where it has no sealing key, as whatever is no door has none.
    pub fn door(self) -> Result<Installed> {
        let Self { site, device, key, sealing, voucher, registry } = self;
        let Some(sealing) = sealing else {
            let message = match voucher.voucher.role {
                Role::Door => {
                    format!("{device} has no {SEALING_KEY}, without which a door reads nothing of the others")
                }
                _ => format!("the site vouches for {device} as no door: it has no key for what doors share"),
            };
            return Err(Error::new(Kind::Config, message).help(
                "where it is to be a door, join again: facegate fleet join-request, approve --role door, join; else take [fleet] out of \
                 the daemon's configuration and give commands one of their own (-c)",
            ));
        };
        Ok(Installed { identity: Identity { site, device, key, sealing }, voucher, registry })
    }
}

impl Installed {
    /// Reads the files of a door.
    ///
    /// # Errors
    /// As [`Member::read`]; `Config` where it has no sealing key, as whatever is no door has none.
    pub fn read(settings: &Settings) -> Result<Self> {
        Member::read(settings)?.door()
    }
}

/// Puts everybody there who was known before.
///
/// # Errors
/// `Config` where what was stored cannot be read.
pub fn recall(settings: &Settings, registry: &mut Registry) -> Result<()> {
    let path = settings.dir.join(REGISTRY);
    let known: RegistryFile = if path.exists() { json(&path)? } else { RegistryFile::default() };
    for message in &known.vouchers {
        // Those of an earlier site key are of no use.
        if let Ok(vouched) = open_any(settings, registry, message) {
            registry.take(vouched);
        }
    }
    known.revoked.into_iter().for_each(|key| registry.revoke(key));
    Ok(())
}

/// Stores who is known.
///
/// # Errors
/// `Io` where it cannot be written.
pub fn store_registry(settings: &Settings, registry: &Registry) -> Result<()> {
    let vouchers = registry.vouchers().map(|vouched| String::from_utf8_lossy(&vouched.message).into_owned()).collect();
    let file = RegistryFile { vouchers, revoked: registry.revoked().copied().collect() };
    let bytes = serde_json::to_vec(&file).context(Kind::Internal, || "the registry has no form in JSON")?;
    write_private(&settings.dir.join(REGISTRY), &bytes)
}

/// Opens a voucher that was stored.
pub fn open(settings: &Settings, registry: &Registry, message: &[u8], device: &Name) -> Result<Arc<Vouched>> {
    let opener = Opener { site: settings.site.clone(), sealing: None, registry: Arc::new(registry.clone()) };
    let topic = Topic::Device(device.clone()).of(&settings.site);
    match opener.open(&topic, message, Now::default()).map(|opened| opened.body) {
        Ok(Body::Voucher(vouched)) => Ok(vouched),
        _ => Err(Error::new(
            Kind::Config,
            format!("the voucher is not the site {}'s for the device {device}", settings.site),
        )
        .help("put fleet.site and fleet.device right, or join again: facegate fleet join-request, approve, join")),
    }
}

/// The same for whatever device it says.
pub fn open_any(settings: &Settings, registry: &Registry, message: &str) -> Result<Arc<Vouched>> {
    let device =
        device_of(message).ok_or_else(|| Error::new(Kind::Config, "what should be a voucher names no device"))?;
    open(settings, registry, message.as_bytes(), &device)
}

/// For which device a voucher is, by its own word.
fn device_of(message: &str) -> Option<Name> {
    #[derive(Deserialize)]
    struct Of {
        device: Name,
    }
    serde_json::from_str::<Of>(message).ok().map(|of| of.device)
}

/// Reads 32 secret bytes from a file that nobody else may read.
pub fn secret(path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let file = File::open(path)
        .context(Kind::Config, || format!("{} cannot be opened", path.display()))
        .map_err(|error| error.help("facegate fleet join-request and join make it"))?;
    let mode = file.metadata().context(Kind::Config, || format!("{} cannot be read", path.display()))?;
    if mode.permissions().mode() & 0o077 != 0 {
        return Err(Error::new(Kind::Config, format!("others can read {}", path.display()))
            .help(format!("chmod 600 {}", path.display())));
    }
    let text = Zeroizing::new(
        fs::read_to_string(path).context(Kind::Config, || format!("{} cannot be read", path.display()))?,
    );
    let mut bytes = Zeroizing::new([0; 32]);
    match URL_SAFE_NO_PAD.decode_slice(text.trim(), bytes.as_mut_slice()) {
        Ok(32) => Ok(bytes),
        _ => Err(Error::new(Kind::Config, format!("{} is not a key of 32 bytes", path.display()))
            .help("restore it from a backup, or join again")),
    }
}

/// Writes 32 secret bytes.
///
/// # Errors
/// `Io`.
pub fn write_secret(path: &Path, bytes: &[u8; 32]) -> Result<()> {
    write_private(path, Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes)).as_bytes())
}

/// Reads a file of JSON.
pub fn json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let bytes = fs::read(path)
        .context(Kind::Config, || format!("{} cannot be read", path.display()))
        .map_err(|error| error.help("facegate fleet join makes it"))?;
    serde_json::from_slice(&bytes).context(Kind::Config, || format!("{} is not what it should be", path.display()))
}

/// Writes a file for its owner alone, whole or not at all, durably.
///
/// # Errors
/// `Io`.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let write = || -> std::io::Result<()> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs::create_dir_all(dir)?;
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    };
    write()
        .context(Kind::Io, || format!("{} cannot be written", path.display()))
        .map_err(|error| error.help("give this user the right to write there, and see that the disk has room"))
}
