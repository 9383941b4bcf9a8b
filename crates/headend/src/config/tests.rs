use std::path::Path;

use super::{Address, Enroll, Gravity, Loaded, LogFormat, Sources, example, explain, load};

/// Loads `text` as a file, with variables and assignments.
fn loaded(text: &str, environment: &[(&str, &str)], set: &[&str]) -> Loaded {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("loggerhead.toml");
    std::fs::write(&file, text).expect("a file");
    load_file(&file, environment, set)
}

fn load_file(file: &Path, environment: &[(&str, &str)], set: &[&str]) -> Loaded {
    load(&Sources {
        file: Some(file.to_owned()),
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        set: set.iter().map(|&assignment| assignment.to_owned()).collect(),
        data_dir: None,
    })
}

/// Everything that is wrong, without the folder of the test.
fn errors(loaded: &Loaded) -> Vec<String> {
    let wrong = loaded.problems.iter().filter(|problem| problem.gravity == Gravity::Error);
    wrong
        .map(ToString::to_string)
        .map(|text| text.split("/loggerhead.toml:").last().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn without_anything_there_is_one_listener_and_nobody_is_let_in() {
    let loaded = loaded("", &[], &[]);
    assert_eq!(errors(&loaded), Vec::<String>::new());
    let listener = loaded.config.listeners.first().expect("a listener");
    assert_eq!((listener.protocol.as_str(), listener.enroll), ("logger", Enroll::Refuse));
    assert_eq!(listener.addresses, [Address::Tcp(([0, 0, 0, 0], 36829).into())]);
}

#[test]
fn every_problem_is_named_at_once_with_its_line() {
    let text = "dta_dir = \"x\"\n[store]\nframes = \"yes\"\n[store.retention]\nframes_days = -1\n[log]\nformat = \"jsn\"\n[[listener]]\naddress = [\"nowhere\"]\nenrol = \"refuse\"\n";
    let found = errors(&loaded(text, &[], &[]));
    let expected = [
        "1: dta_dir: there is no such key; did you mean \"data_dir\"?",
        "3: store.frames: \"yes\" cannot be; it takes true or false",
        "5: store.retention.frames_days: -1 cannot be; it takes a whole number from 0 to 36500",
        "7: log.format: \"jsn\" is none of text, json; did you mean \"json\"?",
        "9: listener[0].address: \"nowhere\" is no address: write 127.0.0.1:36829, [::1]:36829, localhost:36829, unix:/path, unix:@name, fd:NAME or call:192.0.2.7:7000",
        "10: listener[0].enrol: there is no such key; did you mean \"enroll\"?",
    ];
    assert_eq!(found, expected);
}

#[test]
fn every_problem_of_a_protocols_own_settings_is_named_at_once_with_its_line_and_the_nearest_word() {
    let text = "[[listener]]\n[listener.logger]\ndialct = \"national\"\ncrc = \"lern\"\ngap_ms = 20000\naes_keys = [\n  \"IJKL\",\n  \"text:0000000000123456\",\n  { key = \"text:0000000000123456\", iv = \"text:1\" },\n]\naes_iv = \"text:1\"\n[[device]]\nidentity = \"b/1\"\n[device.logger]\naes_key = \"text:IJKL\"\naes_iv = \"text:IJKL\"\nidle_s = true\nresult = \"x\"\nheartbeat_answer = \"x\"\n[[listener]]\nprotocol = \"mqtt\"\n[listener.mqtt]\npacket_byte_max = 1\nreceive_max = 0\n";
    let expected = [
        "3: listener[0].logger.dialct: there is no such key; did you mean \"dialect\"?",
        "4: listener[0].logger.crc: \"lern\" is none of learn, off, a1, a2, a3, a4; did you mean \"learn\"?",
        "5: listener[0].logger.gap_ms: 20000 is over 10000",
        "7: listener[0].logger.aes_keys[0]: written without `text:` or `hex:` in front",
        "9: listener[0].logger.aes_keys[2].iv: 1 bytes, 16 needed: write text:<16 characters> or hex:<32 digits>",
        "11: listener[0].logger.aes_iv: belongs to a device; a listener has a list: aes_keys = [..]",
        "15: device.b/1.logger.aes_key: 4 bytes, 16 needed: write text:<16 characters> or hex:<32 digits>",
        "17: device.b/1.logger.idle_s: wrong type, expected f64",
        "18: device.b/1.logger.result: \"x\" is none of with-time, alone",
        "19: device.b/1.logger.heartbeat_answer: \"x\" is none of by-id, time, heart-result",
        "23: listener.mqtt.mqtt.packet_byte_max: there is no such key; did you mean \"packet_bytes_max\"?",
        "24: listener.mqtt.mqtt.receive_max: takes 1 to 65535",
    ];
    assert_eq!(errors(&loaded(text, &[], &[])), expected);
}

#[test]
fn every_key_can_be_set_from_the_environment_also_lists_and_tables() {
    let environment = [
        ("LOGGERHEAD_LISTENER", "[{ name = \"North-1\", address = \"127.0.0.1:0\" }, { protocol = \"mqtt\" }]"),
        ("LOGGERHEAD_LISTENER__NORTH_1__SECRETS", "text:IJKL,hex:4d4e"),
        ("LOGGERHEAD_LISTENER__NORTH_1__LOGGER__AES_KEYS", "[\"text:0000000000123456\"]"),
        ("LOGGERHEAD_LISTENER__MQTT__MQTT__PUBLISH", "[\"a/#\"]"),
        ("LOGGERHEAD_DEVICE", "[{ identity = \"b/1\", secret = \"text:IJKL\" }]"),
        ("LOGGERHEAD_DEVICE__B_1__LOGGER", "{ crc = \"off\" }"),
        ("LOGGERHEAD_STORE__RETENTION", "{ frames_days = 7, readings_days = 8 }"),
        ("LOGGERHEAD_WEB__ADDRESS", "off"),
    ];
    let loaded = loaded("", &environment, &["store.retention.readings_days=9"]);
    assert_eq!(errors(&loaded), Vec::<String>::new());
    let config = &loaded.config;
    let [north, mqtt] = config.listeners.as_slice() else { panic!("{:?}", config.listeners) };
    assert_eq!((north.secrets.len(), north.settings.contains_key("aes_keys")), (2, true));
    assert!(mqtt.settings.contains_key("publish"));
    assert!(config.devices.first().is_some_and(|device| device.settings.contains_key("crc")));
    let days = |days: u64| Some(std::time::Duration::from_hours(24 * days));
    assert_eq!((config.retention.frames, config.retention.readings), (days(7), days(9)));
}

#[test]
fn a_variable_that_is_no_key_is_refused_unless_a_container_manager_sets_it() {
    let environment = [
        ("LOGGERHEAD_STOPS", "1"),
        ("LOGGERHEAD_LISTENER", "[1"),
        ("LOGGERHEAD_SERVICE_PORT_DEVICES", "36829"),
        ("LOGGERHEAD_PORT_36829_TCP_ADDR", "10.0.0.1"),
    ];
    let found = errors(&loaded("", &environment, &[]));
    assert_eq!(
        found,
        [
            "error: environment LOGGERHEAD_STOPS: stops: there is no such key; did you mean \"stop_s\"?",
            "error: environment LOGGERHEAD_LISTENER: listener: takes a list of tables: [{ KEY = VALUE, .. }]",
        ]
    );
}

#[test]
fn the_console_is_served_on_this_host_only_unless_its_passwords_are_safe() {
    let served = |text: &str| {
        let loaded = loaded(text, &[], &[]);
        assert_eq!(errors(&loaded), Vec::<String>::new(), "{text}");
        loaded.config.web.addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(served(""), ["127.0.0.1:8080"]);
    assert_eq!(served("[web]\naddress = \"off\""), Vec::<String>::new());
    assert_eq!(served("[web]\naddress = \"\""), Vec::<String>::new());
    assert_eq!(served("[web]\naddress = [\"[::1]:1\", \"127.0.0.2:2\"]"), ["[::1]:1", "127.0.0.2:2"]);
    assert_eq!(served("[web]\naddress = \"0.0.0.0:80\"\nbehind_proxy = true"), ["0.0.0.0:80"]);
    let found = errors(&loaded("[web]\naddress = \"0.0.0.0:80\"\n", &[], &[]));
    let [error] = found.as_slice() else { panic!("{found:?}") };
    assert!(error.contains("web.tls.certificate") && error.contains("web.behind_proxy"), "{error}");
    let found = errors(&loaded("[web]\naddress = \"localhost\"\n", &[], &[]));
    assert_eq!(found, ["2: web.address: \"localhost\" is no address: write 127.0.0.1:8080, [::1]:8080 or off"]);
}

#[test]
fn datagrams_go_where_a_protocol_takes_them_and_never_below_tls() {
    let line = "[[listener]]\nprotocol = \"line\"\naddress = [\"udp:[::1]:2020\", \"[::1]:2020\"]\n";
    let found = loaded(line, &[], &[]);
    let shown: Vec<_> =
        found.config.listeners.first().expect("a listener").addresses.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["udp:[::1]:2020", "[::1]:2020"]);
    let found = errors(&loaded("[[listener]]\naddress = [\"udp:[::1]:2020\"]\n", &[], &[]));
    assert!(found[0].starts_with("2: listener[0].address: \"udp:[::1]:2020\" is no address"), "{found:?}");
    let found = errors(&loaded(&format!("{line}[listener.tls]\n"), &[], &[]));
    assert!(found.iter().any(|text| text.ends_with("address: udp has no TLS")), "{found:?}");
}

#[test]
fn what_is_not_toml_is_named_with_its_line() {
    let found = errors(&loaded("a = 1\nb = = 2\n", &[], &[]));
    assert!(found.iter().any(|text| text.starts_with("2: ")), "{found:?}");
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let text = "stop_s = 1\n[log]\nformat = \"text\"\n[store]\nframes = true\n[[listener]]\nname = \"North-1\"\n";
    let environment = [
        ("LOGGERHEAD_STOP_S", "2"),
        ("LOGGERHEAD_LOG__FORMAT", "json"),
        ("LOGGERHEAD_LISTENER__NORTH_1__ENROLL", "pending"),
        ("LOGGERHEAD_SERVICE_HOST", "10.0.0.1"),
        ("HOME", "/root"),
    ];
    let set = ["stop_s=3", "store.frames=false", "listener.North-1.address=127.0.0.1:0,unix:/tmp/x"];
    let loaded = loaded(text, &environment, &set);
    assert_eq!(errors(&loaded), Vec::<String>::new());
    let config = &loaded.config;
    assert_eq!((config.stop_within.as_secs(), config.log.format), (3, LogFormat::Json));
    let listener = config.listeners.first().expect("the listener");
    assert_eq!((listener.enroll, listener.addresses.len()), (Enroll::Pending, 2));
    let warned = |problem: &super::Problem| problem.to_string().contains("LOGGERHEAD_SERVICE_HOST");
    assert!(loaded.problems.iter().any(warned), "a variable that is no key is told of, and nothing more");
}

#[test]
fn an_override_without_its_key_is_refused() {
    let found = errors(&loaded("", &[("LOGGERHEAD_STORE__FRAME", "1")], &["listener.nord.enroll=accept", "frames"]));
    assert_eq!(
        found,
        [
            "error: environment LOGGERHEAD_STORE__FRAME: store.frame: there is no such key; did you mean \"frames\"?",
            "error: command line: listener.nord.enroll: no listener is called \"nord\"; there are logger",
            "error: command line: frames: --set takes KEY=VALUE, such as --set store.frames=false",
        ]
    );
}

#[test]
fn a_secret_is_never_printed() {
    let text = "[[listener]]\nsecrets = [\"text:IJKLMNOP\", \"IJKLMNOP\"]\n[[device]]\nidentity = \"b/1\"\nsecret = \"text:IJKLMNOP\"\n[device.logger]\naes_key = \"text:0000000000IJKLMN\"\n";
    let loaded = loaded(text, &[], &[]);
    let all = format!("{loaded:?}{}{:?}", explain(&loaded), errors(&loaded));
    assert!(!all.contains("IJKL"), "{all}");
    assert_eq!(errors(&loaded).len(), 1, "the secret without its word");
}

#[test]
fn two_of_one_name_are_refused() {
    let text = "[[device]]\nid = \"a\"\nidentity = \"b/1\"\n[[device]]\nid = \"a\"\nidentity = \"b/1\"\n[[listener]]\n[[listener]]\n";
    assert_eq!(errors(&loaded(text, &[], &[])).len(), 4);
}

#[test]
fn a_folder_beside_the_file_adds_devices_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("loggerhead.toml");
    std::fs::create_dir(folder.path().join("conf.d")).expect("a folder");
    std::fs::write(&file, "[[device]]\nidentity = \"b/1\"\n").expect("a file");
    std::fs::write(folder.path().join("conf.d/1.toml"), "stop_s = 1\n[[device]]\nidentity = \"b/2\"\n")
        .expect("a file");
    let loaded = load_file(&file, &[], &[]);
    assert_eq!(loaded.config.devices.len(), 2);
    assert_eq!(errors(&loaded).len(), 1, "{:?}", errors(&loaded));
}

#[test]
fn the_example_says_every_default_and_nothing_wrong() {
    let (with, without) = (loaded(&example(), &[], &[]), loaded("[[listener]]\n", &[], &[]));
    assert_eq!(errors(&with), Vec::<String>::new());
    assert_eq!(with.config, without.config);
}

#[test]
fn every_commented_key_of_the_example_is_one() {
    let mut text = String::new();
    for line in example().lines() {
        let quiet = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line);
        text.push_str(quiet);
        text.push('\n');
    }
    let found = errors(&loaded(&text, &[], &[]));
    assert!(!found.iter().any(|text| text.contains("no such key") || text.contains("cannot be;")), "{found:#?}");
}

#[test]
fn a_robots_own_file_is_taken_as_it_is_and_one_that_is_not_there_is_one_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let (robot, file) = (folder.path().join("XmlTransmit.xml"), folder.path().join("loggerhead.toml"));
    let xml =
        "<ETHERNETKRL><!-- Gr\u{f6}\u{df}e --><SEND><XML><ELEMENT Tag=\"Robot/Mode\"/></XML></SEND></ETHERNETKRL>";
    let text =
        format!("[[listener]]\nprotocol = \"kuka\"\n[listener.kuka]\nconfiguration = \"file:{}\"\n", robot.display());
    std::fs::write(&file, text).expect("a file");
    let problems = |loaded: &Loaded| loaded.problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let missing = problems(&load_file(&file, &[], &[]));
    assert!(matches!(missing.as_slice(), [one] if one.contains("No such file")), "{missing:?}");
    // As an editor for ISO 8859-1 writes it; everybody may read it, for it is no secret.
    let latin: Vec<u8> = xml.chars().map(|sign| u8::try_from(sign).expect("a sign of ISO 8859-1")).collect();
    std::fs::write(&robot, latin).expect("a file");
    assert_eq!(problems(&load_file(&file, &[], &[])), Vec::<String>::new());
}
