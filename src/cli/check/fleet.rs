//! The fleet's part of `facegate check`: keys, vouchers, certificates, the broker.

use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use facegate_fleet::voucher::Role;
use jiff::Timestamp;

use super::Findings;
use crate::{
    config::Config,
    error::{Error, Kind, Result},
    fleet::{self, Certificate, Settings, identity::Member},
};

/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// What ends sooner than this is to be renewed, in days.
const SOON: i64 = 30;

const RENEW: &str = "renew it: facegate fleet join-request here, approve where the site's keys are, join here";

/// Looks at everything that could keep the device from its fleet; at nothing where it is of none.
pub fn look(config: &Config, findings: &mut Findings<'_>) {
    let Some(settings) = &config.fleet else { return };
    if let Some(origin) = &config.origin {
        if let Some(revision) = &origin.revision {
            findings.well("fleet, configuration", format!("revision {revision} is in force, as the fleet ordered"));
        }
        if let Some(fault) = &origin.fault {
            let error = Error::new(Kind::Config, format!("what the fleet ordered is not in force: {fault}"));
            findings.wrong("fleet, configuration", &error.help("order another one: facegate fleet set-config"));
        }
    }
    let now = Timestamp::now();
    findings.either("fleet, keys", keys(settings, !config.doors.is_empty(), now));
    let certificates = fleet::certificates_of(settings);
    match certificates {
        Err(error) => findings.wrong("fleet, certificates", &error),
        Ok(all) => all.iter().for_each(|one| findings.either(format!("fleet, {}", one.what), lasts(one, now))),
    }
    findings.either(
        "fleet, broker",
        fleet::reach(settings, PATIENCE).map(|()| format!("{} takes this device", settings.broker)),
    );
}

/// Who the device is, and whether the site still says so.
fn keys(settings: &Settings, has_doors: bool, now: Timestamp) -> Result<String> {
    let installed = Member::read(settings)?;
    if let Some((_, key)) = settings.pair() {
        private(&key)?;
    }
    if let Some(password) = &settings.password_file {
        private(password)?;
    }
    let voucher = &installed.voucher.voucher;
    let who = format!("{} of the site {}", voucher.device, settings.site);
    if installed.registry.revoked().any(|key| *key == voucher.key) {
        return Err(Error::new(Kind::Config, format!("{who}: the site has revoked its key")).help(
            "where that was a mistake, join again with new keys: facegate fleet leave, join-request, approve, join",
        ));
    }
    if has_doors && voucher.role != Role::Door {
        return Err(Error::new(Kind::Config, format!("{who} has doors, and the site vouches for no door"))
            .help("join again, approved with --role door: what it tells is refused else"));
    }
    if voucher.role == Role::Door && installed.sealing.is_none() {
        return installed.door().map(|_| who);
    }
    let Some(expires) = voucher.expires else { return Ok(format!("{who}, vouched for until it is revoked")) };
    let ends =
        i64::try_from(expires).ok().and_then(|at| Timestamp::from_millisecond(at).ok()).unwrap_or(Timestamp::MAX);
    ends_at(&format!("{who}: the voucher"), ends, now).map_err(|error| error.help(RENEW))
}

fn lasts(certificate: &Certificate, now: Timestamp) -> Result<String> {
    let what = certificate.path.display().to_string();
    if certificate.begins > now {
        return Err(Error::new(Kind::Config, format!("{what} is not valid before {}", certificate.begins))
            .help("see whether this board's clock is right"));
    }
    ends_at(&what, certificate.ends, now).map_err(|error| error.help(RENEW))
}

fn ends_at(what: &str, ends: Timestamp, now: Timestamp) -> Result<String> {
    let days = ends.duration_since(now).as_hours() / 24;
    if ends <= now {
        return Err(Error::new(Kind::Config, format!("{what} has ended, at {ends}")));
    }
    if days < SOON {
        return Err(Error::new(Kind::Config, format!("{what} ends in {days} days, at {ends}")));
    }
    Ok(format!("{what} is valid until {ends}"))
}

/// Refuses a secret that others can read.
fn private(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(about) if about.permissions().mode() & 0o077 != 0 => {
            Err(Error::new(Kind::Config, format!("others can read {}", path.display()))
                .help(format!("chmod 600 {}", path.display())))
        }
        // That it is missing is told of the certificates.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_or_will_soon_is_a_finding() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let now = at("2026-11-26T12:00:00Z");
        assert!(ends_at("x", at("2027-01-01T00:00:00Z"), now).is_ok());
        let soon = ends_at("x", at("2026-12-01T12:00:00Z"), now).expect_err("soon");
        assert!(soon.to_string().contains("ends in 5 days"), "{soon}");
        assert!(ends_at("x", now, now).expect_err("over").to_string().contains("has ended"));
    }
}
