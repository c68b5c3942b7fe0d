use proptest::prelude::*;

use super::*;

#[test]
fn what_is_written_is_read_back() {
    let rules = rules(OFFICE);
    let json = serde_json::to_string(&rules).expect("it has a form in JSON");
    assert_eq!(serde_json::from_str::<Rules>(&json).expect("its own form"), rules);
    book(&rules);
}

#[test]
fn times_and_days_have_one_form() {
    for good in ["00:00", "08:30", "23:59", "24:00"] {
        assert_eq!(TimeOfDay::try_from(good.to_owned()).expect(good).to_string(), good);
    }
    for bad in ["", "8:00", "08:60", "24:01", "25:00", "08.00", "+8:00", "08:00:00", "0８:00", "-1:00"] {
        assert!(TimeOfDay::try_from(bad.to_owned()).expect_err(bad).contains("00:00 to 24:00"));
    }
    for good in ["2026-12-25", "12-25", "02-29", "2028-02-29"] {
        assert_eq!(Day::try_from(good.to_owned()).expect(good).to_string(), good);
    }
    for bad in
        ["", "2026-02-29", "02-30", "13-01", "25.12.", "2026-1-1", "1-1", "26-12-25", "2026-12-25T00", "+026-12-25"]
    {
        assert!(Day::try_from(bad.to_owned()).expect_err(bad).contains("12-25 for every year"), "{bad}");
    }
}

#[test]
fn keys_that_are_not_known_are_refused_by_name() {
    for (json, word) in [
        (r#"{"group": []}"#, "group"),
        (r#"{"groups": [{"name": "a", "door": []}]}"#, "door"),
        (r#"{"subjects": [{"id": "a", "valid_til": null}]}"#, "valid_til"),
        (
            r#"{"schedules": [{"name": "a", "zone": "UTC", "week": [{"days": ["monday"], "from": "08:00", "to": "09:00"}]}]}"#,
            "monday",
        ),
        (r#"{"areas": [{"name": "a", "anti_passback": "strict"}]}"#, "strict"),
    ] {
        let error = serde_json::from_str::<Rules>(json).expect_err(json).to_string();
        assert!(error.contains(word), "{json}: {error}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(text in "\\PC{0,12}") {
        let _ = TimeOfDay::try_from(text.clone());
        let _ = Day::try_from(text.clone());
        let _ = serde_json::from_str::<Rules>(&text);
    }

    #[test]
    fn times_come_back(minutes in 0u16..=1_440) {
        let time = TimeOfDay::from_minutes(minutes).unwrap();
        prop_assert_eq!(TimeOfDay::try_from(time.to_string()), Ok(time));
    }
}
