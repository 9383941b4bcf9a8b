//! Every message in every dialect comes back as it went out, and everything that devices get wrong is understood.

use bytes::BytesMut;
use loggerhead_model::{ControlLine, KeyKind, Origin, Quality, Reading, Report, ReportBuilder, Timestamp, Value};
use proptest::prelude::*;

use super::cipher::{Key, Padding};
use super::crc::CrcVariant;
use super::decode::{DecodeRules, QualityRule, decode};
use super::dialect::{self, ALL_DIALECTS, Dialect};
use super::encode::{Sending, encode, encode_ack, encode_data};
use super::frame::{Cut, Cutter, FRAME_BYTES_MAX};
use super::message::{
    Ack, ControlResult, Data, DataHead, DataKind, Decoded, Envelope, IdStyle, Message, Outcome, Parser, Place, Talk,
    Word,
};
use super::text::plain;
use super::time::Zone;
use super::xml::Element;
use crate::pair::receipt;
use crate::{Fault, FaultKind};

/// What an answer may have at most, because some devices read no more at once.
const ANSWER_BYTES_MAX: usize = 1024;

fn key() -> Key {
    Key::new(*b"0000000000123456", *b"abcdefghijklmnop")
}

fn now() -> Timestamp {
    Timestamp::from_unix_ms(1_767_294_000_000)
}

fn rules() -> DecodeRules<'static> {
    DecodeRules { zone: Zone::default(), quality: QualityRule::default(), received_at: Timestamp::from_unix_ms(7) }
}

fn word(text: &str) -> Word {
    Word::new(text).expect("short")
}

fn envelope(style: IdStyle) -> Envelope<'static> {
    let gateway = if style == IdStyle::Single { "" } else { "01" };
    Envelope { style, building: "330302D110".into(), gateway: gateway.into() }
}

/// Cuts, deciphers and reads one frame.
fn read(bytes: &[u8]) -> (Envelope<'static>, Message) {
    let mut cutter = Cutter::new(None, FRAME_BYTES_MAX);
    cutter.push(bytes);
    let Some(Cut::Frame(mut frame)) = cutter.cut().expect("in step") else { panic!("a frame in {bytes:02x?}") };
    if frame.is_enciphered() {
        key().decipher(frame.body_mut()).expect("whole blocks");
    }
    let text = plain(frame.body()).expect("a text").text.into_owned();
    let Decoded { envelope, message } =
        decode(frame.dialect, frame.kind, &text, &rules()).unwrap_or_else(|fault| panic!("{fault}: {text}"));
    assert!(cutter.cut().expect("in step").is_none(), "nothing is left over");
    (envelope.into_owned(), message)
}

/// Every talk in a form that is written completely.
fn talks() -> Vec<Talk> {
    let device = Element {
        attributes: vec![("operation".to_owned(), "device".to_owned())],
        children: vec![Element::new("build_name", "A & B <1>"), Element::new("mac", "00:49:19:09:08:A5")],
        ..Element::new("device", "")
    };
    let archives = Element {
        attributes: vec![("attr".to_owned(), "1".to_owned())],
        children: vec![Element { children: vec![Element::new("period", "15")], ..Element::new("net_info", "") }],
        ..Element::new("instruction", "")
    };
    let line = ControlLine { meter: "3".to_owned(), hex: "68AA16".to_owned(), timeout_ms: 200, retries: 2 };
    let result = ControlResult {
        index: "1".to_owned(),
        meter: "3".to_owned(),
        error: "F0".to_owned(),
        answer: "68AA".to_owned(),
    };
    vec![
        Talk::Request,
        Talk::Sequence { sequence: "25247777".to_owned() },
        Talk::Md5 { md5: "cacdb0f3e18a4592886a2f8a7fea6ea5".to_owned() },
        Talk::LoginResult { outcome: Outcome::Pass, time: Some(now()) },
        Talk::LoginResult { outcome: Outcome::Fail, time: None },
        Talk::Notify { note: String::new() },
        Talk::Notify { note: "master".to_owned() },
        Talk::Time { time: Some(now()) },
        Talk::HeartResult,
        Talk::Query { from: None, to: None },
        Talk::Query { from: Some(now()), to: Some(now()) },
        Talk::Period { minutes: 15 },
        Talk::PeriodAck,
        Talk::AutoHistory,
        Talk::AutoHistoryAck,
        Talk::Device(device),
        Talk::DeviceAck,
        Talk::Archives,
        Talk::ArchivesAck(archives),
        Talk::Control(vec![line.clone(), line]),
        Talk::ControlAck(vec![result]),
        Talk::SetKey { kind: KeyKind::CipherIv, key: "0000000000123456".to_owned() },
        Talk::Standard { name: "setkey".to_owned(), code: -3 },
        Talk::Unknown { kind: "revert".to_owned(), body: Some(Element::new("revert", "1")) },
    ]
}

fn each_sending(mut work: impl FnMut(&Sending<'_>)) {
    let key = key();
    for dialect in ALL_DIALECTS {
        for style in [IdStyle::Building, IdStyle::Project, IdStyle::Single] {
            for (crc, padding) in CrcVariant::ALL.into_iter().zip(Padding::ALL) {
                let envelope = envelope(style);
                let mut sending = Sending::new(dialect, &envelope, Some(&key));
                (sending.crc, sending.padding, sending.sequence) = (crc, padding, [1, 2, 3, 4]);
                work(&sending);
            }
        }
    }
}

#[test]
fn every_talk_comes_back_in_every_dialect() {
    each_sending(|sending| {
        // Where orders to meters are lines, they name no sender; `meter_line.rs` reads them again.
        let is_line = |talk: &Talk| matches!(talk, Talk::Control(_) | Talk::ControlAck(_));
        for talk in talks().into_iter().filter(|talk| sending.dialect.meter_lines.is_none() || !is_line(talk)) {
            let mut out = BytesMut::new();
            encode(sending, &talk, &mut out).expect("a frame");
            assert!(out.len() < ANSWER_BYTES_MAX, "{talk:?} has {} bytes", out.len());
            let (envelope, message) = read(&out);
            assert_eq!(&envelope, sending.envelope);
            let Message::Talk(found) = message else { panic!("{talk:?} became {message:?}") };
            assert!(found == talk, "{talk:?} became {found:?} in {}", sending.dialect.name);
        }
    });
}

#[test]
fn every_ack_comes_back_in_every_dialect() {
    let acks = [
        Ack::Report,
        Ack::Continuous { number: None },
        Ack::Continuous { number: Some(462) },
        Ack::Energy { time: word("20170908010101"), text: word("OK") },
        Ack::Data { sequence: word("1024"), place: Place::Within },
        Ack::Data { sequence: word("1024"), place: Place::Last },
        Ack::RecordArrive,
    ];
    each_sending(|sending| {
        for ack in acks {
            let mut out = BytesMut::new();
            encode_ack(receipt(1), sending, &ack, &mut out).expect("a frame");
            assert!(out.len() < ANSWER_BYTES_MAX);
            let (envelope, message) = read(&out);
            assert_eq!(&envelope, sending.envelope);
            assert!(matches!(&message, Message::Ack(found) if *found == ack), "{ack:?} became {message:?}");
        }
    });
}

#[test]
fn the_longest_names_and_words_keep_answers_short() {
    let key = key();
    let longest =
        Envelope { style: IdStyle::Project, building: "塔".repeat(64).into(), gateway: "楼".repeat(64).into() };
    for dialect in ALL_DIALECTS {
        let sending = Sending::new(dialect, &longest, Some(&key));
        let mut out = BytesMut::new();
        let ack = Ack::Energy { time: word(&"9".repeat(31)), text: word(&"9".repeat(31)) };
        encode_ack(receipt(1), &sending, &ack, &mut out).expect("a frame");
        assert!(out.len() < ANSWER_BYTES_MAX, "{} bytes in {}", out.len(), dialect.name);
        assert_eq!(read(&out).0, longest);
    }
}

fn sample_report() -> Report {
    let mut builder = ReportBuilder::new(Origin::Live, 0, 0);
    let reading = |function, value, seconds: i64, attributes| Reading {
        meter: "",
        function,
        coding: "01A10",
        code: "192",
        quality: Quality::Good,
        measured_at: Timestamp::from_unix_ms(now().unix_ms() + seconds * 1000),
        value: Value::parse(value),
        attributes,
    };
    builder.meter("1", "name\tA & \"B\"\naddr\t000000000001").expect("room");
    builder.reading(&reading("1", "675.170000", 0, "")).expect("room");
    builder.reading(&reading("WPP", "-0.5", -60, "unit\tkWh")).expect("room");
    builder.reading(&reading("3", "data0", 0, "")).expect("room");
    builder.meter("empty", "").expect("room");
    builder.meter("塔2", "conn\tdisconn").expect("room");
    builder.reading(&reading("1", "", 0, "")).expect("room");
    builder.reading(&reading("2", "0", 0, "")).expect("room");
    builder.reading(&reading("3", "<&>", 0, "")).expect("room");
    builder.finish()
}

fn rows(report: &Report) -> Vec<(String, Vec<String>)> {
    let row = |reading: Reading<'_>| format!("{reading:?}");
    report.by_meter().map(|(meter, readings)| (format!("{meter:?}"), readings.map(row).collect())).collect()
}

#[test]
fn readings_come_back_in_every_dialect() {
    let report = sample_report();
    each_sending(|sending| {
        for (kind, origin) in [
            (DataKind::Report, Origin::Live),
            (DataKind::Continuous, Origin::Resumed),
            (DataKind::Reply, Origin::Queried),
        ] {
            let mut head = DataHead { sequence: word("1024"), parser: Parser::Yes, ..DataHead::new(kind, now()) };
            (head.total, head.current) = (Some(1277), Some(462));
            let mut out = BytesMut::new();
            encode_data(sending, &head, &report, &mut out).expect("a frame");
            let (_, message) = read(&out);
            let Message::Data(Data { head: found, report: found_report, saw_192, untimed }) = message else {
                panic!("{kind:?} became {message:?}");
            };
            assert_eq!(DataHead { time_text: Word::default(), ..found }, head);
            assert_eq!(found.time_text.as_str(), "20260102030000");
            assert_eq!(rows(&found_report), rows(&report));
            assert_eq!((found_report.origin, saw_192, untimed), (origin, true, 0));
        }
    });
}

/// Reads a text of the dialect and says in short what it means.
fn meaning(dialect: &Dialect, kind: u8, text: &str) -> Result<String, Fault> {
    let plain = plain(text.as_bytes())?;
    let Decoded { envelope, message } = decode(dialect, kind, &plain.text, &rules())?;
    Ok(match message {
        Message::Talk(talk) => format!("{envelope} {talk:?}"),
        Message::Ack(ack) => format!("{envelope} {ack:?}"),
        Message::Data(data) => {
            let reading = |reading: Reading<'_>| {
                let Reading { meter, function, code, quality, value, measured_at, attributes, .. } = reading;
                format!(" {meter}.{function}={value}[{code} {quality:?} {measured_at}]{attributes}")
            };
            let readings: Vec<_> = data.report.readings().map(reading).collect();
            format!("{envelope} {}{}", data.head.kind.word(), readings.concat())
        }
    })
}

fn check(text: &str, expected: &str) {
    let national = dialect::find("national").expect("a dialect");
    match meaning(national, 0, text) {
        Ok(found) => assert_eq!(found, expected, "{text}"),
        Err(fault) => assert_eq!(fault.to_string(), expected, "{text}"),
    }
}

/// A message of gateway `g` in building `b`.
fn of(word: &str, body: &str) -> String {
    format!(
        "<root><common><building_id>b</building_id><gateway_id>g</gateway_id><type>{word}</type></common>{body}</root>"
    )
}

#[test]
fn what_stands_around_and_before_the_root_is_passed_over() {
    let request = of("request", "<id_validate operation=\"request\"/>");
    for text in [
        request.clone(),
        format!("\n<?xml version=\"1.0\"?>{request}"),
        format!("\u{feff}\0 {request}\0\0\0"),
        format!(
            "<?xml version=\"1.0\" encoding=\"GB2312\" standalone='yes' ?>\r\n<!-- a -- > remark -->{request}000000"
        ),
    ] {
        check(&text, "b/g request");
    }
}

#[test]
fn malformed_tags_of_the_guideline_are_read() {
    check(
        &of("continuous_ack", "<data operation=\"continuous_ack\">< continuous_ack >7</ continuous_ack ></data>"),
        "b/g Continuous { number: Some(7) }",
    );
    check(&of("sequence", "<id_validate operation=\"sequence\"/><sequence>1</sequence></id_validate>"), "b/g sequence");
    check(&of("notify", "<heart_beat operation=\"notify\"/></heart_beat>"), "b/g Notify(\"\")");
    check(&of("period", "<config operation = 'period'><period>15</config>"), "b/g Period(15 min)");
    check(&of("period", "<CONFIG Operation=period ><Period> 15 </Period></CONFIG>"), "b/g Period(15 min)");
    let report = "<data operation=\"report\"/><time>20260102030000</time><meter id=\"1\"/><function id=\"2\">3</function></meter></data>";
    check(&of("report", report), "b/g report 1.2=3[ Good 2026-01-01T19:00:00Z]");
}

#[test]
fn type_and_body_may_disagree() {
    check(
        &of(" device_ack ", "<device operation=\" device_ack \"><device_ack>pass</device_ack></device>"),
        "b/g device_ack",
    );
    check(&of("request", "<id_validate operation=\"request/sequence/md5/result\"/>"), "b/g request");
    check(&of("md5", "<id_validate operation=\"request/sequence/md5/result\"><md5>1</md5></id_validate>"), "b/g md5");
    check(
        &of("continuous", "<data operation=\"query/reply/report/continuous/continuous_ack\"><total>1</total></data>"),
        "b/g continuous",
    );
    check(&of("notify", "<data operation=\"report\"><time>20260102030000</time></data>"), "b/g report");
    check(&of("request", ""), "b/g request");
    check(&of("report", ""), "b/g report");
    check(&of("report", "<data operation=\"report\"/>"), "b/g report");
    check(&of("notify", ""), "b/g Notify(\"\")");
    check(&of("blow_up", "<bomb/>"), "b/g Unknown(\"blow_up\")");
}

#[test]
fn order_of_elements_does_not_matter() {
    let meter = "<meter id=\"1\"><function id=\"2\">0x10</function></meter>";
    check(
        &format!(
            "<root><data operation=\"report\">{meter}<parser>no</parser><time>20260102030000</time></data><common><type>report</type><gateway_id>g</gateway_id><building_id>b</building_id></common></root>"
        ),
        "b/g report 1.2=0x10[ Good 2026-01-01T19:00:00Z]",
    );
}

#[test]
fn values_and_codes_are_kept_as_they_came() {
    let data = |functions: &str| {
        of(
            "report",
            &format!(
                "<data operation=\"report\"><time>20260102030000</time><meter id=\"1\">{functions}</meter></data>"
            ),
        )
    };
    let at = "2026-01-01T19:00:00Z";
    check(&data("<function id=\"1\" error=\"0\">1</function>"), &format!("b/g report 1.1=1[0 Good {at}]"));
    check(&data("<function id=\"1\" error=\"7\"> 1 </function>"), &format!("b/g report 1.1= 1 [7 Bad {at}]"));
    check(&data("<function id=\"1\" x=\"a&#9;b\" error=\"\"/>"), &format!("b/g report 1.1=[ Good {at}]x\ta b"));
    check(
        &data("<function id=\"1\" sample_time=\"soon\">1</function>"),
        &format!("b/g report 1.1=1[ Good {at}]sample_time\tsoon"),
    );
    check(
        &data("<function id=\"1\"><![CDATA[<1>]]>&lt;&#x41;&nbsp;</function>"),
        &format!("b/g report 1.1=<1><A&nbsp;[ Good {at}]"),
    );
    check(&data("<function id=\"1>2\">1</function>"), &format!("b/g report 1.1>2=1[ Good {at}]"));
    // The packet itself shows that this device's 0 is no good, also before it was shown.
    check(
        &data("<function id=\"1\" error=\"0\">1</function><function id=\"2\" error=\"192\">2</function>"),
        &format!("b/g report 1.1=1[0 Bad {at}] 1.2=2[192 Good {at}]"),
    );
}

#[test]
fn a_packet_without_a_time_has_the_time_of_its_arrival() {
    let body =
        "<data operation=\"report\"><time>soon</time><meter id=\"1\"><function id=\"2\">3</function></meter></data>";
    check(&of("report", body), "b/g report 1.2=3[ Good 1970-01-01T00:00:00.007Z]");
}

#[test]
fn typed_dialects_have_words_of_their_own() {
    let shanghai = dialect::find("shanghai").expect("a dialect");
    let body = "<data operation=\"report\"><time>20170908010101</time><energy_items><energy_item code=\"01000\">1</energy_item></energy_items><meters><meter id=\"A001\" name=\"n\"><function id=\"WPP\" error=\"\">2</function></meter></meters></data>";
    let at = "2017-09-07T17:01:01Z";
    let found = meaning(shanghai, 3, &of("energy_data", body)).expect("a message");
    assert_eq!(found, format!("b/g report .01000=1[ Good {at}] A001.WPP=2[ Good {at}]"));
    let beat = "<heart_beat operation=\"notify\"><time>20170908010101</time><notify/></heart_beat>";
    assert_eq!(meaning(shanghai, 2, &of("heart_beat", beat)).expect("a message"), "b/g Notify(\"\")");
    let no_operation = of("heart_beat", "<heart_beat><time>20170908010101</time><notify/></heart_beat>");
    assert_eq!(meaning(shanghai, 2, &no_operation).expect("a message"), "b/g Notify(\"\")");
    let proof = "<id_validate operation=\"md5\"><sequence>1</sequence><md5>2</md5><result/></id_validate>";
    assert_eq!(meaning(shanghai, 1, &of("id_validate", proof)).expect("a message"), "b/g md5");
    // The same words come without a frame as well.
    let plain = dialect::find("plain").expect("a dialect");
    let request = "<id_validate operation=\"request\"><sequence/><md5/><result/></id_validate>";
    assert_eq!(meaning(plain, 0, &of("id_validate", request)).expect("a message"), "b/g request");
    let supcon = dialect::find("supcon").expect("a dialect");
    let ack = meaning(supcon, 8, &of("continuous_ack", "<sequence>9</sequence><result>1</result>")).expect("a message");
    assert_eq!(ack, "b/g Data { sequence: \"9\", place: Last }");
    let bare_request = "<root><common><building_id>b</building_id><gateway_id>g</gateway_id></common></root>";
    assert_eq!(meaning(supcon, 1, bare_request).expect("a message"), "b/g request");
}

#[test]
fn attacks_and_rubbish_are_faults() {
    check("<!DOCTYPE root [<!ENTITY a \"b\">]><root/>", "malformed: a document type, which is not allowed (offset 0)");
    check("<root><common></common></root>", "malformed: no building or no gateway");
    check(
        "<root><common><building_id>b</building_id></common>",
        "malformed: the text ends within an element (offset 51)",
    );
    check("no xml", "undecipherable: no xml in the body (offset 0)");
    let deep = "<a>".repeat(1000);
    check(&format!("<root>{deep}"), "too-large: elements more than 32 deep (offset 102)");
    let long = "x".repeat(65);
    check(&of("request", "").replace(">b<", &format!(">{long}<")), "too-large: name of 65 characters over 64");
    check(
        &of("md5", &format!("<id_validate operation=\"md5\"><md5>{}</md5></id_validate>", "1".repeat(300))),
        "too-large: word of 300 bytes over 256",
    );
}

#[test]
fn a_frame_that_cannot_be_said_is_not_begun() {
    let supcon = dialect::find("supcon").expect("a dialect");
    let envelope = envelope(IdStyle::Building);
    let mut out = BytesMut::from("before");
    let talk = Talk::Sequence { sequence: "x".repeat(70_000) };
    let fault = encode(&Sending::new(supcon, &envelope, None), &talk, &mut out).expect_err("four digits end");
    assert_eq!((fault.kind, out.as_ref()), (FaultKind::TooLarge, &b"before"[..]));
    let national = dialect::find("national").expect("a dialect");
    let fault = encode(&Sending::new(national, &envelope, None), &Talk::Request, &mut out).expect_err("no key");
    assert_eq!((fault.kind, out.as_ref()), (FaultKind::Undecipherable, &b"before"[..]));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(<[/ ]?(root|common|data|meter|function|type|id|x)?( (id|error|operation)=\"?[a-z0-9<>&]{0,3}\"?)?/?>|[a-z<&;>]{0,3}){0,40}") {
        for dialect in ALL_DIALECTS {
            let _ = meaning(dialect, 1, &format!("<root>{text}"));
            let _ = meaning(dialect, 3, &of("report", &text));
        }
    }

    #[test]
    fn any_body_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200), flags in prop::sample::select(&[0x57_u8, 0x47, 0x45, 0x44, 0x78, b'<'][..])) {
        let _ = plain(&body);
        let mut body = body;
        body.insert(0, flags);
        let _ = plain(&body);
        if body.len() > 9 {
            // A QuickLZ header that fits, so that what is behind it is reached.
            let sizes = [u32::try_from(body.len()).expect("small"), 300];
            body.splice(1..9, sizes.into_iter().flat_map(u32::to_le_bytes));
            let _ = plain(&body);
        }
    }

    #[test]
    fn any_decimal_is_written_as_it_came(text in "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,8})?") {
        if let Some(decimal) = loggerhead_model::Decimal::parse(&text) {
            let mut out = BytesMut::new();
            super::xml_write::Writer::new(&mut out, super::xml_write::Style::INDENTED).decimal(decimal);
            prop_assert_eq!(out.as_ref(), text.as_bytes());
        }
    }
}
