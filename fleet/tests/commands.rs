//! Which commands open a door, and which never do.

mod site;

use facegate_fleet::{
    Now,
    command::{Inbox, LIFE_MS, MOVEMENT_LIFE_MS, SESSION_LIFE_MS, SKEW_MS, WINDOW, left_ms, may},
    keys::{Nonce, Session},
    refusal::Cause,
    voucher::Role,
    wire::{Command, Order, V1},
};
use proptest::prelude::*;
use site::{NOW, Site, name, rng};

const UNLOCK: Order = Order::Unlock { door: None, exit: false };

fn command(by: &str, role: Role, order: Order) -> Command {
    Command {
        v: V1,
        by: name(by),
        role,
        to: name("a"),
        id: "17".into(),
        nonce: Nonce([1; 16]),
        session: Session([1; 16]),
        issued: NOW.wall,
        expires: NOW.wall + 10_000,
        order,
    }
}

fn inbox() -> Inbox {
    let mut inbox = Inbox::new(name("a"));
    inbox.begin(Session([1; 16]), NOW);
    inbox
}

fn accept(site: &Site, inbox: &mut Inbox, command: &Command, now: Now) -> Result<(), Cause> {
    inbox.accept(command, &site.key(command.by.as_str()).public(), &site.registry, now)
}

#[test]
fn an_unlock_is_obeyed_once() {
    let (site, mut inbox) = (Site::new(), inbox());
    let unlock = command("op", Role::Operator, UNLOCK);
    assert_eq!(accept(&site, &mut inbox, &unlock, NOW), Ok(()));
    assert_eq!(accept(&site, &mut inbox, &unlock, NOW), Err(Cause::Replayed));
    assert_eq!(
        accept(&site, &mut inbox, &unlock, NOW.after(60_000)),
        Err(Cause::Replayed),
        "a copy, whenever it comes"
    );
}

#[test]
fn what_was_accepted_waits_no_longer_than_until_its_end() {
    let unlock = command("op", Role::Operator, UNLOCK);
    assert_eq!(left_ms(&unlock, NOW), 10_000);
    assert_eq!(left_ms(&unlock, NOW.after(9_999)), 1);
    assert_eq!(left_ms(&unlock, NOW.after(20_000)), 0);
    // Without a clock, a few seconds, whatever the sender says.
    let untrusted = Now { trusted: false, ..NOW };
    assert_eq!(left_ms(&unlock, untrusted), 5_000);
    assert_eq!(left_ms(&Command { expires: NOW.wall + 2_000, ..unlock }, untrusted), 2_000);
}

#[test]
fn an_unlock_that_was_queued_while_the_door_was_away_never_opens_it() {
    let site = Site::new();
    // Whatever the door's clock says when it comes back, also that no time has passed.
    for now in [NOW, NOW.after(5_000), Now { trusted: false, ..NOW }, Now { wall: 0, ..NOW }] {
        let mut inbox = inbox();
        let unlock = command("op", Role::Operator, UNLOCK);
        inbox.end();
        assert_eq!(accept(&site, &mut inbox, &unlock, now), Err(Cause::Session), "not connected");
        inbox.begin(Session::random(&mut rng(1)), now);
        assert_eq!(accept(&site, &mut inbox, &unlock, now), Err(Cause::Session), "another connection");
    }
    assert_eq!(
        accept(&site, &mut Inbox::new(name("a")), &command("op", Role::Operator, UNLOCK), NOW),
        Err(Cause::Session)
    );
}

#[test]
fn time_limits_are_kept_where_the_clock_can_be_relied_on() {
    let site = Site::new();
    let untrusted = Now { trusted: false, ..NOW };
    let case = |change: &dyn Fn(&mut Command), now: Now| {
        let mut command = command("admin", Role::Admin, UNLOCK);
        change(&mut command);
        accept(&site, &mut inbox(), &command, now)
    };
    let late = NOW.after(10_000);
    assert_eq!(case(&|_| {}, NOW.after(9_999)), Ok(()));
    assert_eq!(case(&|_| {}, late), Err(Cause::Late));
    assert_eq!(case(&|_| {}, Now { trusted: false, ..late }), Ok(()), "the session alone has to do");
    let early = |command: &mut Command| {
        command.issued += SKEW_MS + 1;
        command.expires = command.issued + 1;
    };
    assert_eq!(case(&early, NOW), Err(Cause::Late), "from the future");
    for now in [NOW, untrusted] {
        assert_eq!(case(&|command| command.expires = command.issued + MOVEMENT_LIFE_MS, now), Ok(()));
        assert_eq!(case(&|command| command.expires = command.issued + MOVEMENT_LIFE_MS + 1, now), Err(Cause::Late));
        assert_eq!(case(&|command| command.expires = command.issued, now), Err(Cause::Late));
        assert_eq!(case(&|command| command.expires = 0, now), Err(Cause::Late));
        let reload = |command: &mut Command| {
            command.order = Order::Reload {};
            command.expires = command.issued + LIFE_MS;
        };
        assert_eq!(case(&reload, now), Ok(()));
    }
}

#[test]
fn only_whom_the_site_lets_may_order_and_only_what_its_role_may() {
    let mut site = Site::new();
    let orders =
        [UNLOCK, Order::Lockdown { door: None }, Order::Identify { seconds: 5 }, Order::Restart {}, Order::Reload {}];
    for (by, role) in [("a", Role::Door), ("op", Role::Operator), ("admin", Role::Admin), ("eye", Role::Observer)] {
        for order in &orders {
            let expected = if may(role, order) { Ok(()) } else { Err(Cause::Role) };
            assert_eq!(accept(&site, &mut inbox(), &command(by, role, order.clone()), NOW), expected, "{by} {order:?}");
        }
    }
    assert!(may(Role::Operator, &UNLOCK) && !may(Role::Operator, &Order::Restart {}) && !may(Role::Door, &UNLOCK));
    let pretends = command("op", Role::Admin, UNLOCK);
    assert_eq!(accept(&site, &mut inbox(), &pretends, NOW), Err(Cause::Role), "a role that its voucher does not give");
    let unlock = command("op", Role::Operator, UNLOCK);
    assert_eq!(
        inbox().accept(&unlock, &site.key("admin").public(), &site.registry, NOW),
        Err(Cause::Revoked),
        "another key"
    );
    let other = Command { to: name("b"), ..unlock.clone() };
    assert_eq!(accept(&site, &mut inbox(), &other, NOW), Err(Cause::WrongDevice));
    let key = site.key("op").clone();
    let revoked = site.voucher("op", &key, Role::Operator, 2, true);
    site.take(&revoked);
    assert_eq!(accept(&site, &mut inbox(), &unlock, NOW), Err(Cause::Revoked), "revoked while it was under way");
}

#[test]
fn a_session_wears_out() {
    let (site, mut inbox) = (Site::new(), inbox());
    let mut now = NOW;
    for number in 0..WINDOW as u32 {
        let mut nonce = [0; 16];
        nonce[..4].copy_from_slice(&number.to_le_bytes());
        let unlock = Command { nonce: Nonce(nonce), ..command("op", Role::Operator, UNLOCK) };
        assert_eq!(accept(&site, &mut inbox, &unlock, now), Ok(()));
    }
    let one_more = Command { nonce: Nonce([9; 16]), ..command("op", Role::Operator, UNLOCK) };
    assert_eq!(accept(&site, &mut inbox, &one_more, now), Err(Cause::Busy), "rather than forget one that was heard");
    assert!(inbox.is_worn(now));
    inbox.begin(Session([2; 16]), now);
    assert!(!inbox.is_worn(now));
    now = now.after(SESSION_LIFE_MS);
    assert!(
        !inbox.is_worn(now) && inbox.is_worn(Now { trusted: false, ..now }),
        "what is held back must not stay good"
    );
}

proptest! {
    /// Of any commands in any order, each nonce is obeyed at most once in a session.
    #[test]
    fn no_command_is_obeyed_twice(nonces in prop::collection::vec(0u8..10, 1..50), late in prop::collection::vec(any::<bool>(), 50)) {
        let (site, mut inbox) = (Site::new(), inbox());
        let mut obeyed = std::collections::BTreeSet::new();
        for (nonce, late) in nonces.into_iter().zip(late) {
            let unlock = Command { nonce: Nonce([nonce; 16]), ..command("op", Role::Operator, UNLOCK) };
            let now = if late { NOW.after(60_000) } else { NOW };
            let expected = if obeyed.contains(&nonce) { Err(Cause::Replayed) } else if late { Err(Cause::Late) } else { Ok(()) };
            prop_assert_eq!(accept(&site, &mut inbox, &unlock, now), expected);
            if !late {
                obeyed.insert(nonce);
            }
        }
    }
}
