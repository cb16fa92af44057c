use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// One of each, with everything that can be said of it somewhere.
fn every_fault() -> Vec<Fault> {
    vec![
        Fault::refuse_sasl(3).on_connection(2),
        Fault::refuse_open("amqp:connection:forced", "closed today"),
        Fault::refuse_begin("amqp:not-allowed", "no").times(3),
        Fault::refuse_attach("amqp:not-found", "a \"quoted\" \\ word").on_link("telemetry/Partitions/0"),
        Fault::refuse_put_token(503, "later").on_hub("telemetry"),
        Fault::delay(Stage::Sasl, SECOND),
        Fault::delay(Stage::Open, SECOND * 90).always(),
        Fault::delay(Stage::Begin, SECOND),
        Fault::delay(Stage::Attach, SECOND).on_link("$cbs").nth(2),
        Fault::delay(Stage::PutToken, SECOND / 8),
        Fault::delay_outcomes(SECOND / 500),
        Fault::delay_outcomes(SECOND).times(1),
        Fault::withhold_credit().lasting(SECOND * 3_601),
        Fault::reject("", "").nth(2),
        Fault::release().lasting(SECOND),
        Fault::modify(),
        Fault::never_settle().times(u64::MAX),
        Fault::lose(),
        Fault::server_busy().lasting(SECOND).starting_in(SECOND * 30),
        Fault::out_of_order(),
        Fault::detach("amqp:link:detach-forced", "#5").after_deliveries(3).always(),
        Fault::end("amqp:internal-error", "ü"),
        Fault::close("amqp:connection:forced", "x").starting_in(SECOND / 3),
        Fault::cut_after_bytes(500).on_hub("a b"),
        Fault::cut_after_bytes_read(0).after_deliveries(1),
        Fault::silence().after_deliveries(2).lasting(SECOND),
        Fault::byte_by_byte(),
    ]
}

#[test]
fn what_is_written_is_read_again() {
    for fault in every_fault() {
        assert_eq!(fault.to_string().parse(), Ok(fault.clone()), "{fault}");
    }
    let script: Vec<String> = every_fault().iter().map(Fault::to_string).collect();
    assert_eq!(Fault::script(&script.join("\n")), Ok(every_fault()));
}

#[test]
fn every_name_is_a_fault() {
    for name in NAMES.split(", ") {
        let by = if name.starts_with("delay-") { " by=1s" } else { "" };
        let fault: Fault = format!("{name}{by}").parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(fault.to_string().starts_with(name), "{fault}");
        assert!(every_fault().iter().any(|one| one.to_string().starts_with(name)), "{name} is tried");
    }
}

#[test]
fn the_page_tells_of_every_fault() {
    let page = include_str!("../../../../docs/emulator.md");
    let (_, section) = page.split_once("## Faults\n").expect("the section");
    for name in NAMES.split(", ") {
        assert!(section.contains(&format!("`{name}`")), "{name}");
    }
    let (_, script) = section.split_once("# bad-day.txt").expect("the example");
    let (script, _) = script.split_once("```").expect("its end");
    assert_eq!(Fault::script(&format!("#{script}")).map(|faults| faults.len()), Ok(3));
}

#[test]
fn a_line_says_what_where_and_when() {
    for (line, fault) in [
        ("reject nth=2 condition=amqp:not-allowed", Fault::reject("amqp:not-allowed", "").nth(2)),
        ("  lose\t# the first one", Fault::lose()),
        (r##"detach text="a # b""##, Fault::detach("amqp:link:detach-forced", "a # b")),
        ("server-busy for=5s at=\"1m 30s\"", Fault::server_busy().lasting(SECOND * 5).starting_in(SECOND * 90)),
        ("cut", Fault::cut_after_bytes(0)),
        ("silence connection=2", Fault::silence().on_connection(2)),
        ("release times=always", Fault::release().always()),
    ] {
        assert_eq!(line.parse(), Ok(fault), "{line}");
    }
}

#[test]
fn what_is_no_fault_is_told_by_the_word_that_is_wrong() {
    for (line, words) in [
        ("", "say what goes wrong first"),
        ("# nothing", "say what goes wrong first"),
        ("explode", "\"explode\" is no fault; begin with one of refuse-sasl, refuse-open"),
        ("reject second", "\"second\": expected KEY=VALUE"),
        (
            "reject when=2",
            "reject takes no \"when\"; it takes condition, text, connection, hub, link, nth, times, for, at",
        ),
        (
            "refuse-open hub=a",
            "refuse-open takes no \"hub\"; it takes condition, text, connection, nth, times, for, at",
        ),
        (
            "detach nth=2",
            "detach takes no \"nth\"; it takes condition, text, connection, hub, link, after-deliveries, at",
        ),
        ("detach for=2s", "detach takes no \"for\""),
        ("silence times=2", "silence takes no \"times\"; it takes connection, hub, link, after-deliveries, for, at"),
        ("reject nth=0", "nth=\"0\": expected a whole number from 1"),
        ("reject nth=2 nth=3", "\"nth\" stands beside \"nth\"; leave one of them out"),
        ("reject times=2 for=1s", "\"times\" stands beside \"for\"; leave one of them out"),
        ("reject times=0", "times=\"0\": expected a whole number from 1, or `always`"),
        ("reject condition=", "condition=\"\": expected 1 to 80 ASCII characters"),
        ("reject condition=\"a b\"", "condition=\"a b\": expected 1 to 80 ASCII characters"),
        ("reject hub=a link=b", "\"hub\" stands beside \"link\""),
        ("cut written=1 read=1", "\"written\" stands beside \"read\""),
        ("cut written=-1", "written=\"-1\": expected a whole number of bytes"),
        ("refuse-sasl code=5", "code=\"5\": expected 1 (auth), 2 (sys), 3 (sys-perm) or 4 (sys-temp)"),
        ("refuse-put-token status=200", "status=\"200\": expected a status from 300 to 599"),
        ("delay-attach", "delay-attach needs by=, e.g. by=2s"),
        ("delay-attach by=2", "by=\"2\": expected a time such as 2ms, 30s or 5m"),
        ("reject text=\"a", "a quote has no end"),
    ] {
        let error = line.parse::<Fault>().expect_err(line).to_string();
        assert!(error.contains(words), "{line}: {error}");
    }
}

#[test]
fn a_script_is_refused_by_line() {
    let error = Fault::script("# one\n\nlose\nexplode # two\n").unwrap_err();
    assert_eq!(error.line, 4);
    assert!(error.to_string().starts_with("line 4: \"explode\" is no fault"), "{error}");
}

#[test]
fn what_can_not_be_written_in_a_line_is_not_kept() {
    let fault = Fault::close("am qp:\u{fc}x\n", "two\nlines").on_hub("a\nb");
    assert_eq!(fault.to_string(), r#"close condition=amqp:x text="two lines" hub="a b""#);
}

/// Lines that are nearly faults.
const NEARLY: &str =
    "(reject|cut|silence|detach|close)?( ?(nth|text|for|hub|at|read)=(\"[^\"]{0,8}\"|[0-9a-z\\\\\"#]{0,6})){0,4}";

proptest::proptest! {
    #[test]
    fn no_line_makes_it_panic_and_what_it_takes_comes_back(line in NEARLY) {
        if let Ok(fault) = line.parse::<Fault>() {
            proptest::prop_assert_eq!(fault.to_string().parse(), Ok(fault));
        }
    }
}
