//! What is pushed from an operator's machine, and how doors are seen from there.

use std::{sync::mpsc::channel, time::Duration};

use facegate::fleet::tls;
use rumqttc::{Client, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use serde_json::{Value, json};

use super::{
    broker::SITE,
    site::{Site, settings},
};
use crate::support::{
    daemon::{Board, eventually},
    photo_path,
};

/// A site with two doors; before the first stands somebody.
fn doors() -> (Site, [Board; 2]) {
    let site = Site::new();
    let mut front = Board::with_door(&[photo_path("biden.jpg")]);
    site.join(&mut front, "front", "door");
    // The face is small in the camera's picture.
    front.set("api.recognition.quality", toml::toml! { eye_distance_px = 5.0 score = 0.0 sharpness = 0.0 });
    let back = site.board("back");
    (site, [front, back])
}

fn online(site: &Site, device: &str) {
    eventually("the door is online", || {
        site.console().status(&device.parse().expect("a name")).is_ok_and(|status| status.online).then_some(())
    });
}

/// The line of `facegate fleet status` about a device.
fn status(site: &Site, device: &str) -> Value {
    let said = site.office.run(&["fleet", "status", "--json"]).json();
    said.into_iter().find(|line| line["device"] == device).expect("a device that is known")
}

#[test]
fn rules_are_pushed_to_all_doors_by_one_and_whoever_is_enrolled_is_put_in_groups() {
    let (site, boards) = doors();
    let [front, back] = boards.each_ref().map(|board| board.start());
    front.ready();
    online(&site, "front");
    // More than one part.
    let groups: Vec<_> = (0..800).map(|n| json!({ "name": format!("group-number-{n}") })).collect();
    let subjects = json!([{ "id": "anna", "groups": ["group-number-3"] }]);
    let rules = json!({ "groups": groups, "subjects": subjects }).to_string();
    assert!(rules.len() > 20 << 10);
    let file = site.office.write("rules.json", rules).display().to_string();
    let push = ["fleet", "push-rules", "front", &file, "--tenant", "main"];
    site.office.run(&push).must(0, &["are replaced"]);
    let shown = |board: &Board, kind: &str, name: &str| {
        board.run(&["access", "show", kind, name, "--tenant", "main", "--json"]).out
    };
    eventually("the rules are at the other door", || {
        (shown(&boards[1], "group", "group-number-799").contains("group-number-799")
            && shown(&boards[1], "subject", "anna").contains("group-number-3"))
        .then_some(())
    });
    // Wrong ones change nothing.
    let wrong = site.office.write("wrong.json", r#"{"subjects":[{"id":"anna","groups":["nobody"]}]}"#);
    let wrong = wrong.display().to_string();
    site.office.run(&["fleet", "push-rules", "front", &wrong, "--tenant", "main"]).must(1, &["failed", "nobody"]);
    assert!(shown(&boards[0], "subject", "anna").contains("group-number-3"));

    let enrol = |groups: &[&str]| {
        let mut args = vec!["fleet", "enrol", "front", "--tenant", "main", "--subject", "biden"];
        groups.iter().for_each(|group| args.extend(["--group", group]));
        site.office.run(&args)
    };
    enrol(&["group-number-7", "nobody"]).must(1, &["has no group 'nobody'"]);
    assert!(boards[0].run(&["list", "--tenant", "main", "--json"]).json().is_empty(), "nobody is enrolled");
    enrol(&["group-number-7", "group-number-8"])
        .must(0, &["enrolled as embedding", "in group-number-7, group-number-8"]);
    eventually("the groups are at the other door", || {
        shown(&boards[1], "subject", "biden").contains("group-number-8").then_some(())
    });
    drop((front, back));
}

#[test]
fn the_fleet_sees_which_door_stands_open_and_what_sounds_and_home_assistant_finds_all_of_it() {
    let (site, [mut front, _]) = doors();
    front.set("door.0.inputs.contact", toml::toml! { kind = "simulated" level = "contact" debounce_ms = 0 });
    front.set("fleet.home_assistant", toml::Table::new());
    front.write("contact", "0");
    let daemon = front.start();
    eventually("the contact tells", || {
        let door = &status(&site, "front")["status"]["doors"][0];
        (door["open"] == false && door.get("alarms").is_none()).then_some(())
    });
    front.write("contact", "1");
    eventually("it was forced open", || {
        let door = &status(&site, "front")["status"]["doors"][0];
        (door["open"] == true && door["alarms"] == json!(["forced_open"])).then_some(())
    });
    site.office.run(&["fleet", "status"]).must(0, &["open", "alarm: forced open"]);

    // As Home Assistant does, and as a device of the site whose name the message does not have.
    let (client, mut connection) = client(&site, &site.office, "office");
    client.subscribe("homeassistant/#", QoS::AtLeastOnce).expect("room");
    // Another device's: the broker's access list keeps it out.
    let foreign = "homeassistant/device/facegate_hq/front/config";
    client.publish(foreign, QoS::AtLeastOnce, false, "{}").expect("room");
    let (say, said) = channel();
    std::thread::spawn(move || {
        while let Ok(Ok(event)) = connection.recv_timeout(Duration::from_secs(20)) {
            if let Event::Incoming(Packet::Publish(publish)) = event
                && say.send((publish.topic, publish.payload.to_vec())).is_err()
            {
                return;
            }
        }
    });
    let (topic, payload) = said.recv_timeout(Duration::from_secs(20)).expect("a message");
    assert_eq!(topic, foreign);
    let message: Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(message["device"]["identifiers"], json!([format!("facegate_{SITE}_front")]));
    let entities = message["components"].as_object().expect("an object");
    assert!(entities.values().any(|entity| entity["device_class"] == "door"), "the door has a contact");
    assert!(said.recv_timeout(Duration::from_secs(2)).is_err(), "nobody else may write there");
    drop(daemon);
}

/// A client of the broker's, with the certificate of a board.
fn client(site: &Site, board: &Board, device: &str) -> (Client, rumqttc::Connection) {
    let settings = settings(board, device, site.broker.port);
    let id = format!("{device}-{:08x}", rand::random::<u32>());
    let mut options = MqttOptions::new(id, "localhost", site.broker.port);
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls(&settings).expect("certificates"))));
    options.set_max_packet_size(1 << 20, 1 << 20);
    Client::new(options, 16)
}

/// Publishes one message, and waits until the broker has it.
fn publish(site: &Site, board: &Board, device: &str, topic: &str, payload: &str, retain: bool) {
    let (client, mut connection) = client(site, board, device);
    client.publish(topic, QoS::AtLeastOnce, retain, payload).expect("room");
    while let Ok(event) = connection.recv_timeout(Duration::from_secs(20)) {
        if matches!(event, Ok(Event::Incoming(Packet::PubAck(_)))) {
            return;
        }
    }
    panic!("the broker does not answer");
}

#[test]
fn a_bridge_orders_what_home_assistant_alone_asks_for_and_nothing_that_was_kept() {
    let (site, [front, _]) = doors();
    let [mut bridge, mut home] = [Board::new(), Board::new()];
    site.join(&mut bridge, "bridge", "operator");
    site.join(&mut home, "home-assistant", "observer");
    home.run(&["fleet", "bridge"]).must(77, &["may not command doors", "--role operator"]);
    let daemon = front.start();
    daemon.ready();
    online(&site, "front");
    let mut command = bridge.command(&["fleet", "bridge"]);
    let mut running = command.stdout(std::process::Stdio::null()).spawn().expect("the program starts");
    let (reader, mut connection) = client(&site, &home, "home-assistant");
    reader.subscribe("homeassistant/device/facegate_hq/bridge/config", QoS::AtLeastOnce).expect("room");
    let lock = eventually("a lock", || match connection.recv_timeout(Duration::from_secs(1)) {
        Ok(Ok(Event::Incoming(Packet::Publish(publish)))) => {
            let message: Value = serde_json::from_slice(&publish.payload).expect("JSON");
            message["components"].as_object().expect("an object").values().next().cloned()
        }
        _ => None,
    });
    let topic = lock["command_topic"].as_str().expect("a topic");
    let opened = || front.edges("front").iter().filter(|edge| edge.energised).count();
    assert_eq!(opened(), 0);
    // Whoever else is of the site may not write there, and what the broker keeps is nobody's wish.
    publish(&site, &site.office, "office", topic, "UNLOCK", false);
    publish(&site, &home, "home-assistant", topic, "nonsense", false);
    let _ = running.kill();
    let _ = running.wait();
    publish(&site, &home, "home-assistant", topic, "UNLOCK", false);
    publish(&site, &home, "home-assistant", topic, "UNLOCK", true);
    let mut running = command.spawn().expect("the program starts");
    eventually("the bridge is there again", || (status(&site, "bridge")["online"] == true).then_some(()));
    publish(&site, &home, "home-assistant", topic, "", true);
    assert_eq!(opened(), 0);
    eventually("the door opens", || {
        publish(&site, &home, "home-assistant", topic, "UNLOCK", false);
        (opened() > 0).then_some(())
    });
    eventually("the journal says who it was", || {
        front.journal().iter().any(|entry| entry["order"] == "unlock" && entry["by"] == "device bridge").then_some(())
    });
    let _ = running.kill();
    let _ = running.wait();
    drop(daemon);
}

#[test]
fn a_check_finds_what_keeps_a_device_from_its_fleet_and_says_what_to_do() {
    let mut site = Site::new();
    let mut board = site.board("front");
    board.run(&["check"]).must(0, &["front of the site hq", "is valid until", "takes this device"]);
    site.broker.stop();
    board.run(&["check"]).must(1, &["does not take this device", "that the broker runs"]);
    site.broker.resume();
    let chmod = |name: &str, mode: &str| {
        let path = board.path(name);
        assert!(std::process::Command::new("chmod").arg(mode).arg(path).status().expect("chmod").success());
    };
    chmod("fleet/tls.key", "644");
    board.run(&["check"]).must(1, &["others can read", "chmod 600"]);
    chmod("fleet/tls.key", "600");
    chmod("fleet/device.key", "644");
    board.run(&["check"]).must(1, &["others can read", "chmod 600"]);
    chmod("fleet/device.key", "600");
    std::fs::remove_file(board.path("fleet/tls.pem")).expect("it was there");
    board.run(&["check"]).must(1, &["tls.pem cannot be read", "facegate fleet join"]);
    board.set("fleet.device", "back");
    board.run(&["check"]).must(1, &["the voucher is not the site hq's for the device back"]);
}
